/**
 * What a cache folder holds: counted, checked, cleared. Works beside processes that use it.
 */
import { lstat, open } from 'node:fs/promises';
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { nativeFetch, type CacheFile } from '../base/native.ts';
import { mapOrdered } from '../base/async.ts';
import { removeOne } from '../base/remove.ts';
import { extentBytes } from './disk.ts';
import { bootId } from './file-cache.ts';
import { cacheFolders, extentName, fileName, hasCache } from './shape.ts';

/** Something that is kept: a large file's bytes, or an extent of a pack. */
export interface CachedItem {
  readonly dir: string;
  /** In the cache folder. */
  readonly path: string;
  readonly kind: 'file' | 'extent';
  /** Bytes of disk that it takes. */
  readonly bytes: number;
}

const checkedBytes = 1024 * 1024;
const blockBytes = 4096;
/** Files that are removed at a time. */
const removalsMax = 16;

/** Everything in a cache folder that is there. Throws `usage` for a folder that is no cache. */
export async function* cachedItems(dir: string): AsyncGenerator<CachedItem> {
  if (!(await hasCache(dir))) return;
  for await (const { path, files } of cacheFolders(dir)) {
    for (const name of files) {
      const kind = fileName.test(name) ? 'file' : extentName.test(name) ? 'extent' : undefined;
      const info = kind && (await lstat(join(dir, path, name)).catch(() => undefined));
      if (kind && info) yield { dir, path: join(path, name), kind, bytes: info.blocks * 512 };
    }
  }
}

export interface Cleared {
  /** Bytes of disk that are free now. */
  readonly bytes: number;
  readonly files: number;
  /** Paths of what is not ours, and so is there still. */
  readonly left: readonly string[];
}

/** Removes what is ours; who has a file open goes on with it. Throws `usage` for a folder that is no cache. */
export async function clearCache(dir: string, signal: AbortSignal): Promise<Cleared> {
  const cleared = { bytes: 0, files: 0, left: [] as string[] };
  if (!(await hasCache(dir))) return cleared;
  const folders: string[] = [];
  for await (const { path, files, others } of cacheFolders(dir)) {
    folders.push(path);
    cleared.left.push(...others.map((name) => join(path, name)));
    const removals = mapOrdered(files, removalsMax, async (name) => {
      const info = await lstat(join(dir, path, name)).catch(() => undefined);
      await removeOne(dir, join(path, name));
      return info;
    });
    for await (const info of removals) {
      signal.throwIfAborted();
      // A name of several that a file has gives nothing back.
      cleared.bytes += info?.nlink === 1 ? info.blocks * 512 : 0;
      cleared.files += info ? 1 : 0;
    }
  }
  for (const path of folders.toReversed()) if (path !== '') await removeOne(dir, path);
  return cleared;
}

/** Reads what is kept; what is damaged is forgotten. Resolves to bytes that were checked, and that were damaged. */
export async function verifyItem({ dir, path, kind }: CachedItem): Promise<{ checked: number; damaged: number }> {
  const whole = join(dir, path);
  if (kind === 'extent') {
    await using file = await open(whole, constants.O_RDONLY | constants.O_NOFOLLOW);
    const kept = await file.readFile();
    if (extentBytes(kept)) return { checked: kept.length, damaged: 0 };
    await removeOne(dir, path);
    return { checked: kept.length, damaged: kept.length };
  }
  const flags = constants.O_RDWR | constants.O_NOFOLLOW;
  const data = openSync(whole, flags);
  try {
    const sums = openSync(`${whole}.sums`, flags);
    try {
      return await verifyFile(data, sums, fstatSync(data).size);
    } finally {
      closeSync(sums);
    }
  } finally {
    closeSync(data);
  }
}

async function verifyFile(data: number, sums: number, size: number): Promise<{ checked: number; damaged: number }> {
  let file: CacheFile;
  try {
    file = new (nativeFetch().CacheFile)(data, sums, size, bootId());
  } catch (error) {
    // Checksums that are another file's: nobody reads by them.
    if ((error as NodeJS.ErrnoException).code === 'ESTALE') return { checked: 0, damaged: 0 };
    throw error;
  }
  try {
    return await verifyBytes(file, size);
  } finally {
    file.close();
  }
}

async function verifyBytes(file: CacheFile, size: number): Promise<{ checked: number; damaged: number }> {
  let checked = 0;
  let damaged = 0;
  for (let offset = 0; offset < size;) {
    const end = file.presentUntil(offset, Math.min(size, offset + checkedBytes));
    if (end > offset) {
      checked += end - offset;
      if (!(await file.read(offset, end - offset))) damaged += await damagedBytes(file, offset, end);
    }
    offset = end > offset ? end : offset + blockBytes;
  }
  return { checked, damaged };
}

/** Of a stretch in which something was damaged, and now is no longer there: how much. */
async function damagedBytes(file: CacheFile, from: number, to: number): Promise<number> {
  let absent = 0;
  for (let offset = from; offset < to; offset += blockBytes) {
    if (file.presentUntil(offset, offset + 1) === offset) absent += Math.min(blockBytes, to - offset);
  }
  return absent;
}
