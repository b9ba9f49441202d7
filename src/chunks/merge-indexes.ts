/**
 * Keeps the list of indexes short: many fresh packs become one segment, small segments larger
 * ones, as in a log-structured merge tree, so that each entry is rewritten O(log n) times.
 */
import { randomPackId, segmentKey } from '../model/keys.ts';
import { hashKey } from '../model/refs.ts';
import type { Store } from '../store/store.ts';
import { KnownBlobs, type IndexList, type IndexReader, type SegmentInfo } from './known.ts';
import { encodeSegment, segmentEntriesMax, type SegmentEntry } from './segment.ts';

const freshPacksMax = 64;

/**
 * The same knowledge in fewer indexes, when `indexes` lists too many fresh packs. Segments are
 * durable when it resolves; the old ones stay where they are for readers of older heads.
 */
export async function mergeIndexes(
  store: Store,
  reader: IndexReader,
  project: string,
  indexes: IndexList,
): Promise<IndexList> {
  if (indexes.fresh.length <= freshPacksMax) return indexes;
  const known = new KnownBlobs(reader, project, indexes);
  const merged = new Map<string, SegmentEntry>(await known.freshEntries());
  const kept = [...indexes.segments];
  for (let last = kept.at(-1); last; last = kept.at(-1)) {
    if (last.entries > merged.size * 2 || last.entries + merged.size > segmentEntriesMax) break;
    kept.pop();
    for (const entry of await known.segmentEntries(last)) merged.set(hashKey(entry.hash), entry);
  }
  const entries = [...merged.values()].sort((a, b) => a.hash.compare(b.hash));
  for (let from = 0; from < entries.length; from += segmentEntriesMax) {
    kept.push(await writeSegment(store, project, entries.slice(from, from + segmentEntriesMax)));
  }
  return { segments: kept, fresh: [] };
}

async function writeSegment(store: Store, project: string, entries: readonly SegmentEntry[]): Promise<SegmentInfo> {
  const id = randomPackId();
  const bytes = encodeSegment(entries);
  await store.writeIfAbsent(segmentKey(project, id), [bytes]);
  return { id, entries: entries.length, bytes: bytes.length };
}
