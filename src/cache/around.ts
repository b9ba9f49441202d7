/**
 * What a small read of an object fetches along with its own bytes, for the neighbours that may be wanted next.
 */
import { packHeaderBytes } from '../chunks/pack.ts';
import type { ExtentRange } from './disk.ts';

/** A range that was fetched, or is to be. */
export interface Fetched extends ExtentRange {
  /** It was fetched by a read that went on where another range ends. */
  readonly goesOn?: boolean;
}

/** Who reads more chunks in their order asks for them together (BlobReader.prefetch). */
const aroundChunkBytes = 128 * 1024;
const runBytesMax = 8 * 1024 * 1024;

/**
 * An aligned range of `bytes` around what is read; after a range that was fetched before, one twice as long.
 * Of chunks only the third range is longer, and those after it: who reads in no order meets the end of a
 * range by chance.
 */
export function rangeAround(
  fetched: readonly Fetched[],
  { offset, length }: ExtentRange,
  bytes: number,
  isChunks: boolean,
): Fetched {
  const around = isChunks ? Math.min(bytes, aroundChunkBytes) : bytes;
  if (around <= length) return { offset, length };
  const aligned = Math.floor(offset / around) * around;
  // Who takes the chunk at which a range ends goes on in order. Nodes in their order may have gaps.
  const before = fetched.find((each) => {
    const end = each.offset + each.length;
    return (
      each.offset < offset && (isChunks ? end >= offset && end < offset + length : end >= aligned && end <= offset)
    );
  });
  // A range from the object's very beginning is all of it (WholeObjects).
  const from = !before ? Math.max(packHeaderBytes, aligned) : isChunks ? offset : before.offset + before.length;
  const grows = before && (before.goesOn === true || !isChunks);
  const grown = grows ? Math.min(runBytesMax, before.length * 2) : around;
  return { offset: from, length: Math.max(grown, offset + length - from), goesOn: before !== undefined };
}
