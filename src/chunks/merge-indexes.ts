/**
 * Keeps the list of indexes short: many fresh packs become one segment, small segments larger
 * ones, as in a log-structured merge tree, so that each entry is rewritten O(log n) times.
 */
import { native } from '../base/native.ts';
import { randomPackId, segmentKey } from '../model/keys.ts';
import type { Store } from '../store/store.ts';
import { RowBuffer, rowBytes } from './blob-table.ts';
import type { IndexCache } from './index-cache.ts';
import { KnownBlobs, type IndexList, type IndexReader, type SegmentInfo } from './known.ts';
import { encodeSegment, segmentEntriesMax } from './segment.ts';

const freshPacksMax = 16;

export interface MergeOptions {
  readonly cache?: IndexCache;
  /** Fresh packs that may stay. */
  readonly freshMax?: number;
}

/**
 * The same knowledge in fewer indexes, when `indexes` lists too many fresh packs. Segments are
 * durable when it resolves; the old ones stay where they are for readers of older heads.
 */
export async function mergeIndexes(
  store: Store,
  reader: IndexReader,
  project: string,
  indexes: IndexList,
  { cache, freshMax = freshPacksMax }: MergeOptions = {},
): Promise<IndexList> {
  if (indexes.fresh.length <= freshMax) return indexes;
  const kept = [...indexes.segments];
  const merged: SegmentInfo[] = [];
  let entries = indexes.fresh.reduce((sum, { blobs }) => sum + blobs, 0);
  for (let last = kept.at(-1); last; last = kept.at(-1)) {
    if (last.entries > entries * 2 || last.entries + entries > segmentEntriesMax) break;
    kept.pop();
    merged.push(last);
    entries += last.entries;
  }
  const rows = new RowBuffer(entries);
  const known = new KnownBlobs(reader, project, { segments: merged, fresh: indexes.fresh }, cache);
  await Promise.all([known.addFresh(rows), ...merged.map((segment) => known.addSegment(segment, rows))]);
  return { segments: [...kept, ...(await writeSegments(store, project, rows))], fresh: [] };
}

/** Stores rows as segments, of equal hashes the first. Durable when it resolves; `from` is used up. */
export async function writeSegments(store: Store, project: string, from: RowBuffer): Promise<SegmentInfo[]> {
  const rows = from.rows();
  const count = await native().sortRows(rows, rowBytes);
  const written: SegmentInfo[] = [];
  for (let first = 0; first < count; first += segmentEntriesMax) {
    const part = rows.subarray(first * rowBytes, Math.min(count, first + segmentEntriesMax) * rowBytes);
    const id = randomPackId();
    const parts = encodeSegment(part, from.packs);
    await store.writeIfAbsent(segmentKey(project, id), parts);
    const bytes = parts.reduce((sum, each) => sum + each.length, 0);
    written.push({ id, entries: part.length / rowBytes, bytes });
  }
  return written;
}
