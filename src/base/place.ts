/**
 * Places below a folder of this machine, read so that nothing outside of that folder is ever
 * reached: no symlink below it is followed, whoever swaps folders and links meanwhile.
 */
import { close, fstat, type BigIntStats } from 'node:fs';
import { promisify } from 'node:util';
import { native } from './native.ts';

export interface Place {
  /** A folder (or a single file), found as the system does: links on the way to it are followed. */
  readonly root: Buffer;
  /** Names below `root`, joined by slashes; empty for `root` itself. */
  readonly path: Buffer;
}

const slash = Buffer.from('/');
const nothing = Buffer.alloc(0);

export function rootPlace(root: Buffer): Place {
  return { root, path: nothing };
}

/** The place of a name in a folder. */
export function placeBelow({ root, path }: Place, name: Buffer): Place {
  return { root, path: path.length === 0 ? name : Buffer.concat([path, slash, name]) };
}

/** The whole path, to name the place; not to open it. */
export function fullPath({ root, path }: Place): Buffer {
  return path.length === 0 ? root : Buffer.concat([root, slash, path]);
}

/** A file that is open for reading, until it is disposed of. */
export class OpenFile implements AsyncDisposable {
  readonly fd: number;

  private constructor(fd: number) {
    this.fd = fd;
  }

  /** Never blocks: also a FIFO opens at once. Errors carry `code`. */
  static async at({ root, path }: Place): Promise<OpenFile> {
    return new OpenFile(await native().openFile(root, path));
  }

  stat(): Promise<BigIntStats> {
    return promisify(fstat)(this.fd, { bigint: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return promisify(close)(this.fd);
  }
}
