/**
 * copy file: to another name, version or repo of the project, without moving a byte.
 */
import { openProject } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import { Files } from '../../versions/reading/files.ts';
import { resolveCommit } from '../../versions/resolve.ts';
import { rootOf } from '../../versions/snapshot.ts';
import { copyFiles } from '../../versions/writing/copy.ts';
import { addressOf, branchOf } from '../addresses.ts';
import { fileArgument, messageOption } from '../parameters.ts';
import { verb } from '../verb.ts';

export const copyFileVerb = verb({
  name: 'copy file',
  summary: 'Copy a file or folder of any version into a branch, as one commit; no bytes move',
  examples: [
    ['copy file images@master^:/a.png images@master:/a.png', 'Bring back a file as it was one commit ago'],
    ['copy file images@master:/raw datasets@dev:/2025/', 'A folder to another repo, as /2025/raw; its lineage says so'],
  ],
  json: '{commit}; the head of the branch where the copy changes nothing',
  arguments: {
    source: { ...fileArgument, describe: 'repo[@ref][:/path]' },
    target: {
      type: 'text',
      required: true,
      names: ['file'],
      describe: 'repo@branch[:/path]; a path that ends with / is a folder to copy into',
    },
  },
  options: { message: messageOption },
  async run({ source: text, target: to, message }, { settings, output }) {
    const { address, settings: where } = addressOf(text, settings);
    const { repo, branch, path, settings: target } = branchOf(to, settings);
    if (target.project !== where.project) {
      throw new PachError('usage', { what: to, why: 'both must be in one project' });
    }
    await using opened = await openProject(where);
    const { project } = opened;
    const commit = await resolveCommit(await project.snapshot(), address);
    const source = await new Files(project.reader, rootOf(commit), text.split(':')[0] as string).find(
      address.path ?? '/',
    );
    // Within a repo its history says it.
    const from = { repo: commit.repo, branch: commit.branch, commit: commit.id };
    const madeOf = commit.repo === repo ? undefined : [{ from, fromPath: source.path }];
    const request = { repo, branch, message, source, mayRefer: commit.references, target: path };
    const made = await copyFiles(project, { ...request, ...(madeOf && { madeOf }) });
    await output.document({ commit: made.id }, () => output.id(made.id));
  },
});
