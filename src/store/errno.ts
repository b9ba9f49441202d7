/**
 * Operating errors of the file system, in words.
 */
import { PachError, type ErrorCode } from '../base/errors.ts';

interface Meaning {
  readonly code: ErrorCode;
  readonly why: string;
  readonly next?: string;
}

const full: Meaning = { code: 'no-space', why: 'the disk is full', next: 'free some space and repeat' };
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
  ['ENOTDIR', { code: 'not-found', why: 'part of its path is no folder' }],
  ['ENOSPC', full],
  ['EDQUOT', { ...full, why: 'the disk quota is used up' }],
  ['EACCES', forbidden],
  ['EPERM', forbidden],
  ['EROFS', { code: 'denied', why: 'the file system is read-only' }],
  ['EIO', { code: 'failed', why: 'the disk reports an error', next: 'see dmesg, and save what is there' }],
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

/** What failed at `path`, as an operating error; defects are given back as they are. */
export function fromErrno(error: unknown, path: string): unknown {
  const errno = errnoOf(error);
  if (errno === undefined || error instanceof PachError || !('syscall' in (error as Error))) return error;
  const meaning = meanings.get(errno);
  return new PachError(meaning?.code ?? 'failed', {
    what: path,
    why: meaning?.why ?? (error as Error).message,
    ...(meaning?.next === undefined ? {} : { next: meaning.next }),
    cause: error,
  });
}
