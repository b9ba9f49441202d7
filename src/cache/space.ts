/**
 * Keeps a cache folder within its limit, and some of the disk free: what was used once leaves first,
 * so that one pass over much data does not take what is used again and again; of the rest what was
 * used longest ago. What there is, the disk says: several processes share a folder.
 */
import type { Stats } from 'node:fs';
import { chmod, lstat, statfs, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { Listeners } from '../base/listeners.ts';
import { removeOne } from '../base/remove.ts';
import { extentName, fileName, storeFolders, type CacheFolder } from './shape.ts';

/** When this part of the limit was written, the folder is looked through. */
const partWritten = 1 / 32;
/** If there is too much, it is brought down to this part of the limit. */
const partKept = 0.9;
const reserveBytes = 1024 * 1024 * 1024;
/** On a small disk no more than this part of it is kept free. */
const reservePart = 0.05;
/** A use this long after the last one counts as another use, which the sticky bit notes. */
const againMs = 60_000;
const stickyBit = 0o1000;
/** What was used once leaves first, until it takes no more than this part of the limit. */
const oncePart = 0.2;
/** As `statfs` gives them: overlayfs, FUSE, eCryptfs, aufs. */
const stackedTypes = new Set([0x794c7630, 0x65735546, 0xf15f, 0x61756673]);

interface Item {
  /** In the order in which they are removed. */
  readonly paths: readonly string[];
  readonly bytes: number;
  /** Milliseconds since 1970. */
  readonly used: number;
  readonly again: boolean;
}

export class DiskSpace {
  readonly dir: string;
  private readonly bytesMax: number;
  private written: number;
  private looking: Promise<void> | undefined;
  /** Told of each path, in the cache folder, that this process removes to make room. */
  readonly onRemove = new Listeners<[path: string]>();
  /** Told before this process looks whether there is too much. */
  readonly onLook = new Listeners();

  constructor(dir: string, bytesMax: number) {
    this.dir = dir;
    this.bytesMax = bytesMax;
    // The first write looks: the limit may have become smaller since the last process.
    this.written = bytesMax;
  }

  /** Notes bytes that were written; makes room beside the writer when it is time to. */
  wrote(bytes: number): void {
    this.written += bytes;
    if (this.written < this.bytesMax * partWritten) return;
    this.written = 0;
    this.onLook.tell();
    this.looking ??= this.makeRoom()
      .catch(() => undefined)
      .finally(() => (this.looking = undefined));
  }

  /** Notes that a file or folder was used. */
  async touch(path: string): Promise<void> {
    const now = new Date();
    const info = await lstat(path);
    if (info.isSymbolicLink()) return;
    const { mtimeMs, mode } = info;
    if (now.getTime() - mtimeMs > againMs) await chmod(path, (mode & 0o777) | stickyBit);
    await utimes(path, now, now);
  }

  /** True where the folder's file system may itself lie on another one. */
  async isStacked(): Promise<boolean> {
    const { type } = await statfs(this.dir).catch(() => ({ type: 0 }));
    return stackedTypes.has(type);
  }

  /** Waits for what is being removed. */
  async settle(): Promise<void> {
    await this.looking;
  }

  private async makeRoom(): Promise<void> {
    const items = await itemsBelow(this.dir);
    let total = items.reduce((sum, { bytes }) => sum + bytes, 0);
    const { bavail, blocks, bsize } = await statfs(this.dir);
    const short = Math.min(reserveBytes, blocks * bsize * reservePart) - bavail * bsize;
    const limit = Math.min(this.bytesMax, Math.max(0, total - Math.max(0, short)));
    if (total <= limit) return;
    for (const { paths, bytes } of leaving(items, limit * oncePart)) {
      if (total <= limit * partKept) break;
      for (const path of paths) {
        this.onRemove.tell(path);
        await removeOne(this.dir, path);
      }
      total -= bytes;
    }
  }
}

/** In the order in which they leave: those used once, until `onceBytes` of them are left, and then the oldest. */
function leaving(items: readonly Item[], onceBytes: number): Item[] {
  const byAge = items.toSorted((a, b) => a.used - b.used);
  let once = items.reduce((sum, { again, bytes }) => sum + (again ? 0 : bytes), 0);
  const first = new Set<Item>();
  for (const item of byAge) {
    if (item.again || once <= onceBytes) continue;
    first.add(item);
    once -= item.bytes;
  }
  return [...first, ...byAge.filter((item) => !first.has(item))];
}

/** When it was used, as whoever opened it has noted or the system saw, and whether that was again. */
function useOf({ mtimeMs, atimeMs, mode }: Stats): Pick<Item, 'used' | 'again'> {
  return { used: Math.max(mtimeMs, atimeMs), again: (mode & stickyBit) !== 0 };
}

/** What is kept and leaves as a whole: folders of extents, and plain files with what belongs to them. */
async function itemsBelow(dir: string): Promise<Item[]> {
  const items: Item[] = [];
  for await (const folder of storeFolders(dir)) {
    const extents = await extentsOf(dir, folder);
    if (extents) items.push(extents);
    for (const name of folder.files.filter((each) => fileName.test(each))) {
      const path = join(folder.path, name);
      const paths = [path, `${path}.sums`, `${path}.packs`] as const;
      const info = await lstat(join(dir, path)).catch(() => undefined);
      if (!info) continue;
      // The use is noted at the checksums: the file itself must keep its times.
      const noted = await lstat(join(dir, paths[1])).catch(() => info);
      const { used, again } = useOf(noted);
      items.push({ paths, bytes: info.blocks * 512, used: Math.max(used, useOf(info).used), again });
    }
  }
  return items;
}

async function extentsOf(dir: string, { path, files }: CacheFolder): Promise<Item | undefined> {
  const lengths = files.flatMap((name) => extentName.exec(name)?.[2] ?? []);
  if (lengths.length === 0) return undefined;
  const info = await lstat(join(dir, path)).catch(() => undefined);
  if (!info) return undefined;
  const bytes = lengths.reduce((sum, length) => sum + Number(length), 0);
  return { paths: [...files.map((name) => join(path, name)), path], bytes, ...useOf(info) };
}
