/**
 * put file, delete file: changes to a branch.
 */
import { join } from 'node:path';
import { memoryBytesOnce, openProject } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import { shellWord } from '../../base/shell.ts';
import { putJson } from '../../shown/stored.ts';
import { localBytes, readSourceList, Sources } from '../../sources/open.ts';
import type { ReferenceWatch } from '../../sources/references.ts';
import { archiveLimits } from '../../sources/tar.ts';
import { deleteFiles, putFiles } from '../../versions/writing/put.ts';
import { branchOf, sourcesOf } from '../addresses.ts';
import { FilesProgress } from '../progress.ts';
import { printPut } from '../put-result.ts';
import { standardInput } from '../stdin.ts';
import { fileArgument, messageOption, provenanceOption, recursiveOption, unreadableOption } from '../parameters.ts';
import { verb } from '../verb.ts';

export const putFileVerb = verb({
  name: 'put file',
  summary: 'Put files into a branch, as one commit',
  examples: [
    ['put file images@master:/a/b.png -f b.png', 'Put one file, with a new name'],
    ['put file images@master -r -f ./photos', 'Put a folder, as /photos'],
    ['put file images@master:/ -r -f ./photos/', 'Put the contents of a folder'],
    ['put file notes@master:/today.txt -f -', 'Read standard input'],
    ['put file data@master:/raw/ -f https://example.org/a.csv', 'Download it from a web server'],
    ['put file data@master:/raw -r -f s3://other/prefix/', 'Copy everything below a prefix of another bucket'],
    ['put file lake@master -r -f s3://other/raw/ --reference', 'Refer to all below a prefix, and copy nothing'],
    ['put file src@master:/linux --untar -f linux.tar.gz', 'Put the contents of an archive'],
    ['put file logs@master:/app.log --append -f today.log', 'Append to an existing file'],
    ['put file data@master:/raw/ -i list.txt', 'Put everything that a list names'],
    ['put file edges@master:/a.png -f a.png --provenance images@master:/a.png', 'Declare what it was made of'],
  ],
  json: putJson,
  arguments: {
    target: {
      type: 'text',
      required: true,
      names: ['file'],
      describe: 'repo@branch[:/path]; a path that ends with / is a folder to put into',
    },
  },
  options: {
    file: {
      alias: 'f',
      type: 'list',
      names: ['local'],
      describe: 'File, folder (with -r), http(s):// or s3:// address, or - for standard input',
    },
    list: {
      alias: 'i',
      type: 'list',
      names: ['local'],
      describe: 'File with one source per line, or -; lines that begin with # are comments',
    },
    recursive: {
      alias: 'r',
      type: 'flag',
      describe: 'Put folders and prefixes with everything in them',
    },
    untar: {
      type: 'flag',
      describe: `Unpack tar archives, plain or packed with gzip (${archiveLimits})`,
    },
    reference: {
      type: 'flag',
      describe: 'Refer to objects of another bucket instead of copying them',
    },
    append: {
      type: 'flag',
      describe: 'Append to the file instead of replacing it',
    },
    reread: {
      type: 'flag',
      describe: 'Also read files that look unchanged since the last put from this machine',
    },
    'skip-unreadable': unreadableOption,
    provenance: provenanceOption,
    message: messageOption,
  },
  conflicts: [
    {
      option: 'reference',
      others: ['untar', 'append', 'skip-unreadable'],
      why: '--reference takes objects as they are in their bucket, not with --untar, --append or --skip-unreadable',
    },
    {
      option: 'append',
      others: ['recursive', 'untar'],
      why: '--append takes single files, not -r or --untar',
    },
    {
      option: 'skip-unreadable',
      others: ['append', 'untar'],
      why: '--skip-unreadable is for files and folders, not for --append or --untar',
    },
  ],
  async run(args, { settings, output, signal }) {
    const { target, file, list, recursive, untar, append, reread, provenance, message, reference } = args;
    const { 'skip-unreadable': skipUnreadable } = args;
    const { repo, branch, path, settings: where } = branchOf(target, settings);
    const stdin = () => standardInput(signal);
    if ([...file, ...list].filter((name) => name === '-').length > 1) {
      throw new PachError('usage', { what: '-f - and -i -', why: 'standard input can be read only once' });
    }
    const lists: string[][] = [];
    for (const name of list) {
      lists.push(await readSourceList(name === '-' ? stdin() : localBytes(name, { signal }), name));
    }
    const names = [...file, ...lists.flat()];
    if (names.length === 0) {
      throw new PachError('usage', {
        what: 'put file',
        why: 'no source is given',
        next: `pach put file ${shellWord(target)} -f FILE`,
      });
    }
    const progress = new FilesProgress(output);
    const into = path === '' || path.endsWith('/');
    const unversioned: ReferenceWatch['unversioned'] = (bucket, keeps) => output.note(unversionedText(bucket, keeps));
    using sources = new Sources({
      names,
      into,
      recursive,
      untar,
      reference: reference ? { unversioned } : undefined,
      stdin,
      watch: progress,
    });
    const remote = skipUnreadable && names.find((name) => name === '-' || /^[a-z0-9+.-]+:\/\//i.test(name));
    if (remote) {
      const why = `--skip-unreadable is only for files and folders of this machine, and ${remote} is not`;
      throw new PachError('usage', {
        what: '--skip-unreadable',
        why,
        next: 'put that source with another command',
      });
    }
    const opened = await sources.open(signal);
    if (names.length > 1 && !into) {
      const why = 'several sources need a folder as their target';
      throw new PachError('usage', { what: `target ${path}`, why, next: `name the folder ${target}/` });
    }
    if (output.showsProgress) void progress.measure(names, signal);
    await using store = await openProject(where, { memoryBytesMax: memoryBytesOnce });
    const madeOf = provenance.length > 0 ? await sourcesOf(store.project, provenance, where) : undefined;
    const result = await putFiles(store.project, {
      repo,
      branch,
      message,
      ...(madeOf && { madeOf }),
      target: path,
      sources: opened,
      append,
      references: reference,
      skipUnreadable,
      seenFolder: reread ? undefined : await where.home.make(join(where.home.seen, store.storeId)),
      watch: {
        signal,
        progress: progress.add,
        skipped: (what, why) => output.note(`${what}: left out: ${why}`),
      },
    });
    await printPut(output, result);
    return result.unreadable ? 1 : 0;
  },
});

function unversionedText(bucket: string, keeps: false | undefined): string {
  const what = keeps === false ? 'it keeps no versions of its objects' : 'it does not say whether it keeps versions';
  return `${bucket}: ${what}: a file whose object is overwritten or deleted can't be read any more`;
}

export const deleteFileVerb = verb({
  name: 'delete file',
  summary: 'Delete a file from a branch, as one commit',
  examples: [
    ['delete file images@master:/a/b.png', 'A file'],
    ['delete file images@master:/a -r', 'Delete a folder with everything in it'],
  ],
  json: '{commit}',
  arguments: { file: { ...fileArgument, describe: 'repo@branch:/path' } },
  options: {
    recursive: { ...recursiveOption, describe: 'Delete folders' },
    message: messageOption,
  },
  async run({ file, recursive, message }, { settings, output }) {
    const { repo, branch, path, settings: where } = branchOf(file, settings);
    if (path === '')
      throw new PachError('usage', {
        what: file,
        why: 'it does not name a file',
        next: `pach delete file ${shellWord(file)}:/PATH`,
      });
    await using opened = await openProject(where);
    const { id } = await deleteFiles(opened.project, { repo, branch, message, paths: [path], recursive });
    await output.document({ commit: id }, () => output.id(id));
  },
});
