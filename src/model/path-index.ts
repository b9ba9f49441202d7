/**
 * Keys of a job's index of paths (FORMAT.md section 6): which datum wrote a path, and which datums
 * read one. A key leads to datums that may have; whether they have is said by what they stored.
 */
import { native } from '../base/native.ts';
import { assert } from '../base/errors.ts';

/** Bytes of a datum's id at the end of a key. */
const idBytes = 16;
/** Paths of more bytes are cut, and end with a hash of all of them. */
const pathBytesMax = 960;
const hashBytes = 32;
const cutBytes = pathBytesMax - hashBytes;
const keyBytesMin = 3 + idBytes;

/** Files that datums wrote, or what they read of the job's pfs input of this number. */
export type PathUse = 'written' | { readonly input: number };

/** `path`: absolute. `datum`: its id. */
export function pathKey(use: PathUse, path: Buffer, datum: string): Buffer {
  return Buffer.concat([pathPrefix(use, path), Buffer.from(datum.slice(0, 2 * idBytes), 'hex')]);
}

/** Beginning of all keys of a path. */
export function pathPrefix(use: PathUse, path: Buffer): Buffer {
  const kept =
    path.length <= pathBytesMax ? path : Buffer.concat([path.subarray(0, cutBytes), native().hash('plain', path)]);
  return Buffer.concat([useBytes(use), kept, Buffer.from([0])]);
}

/** Beginning of the keys of all paths below a folder, and perhaps of others. */
export function belowPrefix(use: PathUse, folder: Buffer): Buffer {
  const path = folder.length === 1 ? folder : Buffer.concat([folder, Buffer.from('/')]);
  return Buffer.concat([useBytes(use), path.subarray(0, cutBytes)]);
}

/** The beginning of the datum's id, as hex digits. */
export function datumOfPathKey(key: Buffer): string {
  return key.subarray(-idBytes).toString('hex');
}

/** Why bytes are no such key, or undefined. */
export function pathKeyProblem(key: Buffer): string | undefined {
  const path = key[0] === 1 ? 1 : key[0] === 2 ? 3 : 0;
  if (path === 0) return 'it is of an unknown kind';
  if (key.length < keyBytesMin || key[path] !== 0x2f) return 'it names no path';
  return key[key.length - idBytes - 1] === 0 ? undefined : 'its path has no end';
}

function useBytes(use: PathUse): Buffer {
  if (use === 'written') return Buffer.from([1]);
  assert(use.input <= 0xffff, 'a pipeline has few inputs');
  return Buffer.from([2, use.input >> 8, use.input & 0xff]);
}
