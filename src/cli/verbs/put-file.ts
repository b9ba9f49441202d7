/**
 * put file, delete file: changes to a branch.
 */
import { addAbortSignal } from 'node:stream';
import { openProject } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import { deleteFiles, putFiles, type PutSource } from '../../versions/put.ts';
import { branchOf } from '../addresses.ts';
import { countText, sizeText } from '../text.ts';
import { verb } from '../verb.ts';

interface PutArgs {
  readonly target: string;
  readonly file: string[];
  readonly recursive: boolean;
  readonly message: string;
}

export const putFileVerb = verb<PutArgs>({
  command: 'put file <target>',
  summary: 'Put files into a branch, as one commit',
  examples: [
    ['put file images@master:/a/b.png -f b.png', 'One file under a name of its own'],
    ['put file images@master -r -f ./photos', 'A folder, as /photos'],
    ['put file images@master:/ -r -f ./photos/', 'The contents of a folder'],
    ['put file notes@master:/today.txt -f -', 'What standard input gives'],
  ],
  json: '{commit, files, bytes, newBytes, storedBytes}; newBytes: plain bytes of new chunks, storedBytes: of all objects written',
  options: (yargs) =>
    yargs
      .positional('target', {
        type: 'string',
        demandOption: true,
        describe: 'repo@branch[:/path]; a path that ends in / is a folder to put into',
      })
      .option('file', {
        alias: 'f',
        type: 'string',
        array: true,
        nargs: 1,
        demandOption: true,
        describe: 'File, folder (with -r) or - for standard input',
      })
      .option('recursive', { alias: 'r', type: 'boolean', default: false, describe: 'Put folders' })
      .option('message', { alias: 'm', type: 'string', default: '', describe: 'Message of the commit' }),
  async run({ target, file, recursive, message }, { settings, output, signal }) {
    const { repo, branch, path, settings: where } = branchOf(target, settings);
    if (file.filter((name) => name === '-').length > 1) {
      throw new PachError('usage', { what: '-f -', why: 'standard input can be read once' });
    }
    await using opened = await openProject(where);
    let bytes = 0;
    let files = 0;
    const started = Date.now();
    const result = await putFiles(opened.project, {
      repo,
      branch,
      message,
      target: path,
      sources: file.map((name): PutSource =>
        name === '-'
          ? { kind: 'stream', stream: addAbortSignal(signal, process.stdin) }
          : { kind: 'path', path: name, recursive },
      ),
      watch: {
        signal,
        progress(moreBytes, moreFiles) {
          bytes += moreBytes;
          files += moreFiles;
          const seconds = Math.max(0.1, (Date.now() - started) / 1000);
          output.progress(`${countText(files, 'file')}, ${sizeText(bytes)}, ${sizeText(bytes / seconds)}/s`);
        },
        skipped: (what, why) => output.note(`${what}: left out: ${why}`),
      },
    });
    await output.document(result, () => result.commit);
  },
});

interface DeleteArgs {
  readonly file: string;
  readonly recursive: boolean;
  readonly message: string;
}

export const deleteFileVerb = verb<DeleteArgs>({
  command: 'delete file <file>',
  summary: 'Delete a file from a branch, as one commit',
  examples: [
    ['delete file images@master:/a/b.png', 'A file'],
    ['delete file images@master:/a -r', 'A directory and all in it'],
  ],
  json: '{commit}',
  options: (yargs) =>
    yargs
      .positional('file', { type: 'string', demandOption: true, describe: 'repo@branch:/path' })
      .option('recursive', { alias: 'r', type: 'boolean', default: false, describe: 'Delete directories' })
      .option('message', { alias: 'm', type: 'string', default: '', describe: 'Message of the commit' }),
  async run({ file, recursive, message }, { settings, output }) {
    const { repo, branch, path, settings: where } = branchOf(file, settings);
    if (path === '')
      throw new PachError('usage', { what: file, why: 'it names no file', next: `pach delete file ${file}:/path` });
    await using opened = await openProject(where);
    const { id } = await deleteFiles(opened.project, { repo, branch, message, paths: [path], recursive });
    await output.document({ commit: id }, () => id);
  },
});
