/**
 * Brings whole objects from a store to the disk cache, each with one request, beside whoever reads: for
 * readers who will want all of it, in whatever order. Native threads write an object to a file as it is
 * stored, from its start; what has come can be read at once, and becomes an extent when all is there.
 *
 * The file has a fixed name in the object's folder, and a lock (flock) says that a process fills it.
 * Others wait, and read what has come. When that process dies, the next goes on where it stopped.
 * Nothing here is verified, as of all extents.
 */
import { constants } from 'node:fs';
import { lstat, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { native } from '../base/native.ts';
import { makeBelow } from '../local/own-folder.ts';
import type { Addresses } from './addresses.ts';
import type { DiskCache, ExtentRange } from './disk.ts';
import type { Transfers } from './transfers.ts';

/** A name of something that is being written (cache/shape). */
const partName = `.${'0'.repeat(16)}`;
const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
/** How often a process looks what has come of an object that another one fetches. */
const lookMs = 20;
/** A reader waits so long for what is under way, or less when nothing comes of anything; then he asks for his part alone. */
const patienceMs = 10_000;
const quietMs = 2_000;

interface Reader {
  readonly end: number;
  readonly resolve: () => void;
}

/** An object that is to be fetched, or is being fetched. */
interface Fetch {
  readonly key: string;
  /** Bytes before this one are wanted. */
  end: number;
  readonly done: Promise<ExtentRange | undefined>;
  readonly finish: (extent: ExtentRange | undefined) => void;
  /** Who waits for bytes before `end`. */
  readonly readers: Set<Reader>;
  /** Set while bytes come. */
  file: FileHandle | undefined;
  /** Bytes from the start that the file has. */
  arrived: number;
}

export interface WholeObjectCounters {
  /** Objects that were fetched by this process, and bytes of them. */
  objects: number;
  bytes: number;
}

export class WholeObjects {
  readonly counters: WholeObjectCounters = { objects: 0, bytes: 0 };
  private readonly disk: DiskCache;
  private readonly transfers: Transfers;
  private readonly addresses: Addresses;
  private readonly fetches = new Map<string, Fetch>();
  private readonly waiting = new Set<Fetch>();
  private running = 0;
  /** How often bytes came of any of them. */
  private arrivals = 0;
  /** End what is being transferred. */
  private readonly underWay = new Set<() => void>();
  private readonly stopped = new AbortController();

  constructor(disk: DiskCache, transfers: Transfers, addresses: Addresses) {
    this.disk = disk;
    this.transfers = transfers;
    this.addresses = addresses;
  }

  /**
   * Fetches an object of which somebody wants bytes before `end`. Resolves to the extent that has all of it,
   * or at least these; undefined when that fails.
   */
  fetch(key: string, end: number): Promise<ExtentRange | undefined> {
    const known = this.fetches.get(key);
    if (known) {
      known.end = Math.max(known.end, end);
      return known.done;
    }
    let finish: Fetch['finish'] = () => undefined;
    const done = new Promise<ExtentRange | undefined>((resolve) => (finish = resolve));
    const fetch: Fetch = { key, end, done, finish, readers: new Set(), file: undefined, arrived: 0 };
    this.fetches.set(key, fetch);
    this.waiting.add(fetch);
    this.next();
    return done;
  }

  isFetching(key: string): boolean {
    return this.fetches.has(key);
  }

  /**
   * True once the disk has bytes before `end` of an object that is being fetched; false when nobody fetches it,
   * and when they don't come, or not soon.
   */
  async arrives(key: string, end: number): Promise<boolean> {
    const fetch = this.fetches.get(key);
    if (!fetch) return false;
    if (fetch.arrived < end) await this.arrival(fetch, end);
    return fetch.arrived >= end;
  }

  /** Bytes of an object that is being fetched, once they have come; undefined when they don't, or not soon. */
  async read(key: string, offset: number, length: number): Promise<Buffer | undefined> {
    const fetch = this.fetches.get(key);
    if (!fetch || !(await this.arrives(key, offset + length))) return undefined;
    const { file } = fetch;
    if (!file) return undefined;
    const bytes = Buffer.allocUnsafe(length);
    const { bytesRead } = await file.read(bytes, 0, length, offset).catch(() => ({ bytesRead: 0 }));
    return bytesRead === length ? bytes : undefined;
  }

  /** Gives up what is under way, which a later process goes on with. */
  async stop(): Promise<void> {
    this.stopped.abort();
    for (const giveUp of this.underWay) giveUp();
    for (const fetch of this.waiting) this.end(fetch, undefined);
    await Promise.all([...this.fetches.values()].map(({ done }) => done));
  }

  private async arrival(fetch: Fetch, end: number): Promise<void> {
    const came = new Promise<void>((resolve) => fetch.readers.add({ end, resolve }));
    const over = Promise.race([came, fetch.done]).then(() => true);
    for (const last = performance.now() + patienceMs; performance.now() < last;) {
      const before = this.arrivals;
      const enough = new AbortController();
      const quiet = sleep(quietMs, false, { signal: enough.signal }).catch(() => false);
      const isOver = await Promise.race([over, quiet]);
      enough.abort();
      if (isOver || this.arrivals === before) return;
    }
  }

  /** Begins what is to be fetched: first what readers wait for. */
  private next(): void {
    while (this.running < this.transfers.limit) {
      const all = [...this.waiting];
      const fetch = all.find(({ readers }) => readers.size > 0) ?? all[0];
      if (!fetch) return;
      this.waiting.delete(fetch);
      this.running += 1;
      void this.carry(fetch)
        .catch(() => undefined)
        .then((extent) => {
          this.running -= 1;
          this.end(fetch, extent);
          this.next();
        });
    }
  }

  private end(fetch: Fetch, extent: ExtentRange | undefined): void {
    this.waiting.delete(fetch);
    this.fetches.delete(fetch.key);
    fetch.finish(extent);
    // Readers that were told of their bytes may be reading.
    void fetch.file?.close().catch(() => undefined);
  }

  /** Fetches an object, or waits for the process that does. */
  private async carry(fetch: Fetch): Promise<ExtentRange | undefined> {
    const folder = join(this.disk.dir, fetch.key);
    const path = join(folder, partName);
    makeBelow(this.disk.dir, fetch.key);
    for (;;) {
      const found = await this.brought(fetch);
      if (found || this.stopped.signal.aborted) return found;
      const file = await open(path, flags, 0o600);
      fetch.file = file;
      const mine = native().tryLock(file.fd);
      const { size, ino } = await file.stat();
      // Whoever had the lock may have finished the file since it was opened, or it was removed.
      const isThere = (await lstat(path).catch(() => undefined))?.ino === ino;
      if (mine && isThere) {
        // Another process may have finished it just before this file was made.
        const finished = await this.brought(fetch);
        if (!finished) return this.download(fetch, file, size, path);
        await rm(path, { force: true });
        return finished;
      }
      if (isThere) {
        this.arrive(fetch, size);
        await sleep(lookMs, undefined, { signal: this.stopped.signal }).catch(() => undefined);
      }
      fetch.file = undefined;
      await file.close();
    }
  }

  /** The extent that has all of an object. Nobody else keeps the beginning, a pack's header; earlier programs did. */
  private async brought({ key, end }: Fetch): Promise<ExtentRange | undefined> {
    return (await this.disk.extents(key)).find(({ offset, length }) => offset === 0 && length >= end);
  }

  private async download(fetch: Fetch, file: FileHandle, from: number, path: string): Promise<ExtentRange | undefined> {
    const { key } = fetch;
    const source = await this.addresses.of(key);
    if (source?.url === undefined) return undefined;
    this.arrive(fetch, from);
    let giveUp = (): void => undefined;
    const { bytes, whole } = await new Promise<{ bytes: number; whole: boolean }>((resolve) => {
      giveUp = this.transfers.download(
        {
          fd: file.fd,
          from,
          again: () => this.addresses.again(key, source),
          isFollowed: () => this.waiting.size > 0,
          moved: (moved) => this.arrive(fetch, moved),
          ended: (all, isWhole) => resolve({ bytes: all, whole: isWhole }),
        },
        source,
      );
      this.underWay.add(giveUp);
    });
    this.underWay.delete(giveUp);
    this.counters.bytes += bytes - from;
    if (!whole) {
      // Without progress what is there may be wrong, for instance too long: the next begins anew.
      if (bytes === from) await file.truncate(0);
      return undefined;
    }
    this.counters.objects += 1;
    this.arrive(fetch, bytes);
    await rename(path, join(this.disk.dir, key, `0-${bytes}`));
    this.disk.wrote(bytes);
    return { offset: 0, length: bytes };
  }

  private arrive(fetch: Fetch, bytes: number): void {
    if (bytes > fetch.arrived) this.arrivals += 1;
    fetch.arrived = Math.max(fetch.arrived, bytes);
    for (const reader of fetch.readers) {
      if (reader.end > fetch.arrived) continue;
      fetch.readers.delete(reader);
      reader.resolve();
    }
  }
}
