/**
 * sync: makes a folder of a branch equal to one of this machine, or says what that would change.
 */
import { basename, join, resolve } from 'node:path';
import { memoryBytesOnce, openProject } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import { shellWord } from '../../base/shell.ts';
import { changeInfo, changeJson, type ChangeInfo, type FileInfo } from '../../shown/files.ts';
import { FileBytes } from '../../versions/reading/files.ts';
import type { Project } from '../../versions/project.ts';
import { putFiles } from '../../versions/writing/put.ts';
import { trySync, type TrialRequest } from '../../versions/writing/trial.ts';
import { branchOf } from '../addresses.ts';
import { changeColumns } from '../changes.ts';
import { FilesProgress } from '../progress.ts';
import { printPut } from '../put-result.ts';
import { sizeText } from '../text.ts';
import { dryRunOption, messageOption, unreadableOption } from '../parameters.ts';
import { verb, type VerbContext } from '../verb.ts';

export const syncVerb = verb({
  name: 'sync',
  summary: 'Make a folder of a branch equal to a local folder, as one commit',
  examples: [
    ['sync ./photos images@master:/photos', 'Add new files and replace changed files'],
    ['sync ./photos images@master:/photos --delete', 'Also delete files that are not in ./photos'],
    ['sync ./photos images@master:/photos --delete --dry-run', 'Show what would change'],
  ],
  json: `{commit, files, bytes, newBytes, storedBytes, leftOut?, unreadable?}, as put file; with --dry-run ${changeJson}`,
  arguments: {
    folder: { type: 'text', required: true, names: ['local'], describe: 'A local folder' },
    target: {
      type: 'text',
      required: true,
      names: ['file'],
      describe: 'repo@branch[:/path]: the folder to make equal',
    },
  },
  options: {
    delete: {
      type: 'flag',
      describe: 'Delete files that are not in the local folder; the target must have a path',
    },
    'dry-run': {
      ...dryRunOption,
      describe: 'Store nothing, and show the changes; exit code 10 if there are any',
    },
    reread: {
      type: 'flag',
      describe: 'Also read files that look unchanged since the last time',
    },
    'skip-unreadable': unreadableOption,
    message: messageOption,
  },
  async run({ folder, target, delete: deleteOthers, 'dry-run': dryRun, reread, message, ...args }, context) {
    const { settings, output, signal } = context;
    const { repo, branch, path, settings: where } = branchOf(target, settings);
    if (deleteOthers && !target.includes(':/')) {
      const words = `pach sync ${shellWord(folder)}`;
      const branchText = target.replace(/:$/, '');
      throw new PachError('usage', {
        what: target,
        why: 'with --delete the target must have a path, because everything else on the branch would be deleted',
        next: `${words} ${shellWord(`${branchText}:/${basename(resolve(folder))}`)} --delete`,
        or: `${words} ${shellWord(`${branchText}:/`)} --delete`,
      });
    }
    const progress = new FilesProgress(output);
    if (output.showsProgress) void progress.measure([folder], signal);
    await using store = await openProject(where, { memoryBytesMax: memoryBytesOnce });
    const request = {
      repo,
      branch,
      target: path.replace(/\/+$/, ''),
      skipUnreadable: args['skip-unreadable'],
      seenFolder: reread ? undefined : await where.home.make(join(where.home.seen, store.storeId)),
      watch: {
        signal,
        progress: progress.add,
        skipped: (what: string, why: string) => output.note(`${what}: left out: ${why}`),
      },
    };
    const source = join(folder, '/');
    if (dryRun) return await tell(context, store.project, { ...request, folder: source, deleteOthers });
    const sources = [{ kind: 'path', path: source, recursive: true, deleteOthers } as const];
    const result = await putFiles(store.project, { ...request, message, sources });
    await printPut(output, result);
    return result.unreadable ? 1 : 0;
  },
});

/** Prints what a sync would change, with totals on stderr. Resolves to the exit code. */
async function tell({ output, signal }: VerbContext, project: Project, request: TrialRequest): Promise<number> {
  const { changes, isSame, unreadable } = await trySync(project, request);
  const files = new FileBytes(project.reader);
  const totals = { added: { count: 0, bytes: 0 }, changed: { count: 0, bytes: 0 }, removed: { count: 0, bytes: 0 } };
  async function* rows(): AsyncGenerator<ChangeInfo> {
    for await (const each of changes) {
      signal.throwIfAborted();
      const info = await changeInfo(files, each);
      totals[info.change].count += 1;
      totals[info.change].bytes += ((info.new ?? info.old) as FileInfo).bytes;
      yield info;
    }
  }
  await output.rows(rows(), changeColumns);
  const parts = Object.entries(totals).map(([what, { count, bytes }]) => `${count} ${what} (${sizeText(bytes)})`);
  const isEmpty = Object.values(totals).every(({ count }) => count === 0);
  const shown = isSame ? 'nothing would change' : isEmpty ? 'only empty folders would change' : parts.join(', ');
  output.note(shown);
  if (unreadable.length > 0) return 1;
  return isSame ? 0 : 10;
}
