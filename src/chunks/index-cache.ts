/**
 * Indexes that were read or written lately, shared by all heads that list them. They never change.
 */
import { Lru } from '../base/lru.ts';
import type { PackId } from '../model/refs.ts';
import type { PackIndex } from './pack.ts';
import type { SegmentTail } from './segment.ts';

/** A pack's own index, and the pack's size in bytes. */
export interface SizedIndex {
  readonly index: PackIndex;
  readonly bytes: number;
}

const packBytesMax = 16 * 1024 * 1024;
const segmentBytesMax = 64 * 1024 * 1024;

export class IndexCache {
  private readonly packs = new Lru<SizedIndex>(packBytesMax);
  private readonly segments = new Lru<SegmentTail>(segmentBytesMax);

  /** The index of a pack; `read` gives it when it is not here. */
  async pack(id: PackId, read: () => Promise<SizedIndex>): Promise<SizedIndex> {
    const kept = this.packs.get(id);
    if (kept) return kept;
    const found = await read();
    this.keepPack(id, found);
    return found;
  }

  keepPack(id: PackId, found: SizedIndex): void {
    this.packs.set(id, found, found.index.bytes.length);
  }

  /** The same for the end of a segment. */
  async segment(id: PackId, read: () => Promise<SegmentTail>): Promise<SegmentTail> {
    const kept = this.segments.get(id);
    if (kept) return kept;
    const tail = await read();
    this.segments.set(id, tail, tail.filter.length + tail.fences.length + tail.packs.length * 64);
    return tail;
  }
}
