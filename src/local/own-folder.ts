/**
 * Folders of this machine in which we write and remove: each is known by a tag that we wrote and
 * belongs to the caller. A path may lead to anything, so a link in place of such a folder, and a
 * folder that holds what others made, are refused before anything is written.
 */
import { randomBytes } from 'node:crypto';
import { constants, existsSync, lstatSync, mkdirSync, type Stats } from 'node:fs';
import { chmod, lstat, open, readdir, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { PachError } from '../base/errors.ts';
import { makeFolders } from '../base/folders.ts';
import { shellWord } from '../base/shell.ts';

export interface FolderKind {
  /** What people call it: "the disk cache". */
  readonly name: string;
  readonly tag: string;
  /** The tag's content, which begins with `tagStart`. */
  readonly tagText: string;
  readonly tagStart: string;
  /** The option, with a blank behind it, that chooses another folder: `--cache `. */
  readonly option: string;
  /** Whether this program made what lies in it under this name: for folders that are older than tags. */
  isOurs(folder: string, name: string): Promise<boolean>;
}

/** Makes the folder, or tags one that is empty or holds only what this program made. Throws `usage` for others. */
export async function claimFolder(path: string, kind: FolderKind): Promise<void> {
  await makeFolders(path, 0o700).catch((error: NodeJS.ErrnoException) => {
    // Something else is there: the error comes below.
    if (error.code !== 'EEXIST' && error.code !== 'ENOTDIR') throw error;
  });
  await checkFolder(path, kind);
}

/** The same for a folder that need not be there: false when it isn't. */
export async function checkFolder(path: string, kind: FolderKind): Promise<boolean> {
  const refuse = (why: string, instead = 'FOLDER, with a folder that is empty or new'): never => {
    throw new PachError('usage', { what: `${kind.name} ${path}`, why, next: `${kind.option}${instead}` });
  };
  const info = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    if (error.code === 'ENOTDIR') return refuse('part of its path is not a folder');
    throw error;
  });
  if (!info) return false;
  if (info.isSymbolicLink()) {
    return refuse('it is a symbolic link: name the folder itself', await realpath(path).catch(() => undefined));
  }
  if (!info.isDirectory()) return refuse('it is not a folder');
  if (info.uid !== process.geteuid?.()) throw foreignFolder(`${kind.name} ${path}`, path, info.uid, kind.option);
  if (!(await isTagged(path, kind))) {
    for (const name of await readdir(path)) {
      // A file system's own folder: a disk that is mounted here has one.
      if (name === 'lost+found') continue;
      if (!isTagName(name, kind) && !(await kind.isOurs(path, name))) {
        return refuse(
          `it holds something that pach did not make (${name}), and not the tag file of pach (${kind.tag})`,
        );
      }
    }
    await writeTag(path, kind);
  }
  if ((info.mode & 0o077) !== 0) await chmod(path, 0o700);
  return true;
}

/** True when a folder has the tag. */
export async function isTagged(path: string | Buffer, { tag, tagStart }: FolderKind): Promise<boolean> {
  try {
    const at = Buffer.concat([Buffer.from(path), Buffer.from(`/${tag}`)]);
    await using file = await open(at, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const { buffer } = await file.read(Buffer.alloc(tagStart.length), 0, tagStart.length, 0);
    return buffer.toString() === tagStart;
  } catch {
    return false;
  }
}

/** True for a tag, and for one that is being written. */
export function isTagName(name: string, { tag }: FolderKind): boolean {
  return name === tag || (name.startsWith(`${tag}.`) && /^[0-9a-f]{16}$/.test(name.slice(tag.length + 1)));
}

/** A failure is ignored: either nothing can be written there anyway, or `isOurs` recognises it the next time. */
async function writeTag(path: string, { tag, tagText }: FolderKind): Promise<void> {
  const temporary = join(path, `${tag}.${randomBytes(8).toString('hex')}`);
  try {
    await writeFile(temporary, tagText, { flag: 'wx', mode: 0o600 });
    await rename(temporary, join(path, tag));
  } catch {
    await rm(temporary, { force: true }).catch(() => undefined);
  }
}

/**
 * Makes the folders of a relative path below a folder of ours, for the user alone. Throws `usage` for
 * one that is a link or no folder, and the system's error. The calls wait: each takes some microseconds.
 */
export function makeBelow(root: string, path: string): string {
  let folder = root;
  for (const name of path.split('/')) {
    folder = join(folder, name);
    try {
      mkdirSync(folder, 0o700);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' && !existsSync(root)) return makeAnew(root, path);
      if (code !== 'EEXIST') throw error;
      checkPart(folder, lstatSync(folder));
    }
  }
  return folder;
}

/** For a root that somebody has removed meanwhile. */
function makeAnew(root: string, path: string): string {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  return makeBelow(root, path);
}

/** Throws `usage` where a part of a folder of ours is a link or no folder, and where the user may not use it. */
export function checkPart(path: string, info: Stats): void {
  if (!info.isDirectory()) throw notAFolder(path);
  const user = process.geteuid?.();
  if (user !== 0 && info.uid !== user) throw foreignFolder(path, path, info.uid);
}

/** Root's folders where the user's should be are what `sudo` leaves. Those of anybody else may be what they seem. */
function foreignFolder(what: string, path: string, owner: number, option?: string): PachError {
  if (process.geteuid?.() === 0 || owner !== 0) {
    const next =
      option === undefined ? `ls -ld ${shellWord(path)}` : `${option}FOLDER, with a folder that is yours or new`;
    return new PachError('usage', { what, why: `it belongs to another user (${owner})`, next });
  }
  return new PachError('usage', {
    what,
    why: 'it belongs to root, probably because sudo ran pach',
    next: `sudo chown -R ${shellWord(userForChown())} ${shellWord(resolve(path))}`,
  });
}

/** The user and the group that a new file would have. */
function userForChown(): string {
  try {
    return `${userInfo().username}:`;
  } catch {
    return `${process.geteuid?.()}:${process.getegid?.()}`; // the system has no name for this user
  }
}

/** What is in place of a folder of ours. */
function notAFolder(path: string): PachError {
  const isLink = lstatSync(path).isSymbolicLink();
  const why = isLink ? 'it is a symbolic link, and pach needs a real folder there' : 'it is not a folder';
  return new PachError('usage', { what: path, why, next: `ls -ld ${shellWord(path)}` });
}
