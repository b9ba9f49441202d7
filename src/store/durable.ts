/**
 * Files that appear whole or not at all, and stay: written under a temporary name, synced, then
 * given their name in one step; folders on the way are synced into their parents.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, mkdir, open, readdir, unlink, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PachError } from '../base/errors.ts';
import { native } from '../base/native.ts';
import { errnoOf } from './errno.ts';

/** What is left of a writer that died is removed when it is older than any write can last. */
const staleMs = 24 * 3600 * 1000;

/** Files of this length on are written past the page cache, and without being put together first. */
const largeBytesMin = 1024 * 1024;

/** Makes what was done to the names in a folder survive a power failure. */
export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  await folder.sync();
}

/**
 * Opens a file of a store. To open a FIFO could take for ever, and to read a device too: such a
 * thing in the place of a file is told by the descriptor, and throws `damaged`.
 */
export async function openRegular(path: string, flags: number): Promise<FileHandle> {
  const file = await open(path, flags | constants.O_NONBLOCK | constants.O_NOCTTY, 0o666).catch((error: unknown) => {
    // A socket, or a device that is not there.
    throw ['ENXIO', 'ENODEV'].includes(errnoOf(error) ?? '') ? notRegular(path, error) : error;
  });
  try {
    const found = await file.stat();
    // A folder is no object; reading it says so.
    if (!found.isFile() && !found.isDirectory()) throw notRegular(path);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

function notRegular(path: string, cause?: unknown): PachError {
  return new PachError('damaged', {
    what: path,
    why: 'it is no regular file, but a FIFO, socket or device in the place of one',
    next: 'find out who put it there, and restore the file from a copy of the store',
    cause,
  });
}

async function writeSmall(path: string, parts: readonly Uint8Array[]): Promise<void> {
  await using file = await open(path, 'wx', 0o444);
  await file.writeFile(Buffer.concat(parts));
  await file.datasync();
}

/** The folders of one store, made when first needed. */
export class DurableFolders {
  private readonly root: string;
  private readonly temporary: string;
  /** Folders known to exist and to be synced into their parents. */
  private readonly durable = new Set<string>();
  private prepared: Promise<void> | undefined;

  constructor(root: string) {
    this.root = root;
    this.temporary = join(root, '.tmp');
  }

  /** Makes the root, private to the user. Its parent must exist: a typing error must not grow a tree. */
  async makeRoot(): Promise<void> {
    this.prepared ??= this.prepare();
    try {
      await this.prepared;
    } catch (error) {
      this.prepared = undefined;
      throw error;
    }
  }

  /** Makes `folder` (below the root) and those above it. */
  async make(folder: string): Promise<void> {
    if (this.durable.has(folder)) return;
    if (folder === this.root) return this.makeRoot();
    await this.make(dirname(folder));
    await makeFolderBelow(folder);
    // Also when another process made it: that one may have died before its own sync.
    await syncFolder(dirname(folder));
    this.durable.add(folder);
  }

  /** Forgets which folders exist, after somebody removed one. */
  forget(): void {
    this.durable.clear();
    this.prepared = undefined;
  }

  /**
   * Writes a synced file of these parts and hands its path to `place`, which gives it its name.
   * The temporary name is gone afterwards, whatever happens.
   */
  async withTemporary<T>(parts: readonly Uint8Array[], place: (path: string) => Promise<T>): Promise<T> {
    await this.makeRoot();
    const path = join(this.temporary, `${process.pid}-${randomBytes(8).toString('hex')}`);
    try {
      const length = parts.reduce((sum, part) => sum + part.length, 0);
      if (length >= largeBytesMin) await native().writeNewFile(Buffer.from(path), parts);
      else await writeSmall(path, parts);
      return await place(path);
    } finally {
      await unlink(path).catch(() => undefined);
    }
  }

  private async prepare(): Promise<void> {
    try {
      await makeFolder(this.root, 0o700);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      const parent = dirname(this.root);
      throw new PachError('not-found', {
        what: this.root,
        why: `the folder ${parent} does not exist`,
        next: `mkdir -p ${parent}`,
        cause: error,
      });
    }
    // Who may make the root may as a rule, but need not, read its parent.
    await syncFolder(dirname(this.root)).catch(() => undefined);
    await makeFolderBelow(this.temporary);
    await this.removeStale();
  }

  private async removeStale(): Promise<void> {
    const oldest = Date.now() - staleMs;
    for (const name of await readdir(this.temporary)) {
      // As `withTemporary` names them.
      if (!/^\d+-[0-9a-f]{16}$/.test(name)) continue;
      const path = join(this.temporary, name);
      // Others clean up at the same time, and files of other users may not be ours to remove.
      const found = await lstat(path).catch(() => undefined);
      if (found && found.mtimeMs < oldest) await unlink(path).catch(() => undefined);
    }
  }
}

async function makeFolder(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, mode);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
}

/** Below the root, a link would lead out of the store. */
async function makeFolderBelow(path: string): Promise<void> {
  await makeFolder(path, 0o777);
  if ((await lstat(path)).isDirectory()) return;
  const why = 'it is not a folder, or a symbolic link where the store has a folder of its own';
  throw new PachError('usage', { what: path, why, next: `see what it is with: ls -ld ${path}` });
}
