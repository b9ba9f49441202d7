/**
 * Files of a version to a folder of this machine. Never writes through a link or outside its
 * target: folders are made here, files are made anew beside the old name and renamed over it.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { lstat, lutimes, mkdir, open, rename, rm, stat, symlink, type FileHandle } from 'node:fs/promises';
import { PachError } from '../../base/errors.ts';
import { utimesTime } from '../../base/file-time.ts';
import { nameOfText } from '../../model/paths.ts';
import type { TreeEntry } from '../../model/tree.ts';
import type { File, FileBytes, Files } from './files.ts';

export interface ExtractOptions {
  /** Told of bytes and files as they are written. */
  progress(bytes: number, files: number): void;
  readonly signal?: AbortSignal | undefined;
}

const slash = Buffer.from('/');
/** How often to check whether a FIFO has a reader. */
const readerLookMs = 50;

/** Writes one file or symlink to `target`, replacing what is there unless it is a folder. */
export async function extractFile(
  files: FileBytes,
  file: File,
  target: string,
  options: ExtractOptions,
): Promise<void> {
  await extractEntry(files, file.entry, nameOfText(target), options).catch((error: unknown) => {
    throw unwritable(target, error);
  });
}

/** Writes a file's bytes to a device or FIFO, such as `/dev/null`, which stays what it is. */
export async function writeInto(files: Files, file: File, target: string, options: ExtractOptions): Promise<void> {
  async function* bytes(): AsyncGenerator<Buffer> {
    for await (const part of files.read(file.entry)) {
      yield part;
      options.progress(part.length, 0);
    }
  }
  await writeStreamInto(bytes(), target, options.signal);
  options.progress(0, 1);
}

/** The same for any stream. */
async function writeStreamInto(stream: AsyncIterable<Buffer>, target: string, signal?: AbortSignal): Promise<void> {
  try {
    await using into = await openInto(target, signal);
    for await (const bytes of stream) {
      signal?.throwIfAborted();
      await into.writeFile(bytes);
    }
  } catch (error) {
    throw unwritable(target, error);
  }
}

/** Writes a stream to a file, which has its name only when it is whole; to a device or FIFO as it comes. */
export async function writeStream(stream: AsyncIterable<Buffer>, target: string, signal?: AbortSignal): Promise<void> {
  const path = nameOfText(target);
  const there = await stat(path).catch(() => undefined);
  if (there?.isDirectory()) throw new PachError('usage', { what: target, why: 'it is a folder; name a file' });
  if (there && !there.isFile()) return writeStreamInto(stream, target, signal);
  const temporary = temporaryBeside(path);
  try {
    await using file = await open(temporary, 'wx', 0o666);
    for await (const bytes of stream) {
      signal?.throwIfAborted();
      await file.writeFile(bytes);
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw unwritable(target, error);
  }
}

function temporaryBeside(path: Buffer): Buffer {
  const folder = path.subarray(0, path.lastIndexOf(slash) + 1);
  return Buffer.concat([folder, Buffer.from(`.pach-${randomBytes(8).toString('hex')}`)]);
}

/** open(2) of a FIFO waits for a reader and can't be interrupted. So it is opened once there is one. */
async function openInto(target: string, signal: AbortSignal | undefined): Promise<FileHandle> {
  for (;;) {
    try {
      await using _ = await open(target, constants.O_WRONLY | constants.O_NONBLOCK);
      return await open(target, constants.O_WRONLY);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error;
    }
    signal?.throwIfAborted();
    await sleep(readerLookMs);
  }
}

/** Writes the contents of a directory into `target`, which is made when its parent exists. */
export async function extractFolder(files: Files, root: File, target: string, options: ExtractOptions): Promise<void> {
  const prefix = root.path === '/' ? 0 : root.path.length;
  await mkdir(nameOfText(target)).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw unwritable(target, error);
  });
  // Times of folders are set last, innermost first: writing into a folder changes its time.
  const folders: { path: Buffer; entry: TreeEntry }[] = [];
  for await (const file of files.listToRead(root, options.signal)) {
    options.signal?.throwIfAborted();
    const path = Buffer.concat([nameOfText(target), nameOfText(file.path.slice(prefix))]);
    try {
      if (file.entry.kind === 'directory') {
        await makeFolder(path);
        folders.push({ path, entry: file.entry });
      } else await extractEntry(files, file.entry, path, options);
    } catch (error) {
      throw unwritable(path.toString(), error);
    }
  }
  for (const { path, entry } of folders.toReversed()) await lutimes(path, utimesTime(entry), utimesTime(entry));
}

async function makeFolder(path: Buffer): Promise<void> {
  const there = await lstat(path).catch(() => undefined);
  if (there?.isDirectory()) return;
  if (there)
    throw new PachError('conflict', {
      what: path.toString(),
      why: 'it is not a folder, and a folder must be written there',
    });
  await mkdir(path);
}

async function extractEntry(files: FileBytes, entry: TreeEntry, path: Buffer, options: ExtractOptions): Promise<void> {
  const there = await lstat(path).catch(() => undefined);
  if (there?.isDirectory()) {
    throw new PachError('conflict', {
      what: path.toString(),
      why: `it is a folder, and a ${entry.kind} must be written there`,
    });
  }
  const temporary = temporaryBeside(path);
  try {
    if (entry.kind === 'symlink') {
      await symlink(await contentOf(files, entry), temporary);
      await lutimes(temporary, utimesTime(entry), utimesTime(entry));
    } else {
      await writeContent(files, entry, temporary, options);
    }
    await rename(temporary, path);
    options.progress(0, 1);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function writeContent(files: FileBytes, entry: TreeEntry, path: Buffer, options: ExtractOptions): Promise<void> {
  await using file = await open(path, 'wx', 0o666);
  let offset = 0;
  for await (const part of files.parts(entry)) {
    options.signal?.throwIfAborted();
    if (part.bytes) await writeAt(file, part.bytes, offset);
    const length = part.bytes ? part.bytes.length : part.zeros;
    offset += length;
    options.progress(length, 0);
  }
  await file.truncate(offset);
  if (entry.executable) await file.chmod((await file.stat()).mode | executeBits());
  await file.utimes(utimesTime(entry), utimesTime(entry));
}

/** A disk that is nearly full writes a part. The next write throws the reason. */
async function writeAt(file: FileHandle, bytes: Buffer, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
  }
}

/** The execute bits that the user's mask lets through, as for files a compiler makes. */
function executeBits(): number {
  return 0o111 & ~process.umask();
}

async function contentOf(files: FileBytes, entry: TreeEntry): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const bytes of files.read(entry)) parts.push(bytes);
  return Buffer.concat(parts);
}

function unwritable(path: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (error instanceof PachError || typeof code !== 'string') return error;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new PachError('no-space', {
      what: path,
      why: 'the disk is full',
      next: 'free space and try again',
      cause: error,
    });
  }
  if (code === 'ENOENT')
    return new PachError('not-found', { what: path, why: 'its parent folder does not exist', cause: error });
  return new PachError('denied', { what: path, why: `it can't be written (${code})`, cause: error });
}
