/**
 * Errors of the system, in words: what a disk or the network does is no defect of this program.
 */
import { constants } from 'node:os';
import { errorWith, PachError, type Meaning } from './errors.ts';
import { shellWord } from './shell.ts';

const full: Meaning = { code: 'no-space', why: 'the disk is full', next: 'free some space and repeat the command' };
const forbidden: Meaning = {
  code: 'denied',
  why: 'permission denied',
  next: 'pach doctor',
};
const gone: Meaning = { code: 'unreachable', why: 'the file system does not answer' };
const handles: Meaning = { code: 'failed', why: 'too many open files', next: 'raise the limit with: ulimit -n' };

const meanings: ReadonlyMap<string, Meaning> = new Map([
  ['ENOENT', { code: 'not-found', why: 'there is no such object' }],
  ['EISDIR', { code: 'not-found', why: 'it is a folder, not an object' }],
  ['ENOTDIR', { code: 'not-found', why: 'part of its path is not a folder' }],
  ['ENOSPC', full],
  ['EDQUOT', { ...full, why: 'the disk quota is used up' }],
  ['EACCES', forbidden],
  ['EPERM', forbidden],
  ['EROFS', { code: 'denied', why: 'the file system is read-only' }],
  ['EIO', { code: 'failed', why: 'the disk reports an error', next: 'see dmesg, and copy the data to another disk' }],
  ['EMFILE', handles],
  ['ENFILE', handles],
  ['ESTALE', gone],
  ['ENOTCONN', gone],
  ['EHOSTDOWN', gone],
  ['ETIMEDOUT', gone],
]);

/** The errno name (`ENOENT`) of an error of node:fs, or undefined. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Meanings outside of a store, where they differ. */
const meaningsElsewhere: ReadonlyMap<string, Meaning> = new Map([
  ['ENOENT', { code: 'not-found', why: 'there is no such file or folder' }],
  ['EISDIR', { code: 'usage', why: 'it is a folder, and a file is needed there' }],
  ['ENOTDIR', { code: 'usage', why: 'part of its path is not a folder' }],
  ['EEXIST', { code: 'conflict', why: 'something already exists there' }],
  ['ENOTEMPTY', { code: 'conflict', why: 'the folder is not empty' }],
  ['EBUSY', { code: 'conflict', why: 'it is in use' }],
  ['ENAMETOOLONG', { code: 'usage', why: 'its name or path is too long', next: 'use a shorter one' }],
  ['ELOOP', { code: 'usage', why: 'its path leads through too many symbolic links' }],
  ['EACCES', { ...forbidden, next: 'ls -ld PATH' }],
  ['EPERM', { ...forbidden, why: 'the system does not allow it', next: 'ls -ld PATH' }],
  ['EROFS', { code: 'denied', why: 'the file system is read-only', next: 'use a folder on another one' }],
  ['ENOMEM', { code: 'failed', why: 'the system has no memory left for it' }],
  ['ECONNREFUSED', { code: 'unreachable', why: 'nothing answers there' }],
  ['ECONNRESET', { code: 'unreachable', why: 'the connection was closed by the other side' }],
]);

/** An error of the system as an operating error, in words. Operating errors and defects come back unchanged. */
export function inSystemWords(error: unknown): unknown {
  const errno = errnoOf(error);
  if (errno === undefined || error instanceof PachError || !(errno in constants.errno)) return error;
  const { path, dest, address, syscall, message } = error as NodeJS.ErrnoException & {
    dest?: string;
    address?: string;
  };
  const what = dest ?? path ?? address ?? syscall ?? 'the system';
  const { next, ...meaning } = meaningsElsewhere.get(errno) ?? meanings.get(errno) ?? unknown(message);
  return errorWith(what, { ...meaning, next: next?.replaceAll('PATH', shellWord(what)) }, error);
}

/** The same for what failed at `path` in a store. */
export function fromErrno(error: unknown, path: string): unknown {
  const errno = errnoOf(error);
  if (errno === undefined || error instanceof PachError || !('syscall' in (error as Error))) return error;
  return errorWith(path, meanings.get(errno) ?? unknown((error as Error).message), error);
}

function unknown(why: string): Meaning {
  return { code: 'failed', why };
}
