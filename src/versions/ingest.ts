/**
 * A folder of this machine to a directory of a version. Walks in the order of names, so that
 * neighbours lie side by side in packs, and builds each directory once, bottom up.
 */
import { readlink } from 'node:fs/promises';
import { mapOrdered } from '../base/async.ts';
import { PachError } from '../base/errors.ts';
import { native, type FileStat, type SmallFile } from '../base/native.ts';
import { inlineBytesMax, nameBytesMax, type Hash } from '../model/refs.ts';
import { textOfName } from '../model/paths.ts';
import type { FileContent, TreeEntry } from '../model/tree.ts';
import { storeFile, storeSmall, storeStream, type ContentSink, type ReadFile } from './content.ts';
import { sameContent, type Directories, type Directory, type OldEntries } from './directories.ts';

export interface IngestOptions {
  readonly sink: ContentSink;
  readonly directories: Directories;
  /** Told of bytes and files as they are read. */
  progress(bytes: number, files: number): void;
  /** Told of what can't be stored (sockets, devices, FIFOs) and is left out. */
  skipped(path: string, why: string): void;
  readonly signal?: AbortSignal | undefined;
}

/** Files up to this size are one chunk whatever they hold, and are read many at a time. */
const smallBytesMax = 256 * 1024;
const batchFilesMax = 512;
const batchBytesMax = 4 * 1024 * 1024;
const slash = Buffer.from('/');

/**
 * Stores what lies in `folder` over `base`: names there and not here stay; a time stays where
 * the content does. Throws `failed` or `denied` naming the source that can't be read.
 */
export async function ingestFolder(
  options: IngestOptions,
  folder: Buffer,
  base: Directory | undefined,
): Promise<Directory> {
  options.signal?.throwIfAborted();
  const stats = await native()
    .listFolder(folder)
    .catch((error: unknown) => {
      throw unreadable(shownPath(folder), error);
    });
  const old = options.directories.merge(base);
  return options.directories.apply(base, changed(old, stored(options, folder, stats, old)));
}

/** Leaves out what is stored the same already, so that an unchanged folder keeps its node. */
async function* changed(old: OldEntries, entries: AsyncIterable<TreeEntry>): AsyncGenerator<TreeEntry> {
  for await (const entry of entries) {
    const before = await old(entry.name);
    if (!before || !sameContent(before, entry)) yield entry;
  }
}

/** The entries of a folder, in the order of its names. */
async function* stored(
  options: IngestOptions,
  folder: Buffer,
  stats: readonly FileStat[],
  old: OldEntries,
): AsyncGenerator<TreeEntry> {
  for await (const { batch, files } of mapOrdered(batches(stats), 2, (group) => readBatch(folder, group))) {
    options.signal?.throwIfAborted();
    if (files) {
      yield* await storeBatch(options, folder, batch, files);
      continue;
    }
    for (const stat of batch) {
      const entry = await storeOne(options, folder, stat, old);
      if (entry) yield entry;
    }
  }
}

/** Groups neighbours that are small files; everything else is a group of its own. */
function* batches(stats: readonly FileStat[]): Generator<FileStat[]> {
  let group: FileStat[] = [];
  let bytes = 0;
  for (const stat of stats) {
    const small = stat.kind === 'file' && stat.size <= smallBytesMax && !stat.error;
    if (group.length > 0 && (!small || group.length >= batchFilesMax || bytes + stat.size > batchBytesMax)) {
      yield group;
      group = [];
      bytes = 0;
    }
    if (small) {
      group.push(stat);
      bytes += stat.size;
    } else yield [stat];
  }
  if (group.length > 0) yield group;
}

async function readBatch(
  folder: Buffer,
  batch: FileStat[],
): Promise<{ batch: FileStat[]; files: SmallFile[] | undefined }> {
  const first = batch[0] as FileStat;
  if (first.kind !== 'file' || first.size > smallBytesMax || first.error) return { batch, files: undefined };
  const names = batch.map((stat) => stat.name);
  return { batch, files: await native().readSmallFiles(folder, names, smallBytesMax) };
}

async function storeBatch(
  options: IngestOptions,
  folder: Buffer,
  batch: readonly FileStat[],
  files: readonly SmallFile[],
): Promise<TreeEntry[]> {
  const whole = files.flatMap(({ bytes, hash }) => (bytes && hash ? [{ bytes, hash: hash as Hash }] : []));
  const contents = await storeSmall(options.sink, whole);
  const entries: TreeEntry[] = [];
  let next = 0;
  for (const [index, stat] of batch.entries()) {
    const file = files[index] as SmallFile;
    const path = join(folder, stat.name);
    checkName(stat.name, path);
    if (file.error === 'EFBIG') {
      entries.push({ name: stat.name, kind: 'file', ...(await ingestFile(options, path)) });
      continue;
    }
    if (file.error) throw unreadable(shownPath(path), Object.assign(new Error(file.error), { code: file.error }));
    const content = contents[next] as FileContent;
    next += 1;
    options.progress(file.bytes?.length ?? 0, 1);
    const { executable, mtimeSeconds, mtimeNanoseconds } = file;
    entries.push({ name: stat.name, kind: 'file', executable, mtimeSeconds, mtimeNanoseconds, content });
  }
  return entries;
}

async function storeOne(
  options: IngestOptions,
  folder: Buffer,
  stat: FileStat,
  old: OldEntries,
): Promise<TreeEntry | undefined> {
  const path = join(folder, stat.name);
  checkName(stat.name, path);
  const { name, mtimeSeconds, mtimeNanoseconds } = stat;
  if (stat.error) throw unreadable(shownPath(path), Object.assign(new Error(stat.error), { code: stat.error }));
  switch (stat.kind) {
    case 'other':
      options.skipped(shownPath(path), 'sockets, devices and FIFOs are not stored');
      return undefined;
    case 'symlink':
      options.progress(0, 1);
      return {
        name,
        kind: 'symlink',
        executable: false,
        mtimeSeconds,
        mtimeNanoseconds,
        content: await link(options, path),
      };
    case 'directory': {
      const before = await old(name);
      const base = before?.content.form === 'directory' ? before.content : undefined;
      const content = await ingestFolder(options, path, base);
      return { name, kind: 'directory', executable: false, mtimeSeconds, mtimeNanoseconds, content };
    }
    case 'file':
      return { name, kind: 'file', ...(await ingestFile(options, path)) };
  }
}

async function link(options: IngestOptions, path: Buffer): Promise<FileContent> {
  const target = await readlink(path, { encoding: 'buffer' }).catch((error: unknown) => {
    throw unreadable(shownPath(path), error);
  });
  if (target.length <= inlineBytesMax) return { form: 'inline', bytes: target };
  const stream = async function* (): AsyncGenerator<Buffer> {
    yield target;
  };
  return storeStream(options.sink, stream());
}

/** Stores one file of any size. Throws `failed`, `denied` or `not-found` naming it when it can't be read. */
export async function ingestFile(options: IngestOptions, path: Buffer): Promise<ReadFile> {
  const shown = shownPath(path);
  const file = await storeFile(options.sink, path, shown, (bytes) => {
    options.signal?.throwIfAborted();
    options.progress(bytes, 0);
  }).catch((error: unknown) => {
    throw unreadable(shown, error);
  });
  options.progress(0, 1);
  return file;
}

function join(folder: Buffer, name: Buffer): Buffer {
  return Buffer.concat([folder, slash, name]);
}

function checkName(name: Buffer, path: Buffer): void {
  if (name.length > nameBytesMax) {
    throw new PachError('failed', { what: shownPath(path), why: `its name is longer than ${nameBytesMax} bytes` });
  }
}

/** A local path as it is shown to people. */
function shownPath(path: Buffer): string {
  return textOfName(path);
}

/** What went wrong with a source, as an operating error that names it. */
function unreadable(shown: string, error: unknown): unknown {
  const code = (error as { code?: unknown }).code;
  if (error instanceof PachError || typeof code !== 'string') return error;
  const options = { what: shown, cause: error };
  switch (code) {
    case 'ENOENT':
      return new PachError('not-found', { ...options, why: 'it is not there (any more)' });
    case 'EACCES':
    case 'EPERM':
      return new PachError('denied', { ...options, why: 'you may not read it' });
    default:
      return new PachError('failed', { ...options, why: `it can't be read (${code})` });
  }
}
