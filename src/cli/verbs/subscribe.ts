/**
 * subscribe commit, wait commit.
 */
import { openProject } from '../../app/open.ts';
import { waitForBranch } from '../../engine/wait.ts';
import { PachError } from '../../base/errors.ts';
import { parseAddress } from '../../model/address.ts';
import { commitInfo, commitJson, type CommitInfo } from '../../shown/commits.ts';
import { newCommits } from '../../versions/reading/subscribe.ts';
import { resolveCommit, resolveVersion } from '../../versions/resolve.ts';
import type { Commit, Snapshot } from '../../versions/snapshot.ts';
import { addressOf, branchOf } from '../addresses.ts';
import type { Output } from '../output.ts';
import { sizeText, timeText } from '../text.ts';
import { commitArgument } from '../parameters.ts';
import { verb } from '../verb.ts';

const interruptedCode = 130;

function line({ commit, finished, bytes, message }: CommitInfo, { id }: Pick<Output, 'id'>): string {
  return [id(commit), timeText(finished), sizeText(bytes), message.split('\n')[0] ?? ''].join('  ').trimEnd();
}

export const subscribeCommitVerb = verb({
  name: 'subscribe commit',
  summary: 'Print the commits that come to a branch, as they come',
  examples: [
    ['subscribe commit images@master', 'Those that come from now on, until Ctrl-C'],
    ['subscribe commit images@master --from 3f2a -o json', 'First those that came after a commit'],
  ],
  json: commitJson,
  arguments: { branch: { ...commitArgument, describe: 'repo@branch' } },
  options: { from: { type: 'text', describe: 'Begin after this commit of the branch; without, after its head' } },
  async run({ branch: text, from }, { settings, output, signal }) {
    const { repo, branch, settings: where } = branchOf(text, settings);
    await using opened = await openProject(where);
    const { project } = opened;
    const start = await startOf(await project.snapshot(), { repo, branch, from });
    let failing = '';
    const failed = (error: unknown): void => {
      const why = error instanceof Error ? error.message : String(error);
      if (why !== failing) output.note(`${why}; waiting`);
      failing = why;
    };
    for await (const { snapshot, commit } of newCommits(project, { repo, branch, from: start, signal, failed })) {
      const info = await commitInfo(snapshot, commit);
      if (output.format === 'table') await output.lines([line(info, output)]);
      else await output.rows([info], []);
    }
    return interruptedCode;
  },
});

/** The commit after which to begin; undefined for a branch that is not there, or has none yet. Throws `not-found`. */
async function startOf(
  snapshot: Snapshot,
  { repo, branch, from }: { readonly repo: string; readonly branch: string; readonly from: string | undefined },
): Promise<Commit | undefined> {
  await snapshot.repo(repo);
  const head = (await snapshot.maybeBranch(repo, branch))?.head;
  if (from === undefined) return head && snapshot.commitAt(head.commit);
  const commit = await resolveCommit(snapshot, parseAddress(from.includes('@') ? from : `${repo}@${from}`));
  const isOnBranch = head && (await snapshot.asOf(head, commit.finished))?.id === commit.id;
  if (isOnBranch) return commit;
  const next = `pach list commit ${repo}@${branch}`;
  throw new PachError('not-found', { what: `--from ${from}`, why: `it is no commit of ${repo}@${branch}`, next });
}

export const waitCommitVerb = verb({
  name: 'wait commit',
  reads: true,
  summary: 'Wait until a branch is up to date with what it is computed from',
  examples: [
    ['wait commit edges@master', 'Until the pipelines that lead to it have nothing to do; exit code 1 if one failed'],
    ['wait commit images@3f2a', 'A commit is finished when it can be seen'],
  ],
  json: commitJson,
  arguments: { commit: commitArgument },
  async run({ commit: text }, { settings, output, signal }) {
    const { address, settings: where } = addressOf(text, settings);
    await using opened = await openProject(where);
    const { project } = opened;
    const before = await project.snapshot();
    await before.repo(address.repo);
    const branch = address.ref ?? 'master';
    const { snapshot, failed } =
      address.ancestry.length === 0
        ? await waitForBranch(project, { repo: address.repo, branch }, signal)
        : { snapshot: before, failed: [] };
    const [job] = failed;
    // Of a pipeline whose first job failed there is no branch.
    const isThere = !job || (await snapshot.maybeBranch(address.repo, branch));
    const commit = isThere ? (await resolveVersion(snapshot, address)).commit : undefined;
    if (job)
      output.note(`job ${job.id} of ${job.pipeline}: ${job.state}${job.reason === undefined ? '' : `: ${job.reason}`}`);
    if (commit) {
      const info = await commitInfo(snapshot, commit);
      await output.document(info, () => line(info, output));
    }
    return job ? 1 : 0;
  },
});
