/**
 * Files of a version as a tar, while it is read: no more than a part of a file is in memory.
 */
import { nameOfText } from '../../model/paths.ts';
import { entrySize } from '../../model/tree.ts';
import { tarEnd, tarMember, tarPadding } from '../../sources/tar-writer.ts';
import type { ExtractOptions } from './extract.ts';
import type { File, FileBytes, Files } from './files.ts';

/** What lies in a folder, with paths below it; a file is the one member of its archive. */
export async function* tarOf(files: Files, root: File, options: ExtractOptions): AsyncGenerator<Buffer> {
  const from = root.entry.kind === 'directory' ? root.path.replace(/\/$/, '').length : root.path.lastIndexOf('/');
  for await (const file of files.listToRead(root, options.signal)) {
    options.signal?.throwIfAborted();
    yield* member(files, { ...file, path: file.path.slice(from + 1) }, options);
  }
  yield tarEnd;
}

async function* member(files: FileBytes, { path, entry }: File, options: ExtractOptions): AsyncGenerator<Buffer> {
  const common = { mode: entry.kind === 'file' && !entry.executable ? 0o644 : 0o755, time: entry, size: 0 };
  if (entry.kind === 'directory') {
    yield tarMember({ ...common, path: nameOfText(`${path}/`), type: 'directory' });
    return;
  }
  if (entry.kind === 'symlink') {
    const target: Buffer[] = [];
    for await (const bytes of files.read(entry)) target.push(bytes);
    yield tarMember({ ...common, path: nameOfText(path), type: 'link', mode: 0o777, linkPath: Buffer.concat(target) });
  } else {
    const size = entrySize(entry);
    yield tarMember({ ...common, path: nameOfText(path), type: 'file', size });
    for await (const bytes of files.read(entry)) {
      options.signal?.throwIfAborted();
      options.progress(bytes.length, 0);
      yield bytes;
    }
    yield tarPadding(size);
  }
  options.progress(0, 1);
}
