/**
 * sync: makes a folder of a branch equal to one of this machine.
 */
import { join } from 'node:path';
import { openProject } from '../../app/open.ts';
import { putFiles } from '../../versions/put.ts';
import { branchOf } from '../addresses.ts';
import { verb } from '../verb.ts';
import { PutProgress } from './put-file.ts';

interface SyncArgs {
  readonly folder: string;
  readonly target: string;
  readonly delete: boolean;
  readonly reread: boolean;
  readonly message: string;
}

export const syncVerb = verb<SyncArgs>({
  command: 'sync <folder> <target>',
  summary: 'Make a folder of a branch equal to one of this machine, as one commit',
  examples: [
    ['sync ./photos images@master:/photos', 'Add and replace what is new or different'],
    ['sync ./photos images@master:/photos --delete', 'And delete what is not here'],
  ],
  json: '{commit, files, bytes, newBytes, storedBytes}, as put file',
  options: (yargs) =>
    yargs
      .positional('folder', { type: 'string', demandOption: true, describe: 'A folder of this machine' })
      .positional('target', { type: 'string', demandOption: true, describe: 'repo@branch[:/path]: the folder there' })
      .option('delete', { type: 'boolean', default: false, describe: 'Delete what is there and not here' })
      .option('reread', {
        type: 'boolean',
        default: false,
        describe: 'Read also files that look as they did the last time',
      })
      .option('message', { alias: 'm', type: 'string', default: '', describe: 'Message of the commit' }),
  async run({ folder, target, delete: deleteOthers, reread, message }, { settings, output, signal }) {
    const { repo, branch, path, settings: where } = branchOf(target, settings);
    const progress = new PutProgress(output);
    await using store = await openProject(where);
    const result = await putFiles(store.project, {
      repo,
      branch,
      message,
      target: path.replace(/\/+$/, ''),
      sources: [{ kind: 'path', path: join(folder, '/'), recursive: true, deleteOthers }],
      seenFolder: reread ? undefined : join(await where.home.make(where.home.seen), store.storeId),
      watch: {
        signal,
        progress: (bytes, files) => progress.stored(bytes, files),
        skipped: (what, why) => output.note(`${what}: left out: ${why}`),
      },
    });
    await output.document(result, () => result.commit);
  },
});
