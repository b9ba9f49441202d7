/**
 * The one place that maps errors to what system calls return.
 */
import { constants } from 'node:os';
import { isPachError, type ErrorCode } from '../base/errors.ts';

const { errno } = constants;

const errnoByCode: Record<ErrorCode, number> = {
  'not-found': errno.ENOENT,
  interrupted: errno.EINTR,
  denied: errno.EACCES,
  usage: errno.EINVAL,
  'no-space': errno.ENOSPC,
  conflict: errno.EIO,
  damaged: errno.EIO,
  unreachable: errno.EIO,
  unsupported: errno.EIO,
  failed: errno.EIO,
};

/** EIO for everything that is not an operating error. */
export function errnoOf(error: unknown): number {
  return isPachError(error) ? errnoByCode[error.code] : errno.EIO;
}
