/**
 * Which packs are worth one request each for whoever reads all of many files: of most of their bytes.
 */
import type { BlobReader } from '../../cache/blobs.ts';
import { listRange } from '../../model/list.ts';
import type { PackId, Ref } from '../../model/refs.ts';
import { entrySize, type TreeEntry } from '../../model/tree.ts';

export interface Chunk {
  readonly ref: Ref;
  /** Bytes, plain. */
  readonly length: number;
}

/** A pack of which most is wanted. */
export interface WantedPack {
  readonly pack: PackId;
  /** Bytes that are wanted, all of them before `end`. */
  readonly bytes: number;
  readonly end: number;
}

/** Of a pack so much must be wanted that one request for all of it is worth it: two thirds of a full one. */
export const packBytesMin = 16 * 1024 * 1024;

/**
 * The packs of which most is wanted by who reads all of these files, but for those of more than
 * `fileBytesMax`, in the order in which they are wanted. None when more than `bytesMax` is wanted.
 */
export async function wantedPacks(
  reader: BlobReader,
  files: AsyncIterable<{ readonly entry: TreeEntry }>,
  { bytesMax, fileBytesMax = Infinity }: { readonly bytesMax: number; readonly fileBytesMax?: number },
  signal: AbortSignal | undefined,
): Promise<WantedPack[]> {
  const wanted = new Map<PackId, { bytes: number; end: number }>();
  let total = 0;
  for await (const { entry } of files) {
    signal?.throwIfAborted();
    if (entry.kind === 'directory' || entrySize(entry) > fileBytesMax) continue;
    for (const { ref, length } of await chunksOf(reader, entry)) {
      const { place } = ref;
      if (!place) continue;
      const pack = wanted.get(place.pack) ?? { bytes: 0, end: 0 };
      pack.bytes += length;
      pack.end = Math.max(pack.end, place.offset + place.length);
      wanted.set(place.pack, pack);
      total += length;
      if (total > bytesMax) return [];
    }
  }
  return [...wanted].flatMap(([pack, { bytes, end }]) => (bytes >= packBytesMin ? [{ pack, bytes, end }] : []));
}

/** The chunks of a file; inline bytes and holes are none. */
export async function chunksOf(reader: BlobReader, { content }: TreeEntry): Promise<Chunk[]> {
  if (content.form === 'chunk') return [{ ref: content.ref, length: content.size }];
  const chunks: Chunk[] = [];
  if (content.form !== 'list') return chunks;
  for await (const { ref, length } of listRange(reader, content.ref, 0, content.size)) {
    if (ref) chunks.push({ ref, length });
  }
  return chunks;
}
