/**
 * A store in a folder of this machine (or of a file system that many machines mount).
 *
 * An object is a file at its key. It appears by link(2), which fails when the name exists, or is
 * replaced by rename(2) under an exclusive flock(2) on `.lock`: a process may die at any moment,
 * and any number may write at once. `.tmp` holds what is being written.
 */
import { createHash } from 'node:crypto';
import { constants, type BigIntStats } from 'node:fs';
import { link, lstat, readdir, rename, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Semaphore } from '../base/async.ts';
import { assert, isPachError, PachError } from '../base/errors.ts';
import { native } from '../base/native.ts';
import { removeOne } from '../base/remove.ts';
import { DurableFolders, openRegular, syncFolder } from './durable.ts';
import { errnoOf, fromErrno } from '../base/system-errors.ts';
import { checkKey, checkPrefix, isListed, smallObjectBytesMax } from './keys.ts';
import { leftovers } from './leftovers.ts';
import type { DirectSource, Leftovers, ObjectInfo, Store, Token, Versioned } from './store.ts';

/** Objects open for reading at once: the threads that read are fewer, and descriptors may be few. */
const readsMax = 32;
/** Entries of a folder whose sizes are asked for at once. */
const listAhead = 64;
/** A file that changed so long ago has other times than one that is written from now on, however coarse the kernel's clock. */
const settledMs = 2000;

/**
 * Within a process, one at a time waits for a folder's lock: the wait holds a thread of the pool,
 * and the holder needs threads to get on.
 */
const turns = new Map<string, Semaphore>();

/** A folder as a store; it need not exist yet. Throws `usage` when something else is there. */
export async function openFolder(root: string): Promise<Store> {
  let isThere = false;
  try {
    if (!(await stat(root)).isDirectory()) {
      throw new PachError('usage', {
        what: root,
        why: 'it is not a folder',
        next: 'name a folder, or a path where a folder can be made',
      });
    }
    isThere = true;
  } catch (error) {
    if (errnoOf(error) === 'ENOTDIR') {
      throw new PachError('usage', { what: root, why: 'part of its path is not a folder', cause: error });
    }
    if (errnoOf(error) !== 'ENOENT') throw fromErrno(error, root);
  }
  return new FolderStore(root, isThere);
}

class FolderStore implements Store {
  readonly url: string;
  readonly isLocal = true;
  private readonly folders: DurableFolders;
  private readonly turn: Semaphore;
  private readonly reads = new Semaphore(readsMax);
  /** Of each key that is watched, the last version that was read, and how its file looked. */
  private readonly watched = new Map<string, { readonly token: Token; readonly look: string }>();

  constructor(root: string, isThere: boolean) {
    this.url = root;
    this.folders = new DurableFolders(root, isThere);
    this.turn = turns.get(root) ?? new Semaphore(1);
    turns.set(root, this.turn);
  }

  async read(key: string, offset: number, length: number): Promise<Uint8Array> {
    // Also an empty range reads a byte, since only read(2) tells a folder from a file.
    const bytes = await this.withFile(key, (file) => readRange(file, offset, Math.max(1, length)));
    return bytes.subarray(0, length);
  }

  async readTail(key: string, length: number): Promise<{ bytes: Uint8Array; size: number }> {
    return this.withFile(key, async (file) => {
      const { size } = await file.stat();
      const wanted = Math.min(size, Math.max(1, length));
      const bytes = await readRange(file, size - wanted, wanted);
      return { bytes: bytes.subarray(0, length), size };
    });
  }

  async readWithToken(key: string): Promise<Versioned | undefined> {
    return orAbsent(this.withFile(key, (file) => this.wholeOf(key, file)));
  }

  async readIfChanged(key: string, token: Token | undefined): Promise<Versioned | 'unchanged' | undefined> {
    // The file is opened each time: NFS answers a stat of a path from what it knew some time ago.
    const read = this.withFile(key, async (file) => {
      const before = this.watched.get(key);
      const found = await file.stat({ bigint: true });
      const look = lookOf(found);
      if (before && before.token === token && before.look === look) return 'unchanged';
      const whole = await this.wholeOf(key, file);
      if (Date.now() - Number(found.ctimeMs) > settledMs) this.watched.set(key, { token: whole.token, look });
      return whole.token === token ? 'unchanged' : whole;
    });
    return orAbsent(read);
  }

  async writeIfAbsent(key: string, parts: readonly Uint8Array[]): Promise<boolean> {
    const path = this.localPath(key);
    return this.inWords(path, () => this.folders.withTemporary(parts, (temporary) => this.linkAt(temporary, path)));
  }

  async writeIfUnchanged(key: string, bytes: Uint8Array, token: Token | undefined): Promise<Token | undefined> {
    const path = this.localPath(key);
    if (token === undefined) return (await this.writeIfAbsent(key, [bytes])) ? tokenOf(bytes) : undefined;
    return this.inWords(path, () =>
      this.folders.withTemporary([bytes], (temporary) =>
        this.locked(async () => {
          if ((await this.readWithToken(key))?.token !== token) return undefined;
          await rename(temporary, path);
          await syncFolder(dirname(path));
          return tokenOf(bytes);
        }),
      ),
    );
  }

  async *list(prefix: string): AsyncGenerator<ObjectInfo> {
    checkPrefix(prefix);
    const folders = [prefix.slice(0, prefix.lastIndexOf('/') + 1)];
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      const { files, below } = await this.look(folder, prefix);
      yield* files;
      folders.push(...below);
    }
  }

  async delete(key: string): Promise<void> {
    const path = this.localPath(key);
    await this.inWords(path, async () => {
      try {
        // Under the lock: a writer that has checked its condition must not bring it back.
        await this.locked(() => removeOne(`${this.url}/`, key));
      } catch (error) {
        // A part of the path is an object: then there is none of this key.
        if (!['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) throw error;
      }
    });
  }

  direct(key: string): Promise<DirectSource> {
    return Promise.resolve({ path: this.localPath(key) });
  }

  localPath(key: string): string {
    checkKey(key);
    return join(this.url, key);
  }

  leftovers(untouchedMs: number, remove: boolean): Promise<Leftovers> {
    const path = join(this.url, '.tmp');
    return this.inWords(path, () => leftovers(path, untouchedMs, remove));
  }

  async close(): Promise<void> {
    // Nothing is kept open between calls.
  }

  /** Gives a finished file its name unless that exists. The object of that name is durable then, either way. */
  private async linkAt(temporary: string, path: string): Promise<boolean> {
    await this.folders.make(dirname(path));
    let written = true;
    try {
      await this.linkOnce(temporary, path);
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
      written = false;
    }
    await syncFolder(dirname(path));
    return written;
  }

  private async linkOnce(temporary: string, path: string): Promise<void> {
    try {
      await link(temporary, path);
    } catch (error) {
      if (errnoOf(error) === 'EPERM' || errnoOf(error) === 'ENOTSUP') {
        throw new PachError('unsupported', {
          what: path,
          why: 'its file system has no hard links, and safe writes need them',
          next: 'put the store on a file system of Linux or macOS',
          cause: error,
        });
      }
      if (errnoOf(error) !== 'ENOENT') throw error;
      // Another process has removed the folder.
      this.folders.forget();
      await this.folders.make(dirname(path));
      await link(temporary, path);
    }
  }

  /** Runs `work` while no other process replaces or deletes objects. */
  private locked<T>(work: () => Promise<T>): Promise<T> {
    return this.turn.run(async () => {
      // Closing the descriptor releases the lock, and so does the death of this process.
      await using file = await this.folders.openLock();
      await native().lockExclusive(file.fd);
      return await work();
    });
  }

  private async wholeOf(key: string, file: FileHandle): Promise<Versioned> {
    const { size } = await file.stat();
    if (size > smallObjectBytesMax) {
      throw new PachError('damaged', { what: this.localPath(key), why: `it has ${size} bytes, far too many` });
    }
    const bytes = await readRange(file, 0, size);
    return { bytes, token: tokenOf(bytes) };
  }

  private async withFile<T>(key: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
    const path = this.localPath(key);
    const read = async (): Promise<T> => {
      await using file = await openRegular(path, constants.O_RDONLY);
      return await work(file);
    };
    return this.inWords(path, () => this.reads.run(read));
  }

  private async inWords<T>(path: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') await this.mustBeThere();
      throw fromErrno(error, path);
    }
  }

  /** Its disk may not be mounted, or somebody has renamed it: then nothing of it can be told to be absent. */
  private async mustBeThere(): Promise<void> {
    if (!this.folders.hasRoot) return;
    const found = await stat(this.url).catch((error: unknown) => errnoOf(error));
    if (found !== 'ENOENT') return;
    const next = 'mount its disk, or give it its name back';
    throw new PachError('unreachable', { what: this.url, why: 'the folder of the store is not there any more', next });
  }

  /** What lies in `folder` (relative, with its slash) and may begin with `prefix`. */
  private async look(folder: string, prefix: string): Promise<{ files: ObjectInfo[]; below: string[] }> {
    const path = join(this.url, folder);
    const files: ObjectInfo[] = [];
    const below: string[] = [];
    return this.inWords(path, async () => {
      const entries = await readdir(path, { withFileTypes: true }).catch(absentAsEmpty);
      if (entries.length === 0) await this.mustBeThere();
      const shown = entries.filter(({ name }) => isListed(folder + name, prefix.slice(0, folder.length + name.length)));
      for (const entry of shown) if (entry.isDirectory()) below.push(`${folder}${entry.name}/`);
      const names = shown.filter((entry) => entry.isFile()).map(({ name }) => folder + name);
      const wanted = names.filter((key) => isListed(key, prefix));
      for (let at = 0; at < wanted.length; at += listAhead) {
        const found = wanted.slice(at, at + listAhead).map(async (key) => {
          const { size, mtime } = await lstat(join(this.url, key));
          files.push({ key, size, modified: mtime });
        });
        // What was deleted meanwhile is not there.
        for (const { reason } of await settled(found)) if (errnoOf(reason) !== 'ENOENT') throw reason;
      }
      return { files, below };
    });
  }
}

async function settled(calls: readonly Promise<void>[]): Promise<PromiseRejectedResult[]> {
  return (await Promise.allSettled(calls)).filter((result) => result.status === 'rejected');
}

/** Undefined for an object that is not there. */
async function orAbsent<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (isPachError(error, 'not-found')) return undefined;
    throw error;
  }
}

/** Differs between any two versions of a file, unless one was written right after the other. */
function lookOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
}

function absentAsEmpty(error: unknown): [] {
  if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return [];
  throw error;
}

function tokenOf(bytes: Uint8Array): Token {
  return createHash('sha256').update(bytes).digest('hex') as Token;
}

/** Up to `length` bytes from `offset`; fewer only at the end of the file. */
async function readRange(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  assert(offset >= 0 && length >= 0, 'a range of an object');
  const bytes = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}
