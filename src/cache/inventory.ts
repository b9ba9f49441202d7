/**
 * What a cache folder holds: counted, checked, cleared. Works beside processes that use it.
 */
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { nativeFetch, type CacheFile } from '../base/native.ts';
import { removeBelow } from '../base/remove.ts';
import { extentBytes } from './disk.ts';
import { bootId } from './file-cache.ts';

/** Something that is kept: a large file's bytes, or an extent of a pack. */
export interface CachedItem {
  readonly path: string;
  readonly kind: 'file' | 'extent';
  /** Bytes of disk that it takes. */
  readonly bytes: number;
}

const checkedBytes = 1024 * 1024;
const blockBytes = 4096;

/** Everything in a cache folder. */
export async function* cachedItems(dir: string): AsyncGenerator<CachedItem> {
  for (const entry of await readdir(dir, { withFileTypes: true }).catch(() => [])) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) yield* cachedItems(path);
    const kind = /^[0-9a-f]{64}$/.test(entry.name) ? 'file' : /^\d+-\d+$/.test(entry.name) ? 'extent' : undefined;
    if (!entry.isFile() || !kind) continue;
    const info = await stat(path).catch(() => undefined);
    if (info) yield { path, kind, bytes: info.blocks * 512 };
  }
}

/** Removes everything; who has a file open goes on with it. */
export async function clearCache(dir: string): Promise<void> {
  for (const name of await readdir(dir).catch(() => [])) await removeBelow(dir, name);
}

/** Reads what is kept; what is damaged is forgotten. Resolves to bytes that were checked, and that were damaged. */
export async function verifyItem({ path, kind }: CachedItem): Promise<{ checked: number; damaged: number }> {
  if (kind === 'extent') {
    const kept = await readFile(path).catch(() => undefined);
    if (!kept || extentBytes(kept)) return { checked: kept?.length ?? 0, damaged: 0 };
    await rm(path, { force: true });
    return { checked: kept.length, damaged: kept.length };
  }
  const { size } = await stat(path);
  const data = openSync(path, 'r+');
  try {
    const sums = openSync(`${path}.sums`, 'r+');
    try {
      return await verifyFile(data, sums, size);
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
