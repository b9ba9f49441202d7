/**
 * Why a branch is not moved, for people: what differs, and what they can do.
 */
import { PachError } from '../base/errors.ts';
import { shellWord } from '../base/shell.ts';
import type { BlobReader } from '../cache/blobs.ts';
import { shortId } from '../model/ids.ts';
import { pathOf } from '../model/paths.ts';
import { addressOf } from '../model/reference.ts';
import { Directories, rootEntry } from '../versions/directories.ts';
import { referencesIn } from '../versions/reading/references.ts';
import { rootOf, type Snapshot } from '../versions/snapshot.ts';
import { newestBeyond, type Line } from './history.ts';
import { whoMoves, type Move, type Standing } from './plan.ts';
import type { PipelineProblem } from './results.ts';
import { rewrittenWhy } from './purged.ts';

/** What is moved where, as the user has said it. */
export interface Ends {
  readonly verb: 'push' | 'pull';
  readonly source: Snapshot;
  readonly target: Snapshot;
  /** The store that is not the one of the user's settings. */
  readonly url: string;
}

/** Commits of a side that an error names. */
const namedMax = 3;

/** A branch of the target has another history than that of the source, or more of it. */
export async function notForward(ends: Ends, { repo, branch, comparison }: Standing): Promise<PachError> {
  const { verb, source, target, url } = ends;
  const address = `${repo}@${branch}`;
  if (comparison.rewritten) return rewrittenWhy(ends, { repo, branch, commit: comparison.rewritten });
  const [own, other] = await Promise.all([source, target].map((each) => lineOf(each, repo, branch)));
  const [here, there] = verb === 'push' ? [own, other] : [other, own];
  const [onlyHere, onlyThere] =
    verb === 'push' ? [comparison.ahead, comparison.behind] : [comparison.behind, comparison.ahead];
  const parts = [
    ...(onlyThere > 0 ? [`${url} has ${await named(there as Line, onlyThere)} not here`] : []),
    ...(onlyHere > 0 ? [`here ${onlyHere === 1 ? 'is' : 'are'} ${await named(here as Line, onlyHere)} not there`] : []),
  ];
  const unrelated = comparison.shared === 0 ? 'the two have no commit in common: ' : '';
  const next =
    onlyHere === 0
      ? `pach pull ${shellWord(address)}`
      : `pach create branch ${shellWord(`${address}-here`)} --head ${shellWord(address)}`;
  return new PachError('conflict', { what: address, why: `${unrelated}${parts.join(', and ')}`, next });
}

async function lineOf(snapshot: Snapshot, repo: string, branch: string): Promise<Line> {
  return { snapshot, head: (await snapshot.maybeBranch(repo, branch))?.head };
}

/** `2 commits (4a7be2c81b3d, 11d0e7a92c55) that are`. */
async function named(line: Line, count: number): Promise<string> {
  const ids = (await newestBeyond(line, count, namedMax)).map(({ id }) => shortId(id));
  const more = count > ids.length ? ', …' : '';
  return `${count} ${count === 1 ? 'commit' : 'commits'} (${ids.join(', ')}${more}) that ${count === 1 ? 'is' : 'are'}`;
}

/**
 * Throws `conflict` for a branch whose newest version has references: who pushes it wants its bytes there, and
 * a copy of those would be another version. Those of older versions move as they are.
 */
export async function checkReferences(reader: BlobReader, { repo, branch, commits }: Move): Promise<void> {
  const newest = commits.at(-1);
  if (!newest?.references) return;
  for await (const { path, content } of referencesIn(new Directories(reader), rootEntry(rootOf(newest)), [])) {
    const what = `${repo}@${branch}`;
    const one = `${pathOf(path)}, for example, refers to ${addressOf(content.object)}`;
    const why = `it has files whose bytes are in no store: ${one}; --keep-references moves them as they are`;
    throw new PachError('conflict', { what, why, next: `pach materialize ${shellWord(what)}` });
  }
}

/** Throws `conflict` for a branch of the target that only an engine or a trigger moves. */
export async function checkMove(
  { verb, target, url }: Ends,
  { repo, branch, before }: Move,
  pipelines: ReadonlySet<string>,
): Promise<void> {
  const what = `${repo}@${branch}`;
  const where = verb === 'push' ? `in ${url}` : 'here';
  const { ticksOf } = (await target.maybeRepo(repo)) ?? {};
  const who = whoMoves(before ?? { repo }, ticksOf, pipelines);
  if (who === 'ticks') {
    const why = `${where} its commits are the ticks of pipeline ${ticksOf}, and nobody else commits to it`;
    throw new PachError('conflict', { what, why });
  }
  if (who === 'trigger' && before?.trigger) {
    const why = `${where} a trigger moves it to the head of ${before.trigger.branch}, which would undo this`;
    throw new PachError('conflict', { what, why, next: `pach ${verb} ${repo}@${before.trigger.branch}` });
  }
  if (who === 'output') {
    const why = `${where} it is the output of pipeline ${repo}, and only the pipeline commits to it`;
    throw new PachError('conflict', { what, why, next: `pach ${verb} ${what} --results` });
  }
}

/** A pipeline whose output would be moved, and which is another one in the target, or is being run there. */
export function pipelineProblem({ verb, url }: Ends, { name, problem }: PipelineProblem): PachError {
  const where = verb === 'push' ? `in ${url}` : 'here';
  const what = `pipeline ${name}`;
  if (problem === 'running') {
    return new PachError('conflict', { what, why: `${where} a job of it is running`, next: 'wait until it has ended' });
  }
  const why = `it is another one ${where}: its spec, its code, or what it was told to compute anew differs`;
  const next = `give it the same spec and code on both sides, or ${verb} without --results`;
  return new PachError('conflict', { what, why, next });
}
