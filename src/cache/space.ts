/**
 * Keeps a cache folder within its limit, and some of the disk free: what was used once leaves first,
 * so that one pass over much data does not take what is used again and again; of the rest what was
 * used longest ago. What there is, the disk says: several processes share a folder.
 */
import type { Stats } from 'node:fs';
import { chmod, readdir, stat, statfs, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { removeBelow } from '../base/remove.ts';

/** So much of the limit is written before the next look. */
const partWritten = 1 / 32;
/** And so much is left after one. */
const partKept = 0.9;
const reserveBytes = 1024 * 1024 * 1024;
/** A disk of less than that gives up no more than this part of itself. */
const reservePart = 0.05;
/** What is used so long after the last time is used again: that is kept in its sticky bit. */
const againMs = 60_000;
const stickyBit = 0o1000;
/** What was used once may take this part of the limit before anything that is used again leaves. */
const oncePart = 0.2;

interface Item {
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
  /** Told of each path that is removed. */
  onRemove: (path: string) => void = () => undefined;
  /** Told when enough was written, by this process, to look what there is. */
  onLook: () => void = () => undefined;

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
    this.onLook();
    this.looking ??= this.makeRoom()
      .catch(() => undefined)
      .finally(() => (this.looking = undefined));
  }

  /** Notes that a file or folder was used. */
  async touch(path: string): Promise<void> {
    const now = new Date();
    const { mtimeMs, mode } = await stat(path);
    if (now.getTime() - mtimeMs > againMs) await chmod(path, (mode & 0o777) | stickyBit);
    await utimes(path, now, now);
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
      this.onRemove(paths[0] as string);
      for (const path of paths) await removeBelow(this.dir, path.slice(this.dir.length + 1));
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
  for (const entry of await readdir(dir, { withFileTypes: true }).catch(() => [])) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) {
      const item = await extentsIn(path);
      if (item) items.push(item);
      else items.push(...(await itemsBelow(path)));
    } else if (/^[0-9a-f]{64}$/.test(entry.name)) {
      const info = await stat(path).catch(() => undefined);
      const paths = [path, `${path}.sums`, `${path}.packs`];
      if (info) items.push({ paths, bytes: info.blocks * 512, ...useOf(info) });
    }
  }
  return items;
}

async function extentsIn(dir: string): Promise<Item | undefined> {
  const names = await readdir(dir).catch(() => []);
  const lengths = names.flatMap((name) => /^\d+-(\d+)$/.exec(name)?.[1] ?? []);
  if (lengths.length === 0) return undefined;
  const info = await stat(dir).catch(() => undefined);
  if (!info) return undefined;
  const bytes = lengths.reduce((sum, length) => sum + Number(length), 0);
  return { paths: [dir], bytes, ...useOf(info) };
}
