/**
 * get file: one to standard output or a file, a directory to a folder.
 */
import { basename } from 'node:path';
import { stat } from 'node:fs/promises';
import { openProject } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import { shellWord } from '../../base/shell.ts';
import { nameOfText } from '../../model/paths.ts';
import { entrySize } from '../../model/tree.ts';
import { tarOf } from '../../versions/reading/archive.ts';
import { extractFile, extractFolder, writeInto, writeStream } from '../../versions/reading/extract.ts';
import { addressOf, filesAt } from '../addresses.ts';
import { FilesProgress } from '../progress.ts';
import { fileArgument } from '../parameters.ts';
import { verb } from '../verb.ts';

export const getFileVerb = verb({
  name: 'get file',
  reads: true,
  summary: 'Get a file, or a folder with -r',
  examples: [
    ['get file images@master:/a/b.png -o b.png', 'Write it to a file'],
    ['get file notes@master:/today.txt', 'Write it to standard output'],
    ['get file images@master:/a -r -o ./out', 'Write the contents of a folder to a local folder'],
    ['get file images@master:/a --tar -o a.tar', 'Write them to an archive'],
  ],
  formats: false,
  arguments: { file: { ...fileArgument, describe: 'repo[@ref]:/path' } },
  options: {
    recursive: {
      alias: 'r',
      type: 'flag',
      describe: 'Get a folder with everything in it',
    },
    tar: { type: 'flag', describe: 'Write a tar archive of the file, or of what lies in the folder' },
    output: {
      type: 'text',
      alias: 'o',
      names: ['local'],
      describe: 'File or folder to write to; - is standard output',
    },
  },
  async run({ file: text, recursive, tar, output: target }, { settings, output, signal }) {
    const { address, settings: where } = addressOf(text, settings);
    await using opened = await openProject(where);
    const files = await filesAt(opened.project, await opened.project.snapshot(), address, text);
    const file = await files.find(address.path ?? '/');
    const progress = new FilesProgress(output, entrySize(file.entry)).add;
    // Under its own name, standard output may be a link to a file, which would be replaced.
    const isStdout = target === undefined || target === '-' || target === '/dev/stdout';
    if (tar) {
      const archive = tarOf(files, file, { progress, signal });
      if (!isStdout) return await writeStream(archive, target, signal);
      if (output.isForPeople) {
        const next = `pach get file ${shellWord(text)} --tar -o FILE`;
        throw new PachError('usage', { what: '--tar', why: 'an archive is not written to a terminal', next });
      }
      for await (const bytes of archive) await output.write(bytes);
      return;
    }
    if (file.entry.kind === 'directory') {
      if (!recursive)
        throw new PachError('usage', {
          what: text,
          why: 'it is a folder',
          next: `pach get file ${shellWord(text)} -r -o FOLDER`,
        });
      if (target === undefined || target === '-') {
        throw new PachError('usage', {
          what: text,
          why: 'a folder needs a local folder as its target (-o FOLDER)',
          next: `pach get file ${shellWord(text)} -r -o FOLDER`,
        });
      }
      await extractFolder(files, file, target, { progress, signal });
      return;
    }
    if (isStdout) {
      for await (const part of files.read(file.entry)) {
        signal.throwIfAborted();
        await output.write(part);
      }
      return;
    }
    const there = await stat(nameOfText(target)).catch(() => undefined);
    const path = there?.isDirectory() ? `${target}/${basename(file.path)}` : target;
    const special = there !== undefined && !there.isDirectory() && !there.isFile();
    await (special ? writeInto : extractFile)(files, file, path, { progress, signal });
  },
});
