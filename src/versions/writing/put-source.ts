/**
 * One source of a put, whatever it is, to files of a version.
 */
import type { Stats } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { type FileTime, fileTime } from '../../base/file-time.ts';
import type { BlobReader } from '../../cache/blobs.ts';
import { PachError } from '../../base/errors.ts';
import { rootPlace } from '../../base/place.ts';
import { nameOfText, parsePath, pathOf, textOfName } from '../../model/paths.ts';
import { directoryOf, entryHash, type FileContent, nounOf, type TreeEntry } from '../../model/tree.ts';
import { localBytes } from '../../sources/open.ts';
import type { EntrySource } from '../../sources/source.ts';
import { appendStream } from './append.ts';
import { storeStream } from '../content.ts';
import { sameContent, type Directory } from '../directories.ts';
import { ingestFolder, maybeFile, type IngestOptions } from './ingest.ts';
import { putEntries, type PutEntriesOptions } from './put-entries.ts';
import { leaveOut, unreadable } from './unreadable.ts';

export type PutSource =
  | {
      readonly kind: 'path';
      readonly path: string;
      readonly recursive: boolean;
      /** What lies in the target and not in the folder is deleted. */
      readonly deleteOthers?: boolean;
    }
  | { readonly kind: 'stream'; readonly stream: AsyncIterable<Uint8Array> }
  | EntrySource;

export interface PutSourceOptions extends PutEntriesOptions {
  /** Adds to the file that is there instead of replacing it. Where given, reads what is there. */
  readonly appendTo?: BlobReader | undefined;
}

/** Where a source goes: to the target, or into it. What an archive or a list of entries gives goes below that. */
export function placeOf(source: PutSource, target: string): Buffer[] {
  const names = parsePath(target);
  if (source.kind !== 'path' || (target !== '' && !target.endsWith('/'))) return names;
  // Only folders are named so, and then their contents are put.
  const isUnnamed = /(^|\/)\.{0,2}\/*$/.test(source.path);
  return isUnnamed ? names : [...names, nameOfText(basename(resolve(source.path)))];
}

/** `root` with what a source gives at `target`: a path, or a folder to put into (ends in `/` or is empty). */
export async function putSource(
  options: PutSourceOptions,
  root: Directory | undefined,
  source: PutSource,
  target: string,
): Promise<Directory | undefined> {
  const into = target === '' || target.endsWith('/');
  const names = parsePath(target);
  const now = Date.now();
  if (source.kind === 'entries') return putEntries(options, root, names, source);
  if (source.kind === 'stream') {
    const name = names.at(-1);
    if (into || !name) {
      throw new PachError('usage', {
        what: `target ${target || '/'}`,
        why: 'data from standard input or a pipe needs a file name',
        next: 'name the file in the target: repo@branch:/name',
      });
    }
    const content = await storeBehind(options, root, names, counted(source.stream, options));
    options.progress(0, 1);
    return replace(options, root, names, { name, kind: 'file', executable: false, ...fileTime(now), content });
  }
  const info = await stat(nameOfText(source.path)).catch((error: NodeJS.ErrnoException) => {
    const what = source.path;
    if (error.code === 'ENOENT') {
      throw new PachError('not-found', { what, why: 'there is no such file or folder', cause: error });
    }
    if (error.code === 'ENOTDIR') {
      throw new PachError('failed', {
        what,
        why: 'it is not a folder, or part of its path is not a folder',
        cause: error,
      });
    }
    return leaveOut(options, unreadable(what, error));
  });
  if (!info) return root;
  const path = Buffer.from(nameOfText(source.path));
  // What is named may be a link, or lie behind one.
  const real = textOfName(await realpath(path, { encoding: 'buffer' }));
  await options.own?.refuse(source.path, real);
  const at = placeOf(source, target);
  if (!info.isDirectory()) {
    if (!info.isFile()) {
      throw new PachError('failed', { what: source.path, why: 'sockets, devices and FIFOs are not stored' });
    }
    // A link named on the command line is what it leads to, as for cp.
    const file = options.appendTo
      ? {
          ...factsOf(info),
          content: await storeBehind(options, root, at, counted(localBytes(source.path, options), options)),
        }
      : await maybeFile(options, rootPlace(path));
    if (!file) return root;
    if (options.appendTo) options.progress(0, 1);
    return replace(options, root, at, { name: at.at(-1) as Buffer, kind: 'file', ...file });
  }
  if (!source.recursive) {
    throw new PachError('usage', {
      what: source.path,
      why: 'it is a folder',
      next: 'put it with -r',
    });
  }
  // The folder may be named through a link; what lies in it is taken without following any.
  const { deleteOthers = false } = source;
  return putFolder({ ...options, deleteOthers }, root, nameOfText(real), at, now);
}

/** Stores a stream, behind what lies at a path when the options say so. */
async function storeBehind(
  options: PutSourceOptions,
  root: Directory | undefined,
  at: readonly Buffer[],
  stream: AsyncIterable<Uint8Array>,
): Promise<FileContent> {
  const before = options.appendTo && root && (await options.directories.find(root, at));
  if (!options.appendTo || before?.kind !== 'file' || before.content.form === 'directory') {
    return storeStream(options.sink, stream);
  }
  // What an earlier source of this put gave must be readable.
  await options.finish();
  return appendStream(options.sink, options.appendTo, before.content, stream);
}

function factsOf({ mode, mtimeMs }: Stats): Pick<TreeEntry, 'executable'> & FileTime {
  return { executable: (mode & 0o111) !== 0, ...fileTime(mtimeMs) };
}

async function putFolder(
  options: IngestOptions,
  root: Directory | undefined,
  path: Buffer,
  at: readonly Buffer[],
  now: number,
): Promise<Directory | undefined> {
  const before = root && (await options.directories.find(root, at));
  const base = directoryOf(before);
  const content = await ingestFolder(options, rootPlace(path), base).catch((error: unknown) => {
    leaveOut(options, error);
  });
  if (!content) return root;
  const name = at.at(-1);
  if (!name) return content;
  return replace(
    options,
    root,
    at,
    before && base ? { ...before, content } : { name, kind: 'directory', executable: false, ...fileTime(now), content },
  );
}

/** Sets an entry; one that was there with equal content keeps its time. */
async function replace(
  options: IngestOptions,
  root: Directory | undefined,
  at: readonly Buffer[],
  entry: TreeEntry,
): Promise<Directory> {
  const before = root && (await options.directories.find(root, at));
  if (root && before && sameContent(before, entry) && sameNode(before, entry)) return root;
  if (before && before.kind !== entry.kind && (before.kind === 'directory' || entry.kind === 'directory')) {
    throw new PachError('conflict', {
      what: pathOf(at),
      why: `there is a ${nounOf(before.kind)} at this path, and the source is a ${nounOf(entry.kind)}`,
      next: before.kind === 'directory' ? 'end the target with / to put it into that folder' : 'delete it first',
    });
  }
  return options.directories.set(root, at, entry, Date.now());
}

/** For directories: the same down to their entries' times. */
function sameNode(a: TreeEntry, b: TreeEntry): boolean {
  if (a.content.form !== 'directory' || b.content.form !== 'directory') return true;
  return a.content.ref.hash.equals(b.content.ref.hash) && entryHash(a).equals(entryHash(b));
}

async function* counted(stream: AsyncIterable<Uint8Array>, options: IngestOptions): AsyncGenerator<Uint8Array> {
  for await (const bytes of stream) {
    options.signal?.throwIfAborted();
    options.progress(bytes.length, 0);
    yield bytes;
  }
}
