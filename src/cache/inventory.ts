/**
 * What a cache folder holds: counted, checked, cleared. Works beside processes that use it.
 */
import { lstat, open } from 'node:fs/promises';
import { closeSync, constants, openSync } from 'node:fs';
import { basename, join } from 'node:path';
import { nativeFetch, type CacheFile } from '../base/native.ts';
import { mapOrdered } from '../base/async.ts';
import { removeOne } from '../base/remove.ts';
import { extentBytes } from './disk.ts';
import { isSoundPack } from './whole-pack.ts';
import { bootId } from './local-file.ts';
import { checkBytes, type Checked } from './sealing.ts';
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

/** What a cache folder holds, in bytes of disk. */
export interface CacheStats {
  readonly bytes: number;
  readonly files: number;
  readonly extents: number;
}

export async function cacheStats(dir: string): Promise<CacheStats> {
  const stats = { bytes: 0, files: 0, extents: 0 };
  for await (const { kind, bytes } of cachedItems(dir)) {
    stats.bytes += bytes;
    stats[kind === 'file' ? 'files' : 'extents'] += 1;
  }
  return stats;
}

export interface Cleared {
  /** Bytes of disk that are free now. */
  readonly bytes: number;
  readonly files: number;
  /** Paths of what is not ours, and so is there still. */
  readonly left: readonly string[];
}

/** Removes what is ours; processes go on with files they have open. Throws `usage` for a folder that is no cache. */
export async function clearCache(dir: string, signal: AbortSignal): Promise<Cleared> {
  const cleared = { bytes: 0, files: 0, left: [] as string[] };
  if (!(await hasCache(dir))) return cleared;
  const folders: string[] = [];
  for await (const { path, files, others } of cacheFolders(dir)) {
    folders.push(path);
    for (const name of others) cleared.left.push(join(path, name));
    const removals = mapOrdered(files, removalsMax, async (name) => {
      const info = await lstat(join(dir, path, name)).catch(() => undefined);
      await removeOne(dir, join(path, name));
      return info;
    });
    for await (const info of removals) {
      signal.throwIfAborted();
      // Removing one of several names of a file frees nothing.
      cleared.bytes += info?.nlink === 1 ? info.blocks * 512 : 0;
      cleared.files += info ? 1 : 0;
    }
  }
  for (const path of folders.toReversed()) if (path !== '') await removeOne(dir, path);
  return cleared;
}

export interface Verified {
  readonly items: number;
  readonly checkedBytes: number;
  readonly damagedItems: number;
  readonly damagedBytes: number;
}

/** Reads all that is kept; what is damaged is forgotten. What goes away meanwhile counts as nothing. */
export async function verifyCache(
  dir: string,
  { signal, progress }: { readonly signal: AbortSignal; readonly progress: (bytes: number) => void },
): Promise<Verified> {
  const found = { items: 0, checkedBytes: 0, damagedItems: 0, damagedBytes: 0 };
  for await (const item of cachedItems(dir)) {
    signal.throwIfAborted();
    const { checked, damaged } = await verifyItem(item).catch(() => ({ checked: 0, damaged: 0 }));
    found.items += 1;
    found.checkedBytes += checked;
    found.damagedBytes += damaged;
    if (damaged > 0) found.damagedItems += 1;
    progress(checked);
  }
  return found;
}

/** Reads what is kept; what is damaged is forgotten. Resolves to bytes that were checked, and that were damaged. */
export async function verifyItem({ dir, path, kind, bytes }: CachedItem): Promise<Checked> {
  const whole = join(dir, path);
  if (kind === 'extent') {
    await using file = await open(whole, constants.O_RDONLY | constants.O_NOFOLLOW);
    const kept = await file.readFile();
    if (extentBytes(kept) || (await isSoundPack(kept))) return { checked: kept.length, damaged: 0 };
    await removeOne(dir, path);
    return { checked: kept.length, damaged: kept.length };
  }
  const file = openToCheck(whole);
  if (file) {
    try {
      return await checkBytes(file);
    } finally {
      file.close();
    }
  }
  // Without its checksums nothing of it can be used. One that has no bytes yet is being made.
  if (file === undefined || bytes === 0) return { checked: 0, damaged: 0 };
  for (const suffix of ['', '.sums', '.packs']) await removeOne(dir, path + suffix);
  return { checked: bytes, damaged: bytes };
}

/** A file with its checksums; null when they are not its own, or gone. Undefined for one that is gone, or of an older version. */
function openToCheck(path: string): CacheFile | null | undefined {
  const flags = constants.O_RDWR | constants.O_NOFOLLOW;
  const opened: number[] = [];
  try {
    for (const suffix of ['', '.sums']) opened.push(openSync(path + suffix, flags));
    const [data, sums] = opened as [number, number];
    return new (nativeFetch().CacheFile)(data, sums, undefined, contentOf(path), bootId());
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EPROTONOSUPPORT' || (code === 'ENOENT' && opened.length === 0)) return undefined;
    if (code === 'ESTALE' || code === 'ENOENT') return null;
    throw error;
  } finally {
    for (const each of opened) closeSync(each);
  }
}

/** The hash that names a file's content. */
function contentOf(path: string): Buffer {
  return Buffer.from(basename(path), 'hex');
}
