/**
 * Which blobs a project has, and where: the fresh packs' own indexes, and segments for the rest.
 * Learned from the store on first use; a few reads tell what is new, whatever the project's size.
 */
import { mapOrdered } from '../base/async.ts';
import { isPachError, PachError } from '../base/errors.ts';
import { Lru } from '../base/lru.ts';
import { packKey, segmentKey } from '../model/keys.ts';
import { hashKey, type Hash, type PackId, type Place } from '../model/refs.ts';
import type { Store } from '../store/store.ts';
import { packFooterBytes, parsePackIndex } from './pack.ts';
import type { StoredPack } from './pack-writer.ts';
import {
  blockOf,
  blockRange,
  mayContain,
  parseBlock,
  parseSegmentTail,
  segmentTailBytes,
  type SegmentEntry,
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

/** The part of a store, or of a cache before it, that indexes are read through. */
export interface IndexReader extends Pick<Store, 'read' | 'readTail'> {
  /** Of a cache: forgets what it keeps of an object, so that the store is asked again. */
  forget?(key: string): Promise<void>;
}

const readsAhead = 16;
const blockCacheBytes = 16 * 1024 * 1024;

export class KnownBlobs {
  private readonly reader: IndexReader;
  private readonly project: string;
  readonly indexes: IndexList;
  private fresh: Promise<Map<string, SegmentEntry>> | undefined;
  private segments: Promise<readonly { info: SegmentInfo; tail: SegmentTail }[]> | undefined;
  private readonly blocks = new Lru<Map<string, SegmentEntry>>(blockCacheBytes);

  constructor(reader: IndexReader, project: string, indexes: IndexList) {
    this.reader = reader;
    this.project = project;
    this.indexes = indexes;
  }

  /** Where a blob lies, or undefined when the project does not have it. */
  async find(hash: Hash): Promise<Place | undefined> {
    const key = hashKey(hash);
    const fresh = (await this.freshEntries()).get(key);
    if (fresh) return fresh.place;
    for (const segment of await this.segmentTails()) {
      if (!mayContain(segment.tail, hash)) continue;
      const block = blockOf(segment.tail, hash);
      if (block === undefined) continue;
      const found = (await this.block(segment, block)).get(key);
      if (found) return found.place;
    }
    return undefined;
  }

  /** The blobs of all fresh packs. */
  freshEntries(): Promise<ReadonlyMap<string, SegmentEntry>> {
    this.fresh ??= this.loadFresh();
    return this.fresh;
  }

  /** All entries of one segment, in order of their hashes. */
  async segmentEntries(info: SegmentInfo): Promise<SegmentEntry[]> {
    const segment = (await this.segmentTails()).find((known) => known.info.id === info.id);
    const entries: SegmentEntry[] = [];
    if (!segment) return entries;
    for (let block = 0; entries.length < info.entries; block += 1) {
      entries.push(...(await this.block(segment, block)).values());
    }
    return entries;
  }

  private async loadFresh(): Promise<Map<string, SegmentEntry>> {
    const entries = new Map<string, SegmentEntry>();
    const packs = mapOrdered(this.indexes.fresh, readsAhead, async (pack) => {
      const key = packKey(this.project, pack.kind, pack.id);
      const blobs = await this.parsed(key, async () => {
        const { bytes, size } = await this.reader.readTail(key, pack.blobs * 44 + packFooterBytes);
        return parsePackIndex(pack.kind, Buffer.from(bytes), size, key);
      });
      return { pack, blobs };
    });
    for await (const { pack, blobs } of packs) {
      for (const { hash, offset, storedLength, plainLength } of blobs) {
        const place: Place = { pack: pack.id, offset, length: storedLength };
        entries.set(hashKey(hash), { hash, kind: pack.kind, place, plainLength });
      }
    }
    return entries;
  }

  private segmentTails(): Promise<readonly { info: SegmentInfo; tail: SegmentTail }[]> {
    this.segments ??= Promise.all(
      this.indexes.segments.map(async (info) => {
        const key = segmentKey(this.project, info.id);
        const tail = await this.parsed(key, async () => {
          const { bytes } = await this.reader.readTail(key, segmentTailBytes(info.bytes, info.entries, key));
          return parseSegmentTail(Buffer.from(bytes), key);
        });
        if (tail.entries !== info.entries) throw damagedIndex(key, 'it has not as many entries as the head says');
        return { info, tail };
      }),
    );
    return this.segments;
  }

  private async block(
    { info, tail }: { info: SegmentInfo; tail: SegmentTail },
    block: number,
  ): Promise<Map<string, SegmentEntry>> {
    const cacheKey = `${info.id}/${block}`;
    const cached = this.blocks.get(cacheKey);
    if (cached) return cached;
    const key = segmentKey(this.project, info.id);
    const { offset, length } = blockRange(tail, block);
    const entries = await this.parsed(key, async () => {
      const bytes = Buffer.from(await this.reader.read(key, offset, length));
      return new Map(parseBlock(tail, block, bytes, key).map((entry) => [hashKey(entry.hash), entry]));
    });
    this.blocks.set(cacheKey, entries, length * 4);
    return entries;
  }

  /**
   * What `read` makes of an object that the head lists: that it is not there is damage, whoever
   * asks. What a cache has kept wrongly is read anew.
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

function damagedIndex(key: string, why: string, cause?: unknown): PachError {
  return new PachError('damaged', {
    what: key,
    why,
    next: 'restore the object from a copy of the store',
    cause,
  });
}
