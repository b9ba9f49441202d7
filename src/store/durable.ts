/**
 * Files that appear whole or not at all, and stay: written under a temporary name, synced, then
 * given their name in one step; folders on the way are synced into their parents.
 */
import { close, constants, type Stats } from 'node:fs';
import { lstat, mkdir, open, rename, unlink, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { PachError } from '../base/errors.ts';
import { shellWord } from '../base/shell.ts';
import { native } from '../base/native.ts';
import { removeOne } from '../base/remove.ts';
import { errnoOf } from '../base/system-errors.ts';
import { leftovers, staleMs, temporaryName } from './leftovers.ts';
import { setRights, Sharing, type Rights } from './sharing.ts';

/** Files of this length on are written past the page cache, and without being put together first. */
const largeBytesMin = 1024 * 1024;
/** Objects are never written to again. */
const objectMode = 0o444;
const lockMode = 0o666;

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
  const file = await open(path, flags | constants.O_NONBLOCK | constants.O_NOCTTY, lockMode).catch((error: unknown) => {
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
    why: 'it is a FIFO, socket or device, and the store needs a regular file there',
    next: 'find out who put it there, and restore the file from a copy of the store',
    cause,
  });
}

/** Writes a new file of these parts. It is locked until it is disposed of: see leftovers.ts. */
async function writeNew(
  path: string,
  parts: readonly Uint8Array[],
  rights: Rights | undefined,
): Promise<AsyncDisposable> {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (length >= largeBytesMin) {
    const fd = await native().writeNewFile(Buffer.from(path), parts, rights?.mode, rights?.group);
    return { [Symbol.asyncDispose]: () => promisify(close)(fd) };
  }
  const file = await open(path, 'wx', objectMode);
  try {
    // Where locks don't work, others consider it abandoned once it is old.
    await native()
      .lockExclusive(file.fd)
      .catch(() => undefined);
    if (rights) await setRights(file, rights);
    await file.writeFile(Buffer.concat(parts));
    await file.datasync();
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The rights that this process sets on what it makes below the root. */
interface Prepared {
  readonly ofFolders: Rights | undefined;
  readonly ofObjects: Rights | undefined;
}

/** The folders of one store, made when first needed. */
export class DurableFolders {
  private readonly root: string;
  private readonly temporary: string;
  /** Folders known to exist and to be synced into their parents. */
  private readonly durable = new Set<string>();
  private prepared: Promise<Prepared> | undefined;
  private hadRoot: boolean;

  constructor(root: string, hadRoot: boolean) {
    this.root = root;
    this.hadRoot = hadRoot;
    this.temporary = join(root, '.tmp');
  }

  /** Its own folder was there once. It is not made again when it has gone: the one made would be another store. */
  get hasRoot(): boolean {
    return this.hadRoot;
  }

  /** Makes the root, with the rights that its parent and the umask give. The parent must exist, so that a typing error makes no tree. */
  private async makeRoot(): Promise<Prepared> {
    this.prepared ??= this.prepare();
    try {
      return await this.prepared;
    } catch (error) {
      this.prepared = undefined;
      throw error;
    }
  }

  /** Makes `folder` (below the root) and those above it. */
  async make(folder: string): Promise<void> {
    if (this.durable.has(folder)) return;
    const { ofFolders: rights } = await this.makeRoot();
    if (folder === this.root) return;
    await this.make(dirname(folder));
    if (!rights) await makeFolder(folder);
    else if (!(await lstat(folder).catch(absent))) await this.makeWith(folder, rights);
    await checkFolder(folder);
    // Also when another process made the folder: it may have died before its own sync.
    await syncFolder(dirname(folder));
    this.durable.add(folder);
  }

  /** Opens the file that all writers lock. Throws the system's error for a root that is not there. */
  async openLock(): Promise<FileHandle> {
    const path = join(this.root, '.lock');
    try {
      return await openRegular(path, constants.O_RDWR);
    } catch (error) {
      // Another user may have made it. Except on NFS, flock(2) needs no right to write.
      if (errnoOf(error) === 'EACCES') return openRegular(path, constants.O_RDONLY);
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
    const sharing = await Sharing.of(this.root);
    const file = await openRegular(path, constants.O_RDWR | constants.O_CREAT);
    const rights = sharing.file(lockMode, sharing.root);
    if (rights) await setRights(file, rights);
    return file;
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
    const { ofObjects: rights } = await this.makeRoot();
    const path = join(this.temporary, temporaryName());
    try {
      await using _ = await writeNew(path, parts, rights);
      return await place(path);
    } finally {
      await unlink(path).catch(() => undefined);
    }
  }

  private async prepare(): Promise<Prepared> {
    try {
      if (!this.hadRoot) await makeFolder(this.root);
      this.hadRoot = true;
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      const parent = dirname(this.root);
      throw new PachError('not-found', {
        what: this.root,
        why: `the folder ${parent} does not exist`,
        next: `mkdir -p ${shellWord(parent)}`,
        cause: error,
      });
    }
    // A user who may make the root may not be allowed to read its parent.
    await syncFolder(dirname(this.root)).catch(() => undefined);
    const sharing = await Sharing.of(this.root);
    await makeFolder(this.temporary);
    let temporary = await checkFolder(this.temporary);
    const rights = sharing.folder(sharing.root);
    if (rights && lacks(temporary, rights)) {
      await setFolderRights(this.temporary, rights);
      temporary = await checkFolder(this.temporary);
    }
    await leftovers(this.temporary, staleMs, true);
    return { ofFolders: sharing.folder(temporary), ofObjects: sharing.file(objectMode, temporary) };
  }

  /**
   * Makes a folder that needs more rights than mkdir(2) gives. It gets them under a random name before
   * it gets its own. So nobody can trick root into changing another folder, or find this one without its rights.
   */
  private async makeWith(folder: string, rights: Rights): Promise<void> {
    const path = join(this.temporary, temporaryName());
    await mkdir(path);
    try {
      await setFolderRights(path, rights);
      await rename(path, folder);
    } catch (error) {
      await removeOne(this.temporary, basename(path)).catch(() => undefined);
      // Another process made it first. The caller checks what is there.
      if (!['EEXIST', 'ENOTEMPTY', 'ENOTDIR'].includes(errnoOf(error) ?? '')) throw error;
    }
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
}

/** What a folder below the root is. A link would lead out of the store. */
async function checkFolder(path: string): Promise<Stats> {
  const found = await lstat(path);
  if (found.isDirectory()) return found;
  const why = 'it is not a folder, or it is a symbolic link; the store needs a real folder there';
  throw new PachError('usage', { what: path, why, next: `ls -ld ${shellWord(path)}` });
}

async function setFolderRights(path: string, rights: Rights): Promise<void> {
  await using folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  await setRights(folder, rights);
}

/** True for a folder of this user's that lacks some of these rights. */
function lacks({ uid, gid, mode }: Stats, rights: Rights): boolean {
  if (uid !== process.geteuid?.()) return false;
  return ((rights.mode ?? 0) & ~mode) !== 0 || (rights.group ?? gid) !== gid;
}

function absent(error: unknown): undefined {
  if (errnoOf(error) !== 'ENOENT') throw error;
}
