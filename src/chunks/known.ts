/**
 * Which blobs a project has, and where: the fresh packs' own indexes, and segments for the rest.
 * Learned from the store on first use; a few reads tell what is new, whatever the project's size.
 */
import { mapOrdered } from '../base/async.ts';
import { isPachError, PachError } from '../base/errors.ts';
import { Lru } from '../base/lru.ts';
import { packKey, segmentKey, type PackKind } from '../model/keys.ts';
import type { Hash, PackId, Place } from '../model/refs.ts';
import type { Store } from '../store/store.ts';
import { BlobTable, rowBytes, type BlobRows, type PackName } from './blob-table.ts';
import { IndexCache, type SizedIndex } from './index-cache.ts';
import { packEntry, packIndexBytes, packIndexBytesOf, parsePackIndex, type PackIndex } from './pack.ts';
import type { StoredPack } from './pack-writer.ts';
import {
  blockCount,
  blockOf,
  blockRange,
  checkBlock,
  findInBlock,
  mayContain,
  parseSegmentTail,
  segmentTailBytes,
  type Found,
  type SegmentTail,
} from './segment.ts';

/** A segment as the head lists it. */
export interface SegmentInfo {
  readonly id: PackId;
  readonly entries: number;
  /** Size of the object in bytes. */
  readonly bytes: number;
}

/** The indexes of a project, as its head lists them. */
export interface IndexList {
  readonly segments: readonly SegmentInfo[];
  readonly fresh: readonly StoredPack[];
}

/** What indexes are read through: a store, or a cache in front of it. */
export interface IndexReader extends Pick<Store, 'read' | 'readTail'> {
  /** Of a cache: drops what it has of an object, so that the store is asked again. */
  forget?(key: string): Promise<void>;
}

/** A segment whose end has been read: all but its blocks. */
interface OpenSegment {
  readonly key: string;
  readonly id: PackId;
  readonly tail: SegmentTail;
}

const readsAhead = 8;
const searchesMax = 16;
/** Packs whose own index is kept in memory, because something in them was found lately. */
const recentPacksMax = 16;
const packTailBytes = 64 * 1024;
const blockCacheBytes = 16 * 1024 * 1024;
/** Blocks of a segment that is read whole come in reads of about 4 MiB. */
const blocksPerRead = 85;
/** An index that was missing or damaged is asked for again after this time. */
const failureMs = 1000;

export class KnownBlobs {
  private readonly reader: IndexReader;
  private readonly project: string;
  readonly indexes: IndexList;
  private readonly cache: IndexCache;
  private readonly fresh = new Loaded(() => this.loadFresh());
  private readonly segments = new Loaded(() => this.loadSegments());
  private readonly blocks = new Lru<Promise<Buffer>>(blockCacheBytes);
  private readonly recent = new Map<PackId, BlobTable>();

  constructor(reader: IndexReader, project: string, indexes: IndexList, cache = new IndexCache()) {
    this.reader = reader;
    this.project = project;
    this.indexes = indexes;
    this.cache = cache;
  }

  /** Begins to read the indexes, for a caller that will need them soon. */
  prepare(): void {
    // `find` throws the error.
    Promise.all([this.fresh.get(), this.segments.get()]).catch(() => undefined);
  }

  /** Where a blob lies, or undefined when the project does not have it. */
  async find(hash: Hash): Promise<Place | undefined> {
    return (await this.findAll([hash]))[0];
  }

  /** The same for many at once. */
  async findAll(hashes: readonly Hash[]): Promise<(Place | undefined)[]> {
    const [fresh, segments] = await Promise.all([this.fresh.get(), this.segments.get()]);
    const places: (Place | undefined)[] = hashes.map((hash) => placeIn(fresh, hash));
    // What was stored together comes again together: a pack in which two were found is likely to
    // have those that follow, and its own index tells them all at once.
    const isLeft = (index: number): boolean => {
      if (places[index]) return false;
      const hash = hashes[index] as Hash;
      for (const table of this.recent.values()) {
        places[index] = placeIn(table, hash);
        if (places[index]) return false;
      }
      return segments.some(({ tail }) => mayContain(tail, hash));
    };
    for (let next = 0; next < hashes.length;) {
      const group: number[] = [];
      for (; next < hashes.length && group.length < searchesMax; next += 1) if (isLeft(next)) group.push(next);
      const found = await Promise.all(group.map((index) => this.search(segments, hashes[index] as Hash)));
      for (const [i, index] of group.entries()) places[index] = found[i]?.place;
      const packs = found.flatMap((each) => (each?.kind === 'data' ? [each.place.pack] : []));
      const again = new Set(packs.filter((pack, n) => packs.indexOf(pack) < n));
      await Promise.all([...again].map((pack) => this.keepPack(pack)));
    }
    return places;
  }

  /** Adds all blobs of the fresh packs, as their own indexes say. */
  async addFresh(to: BlobRows): Promise<void> {
    const packs = mapOrdered(this.indexes.fresh, readsAhead, async (pack) => ({
      pack,
      ...(await this.packIndex(pack, pack.blobs)),
    }));
    for await (const { pack, index } of packs) addPack(to, pack, index);
  }

  /** Adds all entries of a segment. */
  async addSegment(info: SegmentInfo, to: BlobRows): Promise<void> {
    const segment = (await this.segments.get()).find(({ id }) => id === info.id);
    if (!segment) throw new Error(`segment ${info.id} is not one of these`);
    const { tail } = segment;
    const packs = tail.packs.map(({ kind, id }) => to.pack(kind, id));
    for (let first = 0; first < blockCount(tail); first += blocksPerRead) {
      const rows = await this.checkedBlocks(segment, first, blocksPerRead);
      for (let at = 0; at < rows.length; at += rowBytes) {
        to.add(
          rows.subarray(at, at + 32),
          packs[rows.readUInt32LE(at + 32)] as number,
          rows.readUInt32LE(at + 36),
          rows.readUInt32LE(at + 40),
          rows.readUInt32LE(at + 44),
        );
      }
    }
  }

  /** All packs that these indexes know, by id. */
  async packs(): Promise<Map<PackId, PackKind>> {
    const packs = new Map<PackId, PackKind>(this.indexes.fresh.map(({ id, kind }) => [id, kind]));
    for (const { tail } of await this.segments.get()) for (const { id, kind } of tail.packs) packs.set(id, kind);
    return packs;
  }

  /** Adds all blobs of one pack, as its own index says. */
  async addPack(name: PackName, to: BlobRows): Promise<{ pack: StoredPack; index: PackIndex }> {
    const { index, bytes } = await this.packIndex(name);
    addPack(to, name, index);
    return { pack: { ...name, bytes, blobs: index.count }, index };
  }

  private async search(segments: readonly OpenSegment[], hash: Hash): Promise<Found | undefined> {
    for (const segment of segments) {
      if (!mayContain(segment.tail, hash)) continue;
      const block = blockOf(segment.tail, hash);
      if (block === undefined) continue;
      const found = findInBlock(segment.tail, await this.block(segment, block), hash);
      if (found) return found;
    }
    return undefined;
  }

  private async loadFresh(): Promise<BlobTable> {
    const table = new BlobTable();
    await this.addFresh(table);
    return table;
  }

  /** Keeps the index of a data pack: all chunks of a pack are known where one is (FORMAT.md section 8). */
  private async keepPack(id: PackId): Promise<void> {
    if (this.recent.has(id)) return;
    const table = new BlobTable();
    await this.addPack({ kind: 'data', id }, table);
    this.recent.set(id, table);
    const [oldest] = this.recent.keys();
    if (this.recent.size > recentPacksMax && oldest) this.recent.delete(oldest);
  }

  /** A pack's index and the pack's size; `blobs`, where it is known, saves a request. */
  private packIndex({ kind, id }: PackName, blobs?: number): Promise<SizedIndex> {
    const key = packKey(this.project, kind, id);
    const read = async (): Promise<SizedIndex> => {
      let tail = await this.reader.readTail(key, blobs === undefined ? packTailBytes : packIndexBytes(blobs));
      const wanted = packIndexBytesOf(Buffer.from(tail.bytes), key);
      if (wanted > tail.bytes.length) tail = await this.reader.readTail(key, wanted);
      return {
        index: parsePackIndex(kind, Buffer.from(tail.bytes).subarray(-wanted), tail.size, key),
        bytes: tail.size,
      };
    };
    return this.cache.pack(id, () => this.parsed(key, read));
  }

  private loadSegments(): Promise<readonly OpenSegment[]> {
    return Promise.all(
      this.indexes.segments.map(async ({ id, entries, bytes: size }) => {
        const key = segmentKey(this.project, id);
        const read = async (): Promise<SegmentTail> => {
          const { bytes } = await this.reader.readTail(key, segmentTailBytes(size, entries, key));
          return parseSegmentTail(Buffer.from(bytes), key);
        };
        const tail = await this.cache.segment(id, () => this.parsed(key, read));
        if (tail.entries !== entries) throw otherCount(key);
        return { key, id, tail };
      }),
    );
  }

  private block(segment: OpenSegment, block: number): Promise<Buffer> {
    const cacheKey = `${segment.id}/${block}`;
    let bytes = this.blocks.get(cacheKey);
    if (!bytes) {
      bytes = this.checkedBlocks(segment, block, 1);
      this.blocks.set(cacheKey, bytes, blockRange(segment.tail, block).length);
      bytes.catch(() => this.blocks.delete(cacheKey));
    }
    return bytes;
  }

  private checkedBlocks({ key, tail }: OpenSegment, first: number, count: number): Promise<Buffer> {
    const { offset, length } = blockRange(tail, first, count);
    return this.parsed(key, async () => {
      const bytes = Buffer.from(await this.reader.read(key, offset, length));
      const each = blockRange(tail, first).length;
      for (let at = 0, block = first; at < length; at += each, block += 1) {
        checkBlock(tail, block, bytes.subarray(at, at + each), key);
      }
      return bytes;
    });
  }

  /**
   * What `read` makes of an object that the head lists. An absent object is damage. When a cache
   * gave damaged bytes, the store is asked.
   */
  private async parsed<T>(key: string, read: () => Promise<T>): Promise<T> {
    try {
      return await read().catch(async (error: unknown) => {
        if (!this.reader.forget || !isPachError(error, 'damaged', 'unsupported')) throw error;
        await this.reader.forget(key);
        return read();
      });
    } catch (error) {
      if (!isPachError(error, 'not-found')) throw error;
      throw damagedIndex(key, 'it is missing from the store', error);
    }
  }
}

/** Loaded once. A failure is thrown to all callers for a while; then it is loaded again. */
class Loaded<T> {
  private readonly load: () => Promise<T>;
  private loading: Promise<T> | undefined;
  private failedAt = Infinity;

  constructor(load: () => Promise<T>) {
    this.load = load;
  }

  get(): Promise<T> {
    if (this.loading && performance.now() < this.failedAt + failureMs) return this.loading;
    this.failedAt = Infinity;
    this.loading = this.load();
    this.loading.catch((error: unknown) => {
      // A store that does not answer made callers wait already: the next one may try at once.
      this.failedAt = isPachError(error, 'unreachable') ? -Infinity : performance.now();
    });
    return this.loading;
  }
}

function placeIn(table: BlobTable, hash: Hash): Place | undefined {
  const row = table.find(hash);
  return row < 0 ? undefined : table.placeAt(row);
}

function addPack(to: BlobRows, { kind, id }: PackName, index: PackIndex): void {
  const number = to.pack(kind, id);
  for (let n = 0; n < index.count; n += 1) {
    const { hash, offset, storedLength, plainLength } = packEntry(index, n);
    to.add(hash, number, offset, storedLength, plainLength);
  }
}

function otherCount(key: string): PachError {
  return damagedIndex(key, 'it does not have as many entries as the head says');
}

function damagedIndex(key: string, why: string, cause?: unknown): PachError {
  return new PachError('damaged', {
    what: key,
    why,
    next: 'restore the object from a copy of the store',
    cause,
  });
}
