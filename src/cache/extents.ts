/**
 * Stored bytes of immutable objects, near first: memory, disk, store. What is fetched once is
 * kept in the size it was fetched in; callers that want the same bytes at once share one request.
 */
import { Deadline } from '../base/deadline.ts';
import { Listeners } from '../base/listeners.ts';
import { Lru } from '../base/lru.ts';
import { isDataPackKey, projectPrefix } from '../model/keys.ts';
import type { Store } from '../store/store.ts';
import { rangeAround, type Fetched } from './around.ts';
import type { DiskCache, ExtentRange } from './disk.ts';
import type { FileCache } from './file-cache.ts';
import type { FirstReads } from './first-reads.ts';
import type { Notes } from './notes.ts';
import type { Ranges } from './ranges.ts';
import type { WholeObjects } from './whole-objects.ts';

interface Extent extends Fetched {
  /** Set while under way and while memory holds it. */
  bytes: Promise<Buffer> | undefined;
  onDisk: boolean;
}

interface CachedObject {
  extents: Extent[];
  /** Its parts are read in no order: the neighbours of one are not fetched with it. */
  isScattered: boolean;
}

export interface ExtentOptions {
  /** Bytes of memory at most. */
  readonly memoryBytesMax: number;
  readonly disk?: DiskCache | undefined;
  /** Brings whole objects to the disk; undefined where they are not brought. */
  readonly whole?: WholeObjects | undefined;
  /** No more bytes of a repo than that are brought in whole objects. */
  readonly wholeBytesMax?: number;
  /** Brings ranges of objects around which nothing is fetched; undefined where the store reads all. */
  readonly ranges?: Ranges | undefined;
  /** Large files, which are forgotten together with the packs that they came from. */
  readonly files?: FileCache | undefined;
  /** They name paths, which may have been purged with a new epoch. */
  readonly firstReads?: FirstReads | undefined;
  /** Remembers epochs from process to process; without, nothing is kept from one to the next. */
  readonly notes?: Notes | undefined;
  /** A small read fetches so many bytes around it, for its neighbours; of chunks no more than `aroundChunkBytes`. */
  readonly readAroundBytes: number;
  /** How long a read waits for a store that does not answer. */
  readonly timeoutMs?: number | undefined;
}

const smallReadBytes = 128 * 1024;
/** Of a longer extent on the disk only the part that is asked for is read. */
const loadBytesMax = 4 * 1024 * 1024;
const diskWritesMax = 8;

export class ExtentCache {
  private readonly store: Store;
  private readonly options: ExtentOptions;
  private readonly objects = new Map<string, Promise<CachedObject>>();
  private readonly memory: Lru<() => void>;
  private readonly writes = new Set<Promise<void>>();
  private readonly epochs = new Map<string, number>();
  /** Told before a read that somebody waits for asks the store. */
  readonly onFetch = new Listeners();

  constructor(store: Store, options: ExtentOptions) {
    this.store = store;
    this.options = options;
    this.memory = new Lru(options.memoryBytesMax, (drop) => drop());
  }

  /**
   * Bytes [offset, offset+length) of an object; fewer only where it ends. Not to be changed. `idle`:
   * nobody waits for them.
   */
  async read(key: string, offset: number, length: number, given?: Deadline, idle = false): Promise<Buffer> {
    const deadline = given ?? new Deadline(this.options.timeoutMs);
    const object = await this.object(key);
    const kept = await this.kept(key, object, offset, length);
    if (kept) return kept;
    if (!idle) this.onFetch.tell();
    const coming = await this.options.whole?.read(key, offset, length);
    if (coming) return coming;
    // Another process may have brought it, or another reader have asked for it meanwhile.
    for (const range of (await this.options.disk?.extents(key)) ?? []) this.found(object, range);
    const brought = this.covering(object, offset, length) && (await this.kept(key, object, offset, length));
    if (brought) return brought;
    const isAlone = length >= smallReadBytes || object.isScattered;
    const range = isAlone
      ? { offset, length }
      : rangeAround(object.extents, { offset, length }, this.options.readAroundBytes, isDataPackKey(key));
    const begin = offset - range.offset;
    return (await this.fetch(key, object, range, deadline)).subarray(begin, begin + length);
  }

  /** The shortest extent that has these bytes: it was fetched anew where a longer one is damaged. */
  private covering({ extents }: CachedObject, offset: number, length: number): Extent | undefined {
    let found: Extent | undefined;
    for (const each of extents) {
      const has = each.offset <= offset && each.offset + each.length >= offset + length;
      if (has && each.length < (found?.length ?? Infinity)) found = each;
    }
    return found;
  }

  /** Bytes that are here, or on their way. */
  private async kept(key: string, object: CachedObject, offset: number, length: number): Promise<Buffer | undefined> {
    const extent = this.covering(object, offset, length);
    if (!extent) return undefined;
    // One from the very beginning is a pack that came whole, without a hash of all of it.
    if (!extent.bytes && (extent.length > loadBytesMax || extent.offset === 0)) {
      const part = await this.options.disk?.readPart(key, extent, offset, length);
      if (!part) this.drop(key, object, extent);
      return part;
    }
    const bytes = await this.load(key, extent);
    return bytes?.subarray(offset - extent.offset, offset - extent.offset + length);
  }

  private found(object: CachedObject, range: ExtentRange): void {
    const isKnown = object.extents.some((each) => each.offset === range.offset && each.length === range.length);
    if (!isKnown) object.extents.push({ ...range, bytes: undefined, onDisk: true });
  }

  /**
   * Brings all of an object to the disk, of which somebody wants bytes before `end`. True when it is there;
   * never rejects.
   */
  async fetchWhole(key: string, end: number): Promise<boolean> {
    const extent = await this.options.whole?.fetch(key, end);
    if (extent) this.found(await this.object(key), extent);
    return extent !== undefined;
  }

  /** No more bytes than that are brought in whole objects; 0: none. */
  get wholeBytesMax(): number {
    const { whole, wholeBytesMax = 0 } = this.options;
    return whole ? wholeBytesMax : 0;
  }

  /** True when all of an object is on the disk, or is being brought there. */
  async hasWhole(key: string): Promise<boolean> {
    const { extents } = await this.object(key);
    return this.options.whole?.isFetching(key) === true || extents.some(({ offset, onDisk }) => offset === 0 && onDisk);
  }

  /** True once the disk has bytes before `end` of an object that is being brought there as a whole. */
  async arrives(key: string, end: number): Promise<boolean> {
    return (await this.options.whole?.arrives(key, end)) === true;
  }

  /** True when the disk has these bytes: right or not, whoever reads them sees. */
  async isOnDisk(key: string, offset: number, length: number): Promise<boolean> {
    const { extents } = await this.object(key);
    return extents.some((each) => each.onDisk && each.offset <= offset && each.offset + each.length >= offset + length);
  }

  /** Bytes that are wanted once: nothing of them is kept, and what is kept here is not asked. */
  readOnce(key: string, offset: number, length: number): Promise<Buffer> {
    const fromStore = async (): Promise<Buffer> => {
      const read = await this.store.read(key, offset, length, new Deadline(this.options.timeoutMs));
      return Buffer.from(read.buffer, read.byteOffset, read.byteLength);
    };
    return this.options.ranges?.read(key, { offset, length }, fromStore) ?? fromStore();
  }

  /** From now on a read of this object fetches nothing beside what is read. */
  async fetchNothingAround(key: string): Promise<void> {
    (await this.object(key)).isScattered = true;
  }

  /** Forgets what is kept of this range and reads it from the store: for bytes that were damaged. */
  async reread(key: string, offset: number, length: number): Promise<Buffer> {
    const object = await this.object(key);
    // A long one is right elsewhere, and is passed over for the one that is fetched now.
    const overlaps = (each: Extent): boolean =>
      each.length <= loadBytesMax && each.offset < offset + length && offset < each.offset + each.length;
    for (const extent of object.extents.filter(overlaps)) {
      this.drop(key, object, extent);
      await this.options.disk?.forget(key, extent);
    }
    return this.fetch(key, object, { offset, length });
  }

  /** Forgets all that is kept of an object, its end too. */
  async forget(key: string): Promise<void> {
    const object = await this.object(key);
    for (const extent of object.extents) {
      this.drop(key, object, extent);
      await this.options.disk?.forget(key, extent);
    }
    for (const range of (await this.options.disk?.extents(`${key}.tail`)) ?? []) {
      await this.options.disk?.forget(`${key}.tail`, range);
    }
  }

  /** The end of an object, as Store.readTail, kept on disk. */
  async readTail(key: string, length: number): Promise<{ bytes: Buffer; size: number }> {
    const range = { offset: 0, length: length + 8 };
    const kept = await this.options.disk?.read(`${key}.tail`, range);
    if (kept) return { size: kept.readDoubleLE(0), bytes: kept.subarray(8) };
    const { bytes, size } = await this.store.readTail(key, length);
    const tail = Buffer.alloc(8 + bytes.length);
    tail.writeDoubleLE(size);
    tail.set(bytes, 8);
    if (bytes.length === length) await this.options.disk?.write(`${key}.tail`, range, tail);
    return { bytes: tail.subarray(8), size };
  }

  /**
   * Notes the epoch of a project. If it is another one than the last time, objects that `live` does not
   * name were collected: what is kept of them leaves memory and disk. True in that case.
   */
  async enter(project: string, epoch: number, live: () => Promise<ReadonlySet<string>>): Promise<boolean> {
    const { disk, files, firstReads, notes } = this.options;
    const before = this.epochs.get(project) ?? (await notes?.get(project));
    this.epochs.set(project, epoch);
    if (before === epoch) return false;
    if (before !== undefined) {
      const keys = await live();
      const wanted = (object: string): boolean => keys.has(object.replace(/\.tail$/, ''));
      const prefix = projectPrefix(project);
      for (const [key, object] of this.objects) {
        if (!key.startsWith(prefix) || wanted(key)) continue;
        for (const extent of (await object).extents) this.drop(key, await object, extent);
        this.objects.delete(key);
      }
      await disk?.retain(prefix, wanted);
      await files?.retain(project, wanted);
      await firstReads?.forget(project);
    }
    await notes?.set(project, epoch);
    // Once more: a mount that saw the old epoch a moment ago may have saved names since.
    if (before !== undefined) await firstReads?.forget(project);
    return before !== undefined;
  }

  /** Waits until what is to be kept on disk is there. */
  async settle(): Promise<void> {
    await Promise.all(this.writes);
  }

  private object(key: string): Promise<CachedObject> {
    const known = this.objects.get(key);
    if (known) return known;
    const listed = this.options.disk?.extents(key) ?? Promise.resolve([]);
    const object = listed.then((ranges) => ({
      extents: ranges.map((range) => ({ ...range, bytes: undefined, onDisk: true })),
      isScattered: false,
    }));
    this.objects.set(key, object);
    return object;
  }

  private async load(key: string, extent: Extent): Promise<Buffer | undefined> {
    if (!extent.bytes) {
      extent.bytes = this.loadFromDisk(key, extent);
      this.keep(key, extent);
    } else this.memory.get(memoryKey(key, extent));
    return extent.bytes.catch(() => undefined);
  }

  private async loadFromDisk(key: string, extent: Extent): Promise<Buffer> {
    const bytes = await this.options.disk?.read(key, extent);
    if (bytes) return bytes;
    this.drop(key, await this.object(key), extent);
    throw new Error('the extent has left the disk');
  }

  private async fetch(key: string, object: CachedObject, range: Fetched, deadline?: Deadline): Promise<Buffer> {
    const fromStore = async (): Promise<Buffer> => {
      const read = await this.store.read(key, range.offset, range.length, deadline);
      const bytes = Buffer.from(read.buffer, read.byteOffset, read.byteLength);
      // A read past the end of a small object leaves most of its buffer empty, and what is kept counts by its bytes.
      return bytes.length < bytes.buffer.byteLength / 2 ? Buffer.from(bytes) : bytes;
    };
    const { ranges } = this.options;
    const bytes = ranges && object.isScattered ? ranges.read(key, range, fromStore) : fromStore();
    const extent: Extent = { ...range, bytes, onDisk: false };
    object.extents.push(extent);
    this.keep(key, extent);
    try {
      const read = await bytes;
      if (read.length < range.length) {
        this.drop(key, object, extent);
        if (read.length === 0) return read;
        return await this.shorten(key, object, { offset: range.offset, length: read.length }, bytes);
      }
      await this.persist(key, extent, read);
      return read;
    } catch (error) {
      this.drop(key, object, extent);
      throw error;
    }
  }

  /** Keeps what came of a read that went past the object's end. */
  private async shorten(
    key: string,
    object: CachedObject,
    range: ExtentRange,
    bytes: Promise<Buffer>,
  ): Promise<Buffer> {
    const extent: Extent = { ...range, bytes, onDisk: false };
    object.extents.push(extent);
    this.keep(key, extent);
    const read = await bytes;
    await this.persist(key, extent, read);
    return read;
  }

  /** Writes to disk beside the reader, who waits only when too many writes are under way. */
  private async persist(key: string, extent: Extent, bytes: Buffer): Promise<void> {
    const disk = this.options.disk;
    if (!disk) return;
    while (this.writes.size >= diskWritesMax) await Promise.race(this.writes);
    const write = disk.write(key, extent, bytes).then((kept) => void (extent.onDisk = kept));
    this.writes.add(write);
    void write.finally(() => this.writes.delete(write));
  }

  private keep(key: string, extent: Extent): void {
    const dropped = (): void => {
      extent.bytes = undefined;
      if (!extent.onDisk) void this.object(key).then((object) => this.drop(key, object, extent));
    };
    this.memory.set(memoryKey(key, extent), dropped, extent.length);
  }

  private drop(key: string, object: CachedObject, extent: Extent): void {
    object.extents = object.extents.filter((each) => each !== extent);
    this.memory.delete(memoryKey(key, extent));
  }
}

const memoryKey = (key: string, { offset, length }: ExtentRange): string => `${key}/${offset}-${length}`;
