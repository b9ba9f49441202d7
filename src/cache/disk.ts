/**
 * Extents of immutable objects as files of this machine: `<dir>/<object>/<offset>-<length>`, each
 * with its hash at its end, by which a cache is checked without its store.
 * Written whole and renamed, so several processes may share a folder; nothing here is trusted,
 * what is read is verified by whoever decodes it. Oldest objects leave first.
 */
import { randomBytes } from 'node:crypto';
import { open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Semaphore } from '../base/async.ts';
import { native } from '../base/native.ts';
import { makeBelow } from '../local/own-folder.ts';
import { extentName, removeFolder, storeFolders } from './shape.ts';
import type { DiskSpace } from './space.ts';

export interface ExtentRange {
  /** Bytes from the object's start. */
  readonly offset: number;
  readonly length: number;
}

const hashBytes = 32;
/** Files open at a time. More would not help, as Node reads with fewer threads. */
const readsMax = 32;

export class DiskCache {
  readonly dir: string;
  private readonly space: DiskSpace;
  private readonly reads = new Semaphore(readsMax);

  constructor(space: DiskSpace) {
    this.dir = space.dir;
    this.space = space;
  }

  /** The extents of an object that are here. Marks the object as used. */
  async extents(object: string): Promise<ExtentRange[]> {
    const names = await readdir(join(this.dir, object)).catch(() => []);
    if (names.length > 0) void this.space.touch(join(this.dir, object)).catch(() => undefined);
    return names.flatMap((name) => {
      const match = extentName.exec(name);
      return match ? [{ offset: Number(match[1]), length: Number(match[2]) }] : [];
    });
  }

  /** The bytes of an extent, or undefined when it is gone or not whole. */
  async read(object: string, range: ExtentRange): Promise<Buffer | undefined> {
    const kept = await this.reads.run(() => readFile(this.path(object, range))).catch(() => undefined);
    return kept?.length === range.length + hashBytes ? kept.subarray(0, range.length) : undefined;
  }

  /** Bytes of an extent from `offset` of the object on; undefined when it is gone or not whole. */
  async readPart(object: string, range: ExtentRange, offset: number, length: number): Promise<Buffer | undefined> {
    return this.reads
      .run(async () => {
        await using file = await open(this.path(object, range));
        const bytes = Buffer.allocUnsafe(length);
        const { bytesRead } = await file.read(bytes, 0, length, offset - range.offset);
        return bytesRead === length ? bytes : undefined;
      })
      .catch(() => undefined);
  }

  /** Keeps an extent. A cache that can't be written is no error: then it is not kept. */
  async write(object: string, range: ExtentRange, bytes: Uint8Array): Promise<boolean> {
    const folder = join(this.dir, object);
    const temporary = join(folder, `.${randomBytes(8).toString('hex')}`);
    try {
      makeBelow(this.dir, object);
      const file = await open(temporary, 'wx', 0o600);
      try {
        await file.writev([bytes, await native().hashAsync('plain', bytes)]);
      } finally {
        await file.close();
      }
      await rename(temporary, this.path(object, range));
    } catch {
      await rm(temporary, { force: true }).catch(() => undefined);
      return false;
    }
    this.wrote(bytes.length);
    return true;
  }

  /** Notes that so many bytes were added. */
  wrote(bytes: number): void {
    this.space.wrote(bytes);
  }

  async forget(object: string, range: ExtentRange): Promise<void> {
    await rm(this.path(object, range), { force: true }).catch(() => undefined);
  }

  /** Forgets all objects below a prefix but those that `wanted` takes. */
  async retain(prefix: string, wanted: (object: string) => boolean): Promise<void> {
    for await (const folder of storeFolders(this.dir, prefix)) {
      const isObject = folder.files.some((name) => extentName.test(name));
      if (isObject && !wanted(folder.path)) await removeFolder(this.dir, folder).catch(() => undefined);
    }
  }

  private path(object: string, range: ExtentRange): string {
    return join(this.dir, object, `${range.offset}-${range.length}`);
  }
}

/** The bytes of an extent's file; undefined when they do not match the hash at its end. */
export function extentBytes(kept: Buffer): Buffer | undefined {
  const bytes = kept.subarray(0, Math.max(0, kept.length - hashBytes));
  return native().hash('plain', bytes).equals(kept.subarray(bytes.length)) ? bytes : undefined;
}
