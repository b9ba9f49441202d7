/**
 * Reading many chunks as they are stored: neighbours in a pack with one request, verified where they
 * lie. Nothing is decoded for the caller, and nothing is copied.
 */
import { damagedLength, native } from '../base/native.ts';
import { packKey } from '../model/keys.ts';
import { chunkBytesMax, type Hash, type PackId } from '../model/refs.ts';

/** A chunk and where it lies in its pack. Bytes of the stored form. */
export interface ChunkInPack {
  readonly hash: Hash;
  readonly offset: number;
  readonly length: number;
}

/** A chunk as it is stored, verified. */
export interface StoredChunk {
  readonly stored: Buffer;
  readonly plainLength: number;
}

/** What one request has brought. */
export interface StoredRun {
  /** Undefined in place of a chunk that is not there as it should be. */
  readonly chunks: readonly (StoredChunk | undefined)[];
  /** Gives the memory of all chunks back, once they were copied: nobody looks at one any more. */
  release(): void;
}

/** What one request brings at most. */
const runBytesMax = 4 * 1024 * 1024;

const rowBytes = 40;

/**
 * How many of these chunks of one pack, which ascend by offset, come with one request beginning with the
 * one at `first`. Between two of them lie at most `gapBytesMax`, which are read in vain.
 */
export function runLength(chunks: readonly ChunkInPack[], first: number, gapBytesMax: number): number {
  const begin = chunks[first]?.offset ?? 0;
  let end = begin;
  let next = first;
  for (; next < chunks.length; next += 1) {
    const { offset, length } = chunks[next] as ChunkInPack;
    const isNear = offset - end <= gapBytesMax && offset + length - begin <= runBytesMax;
    if (next > first && !isNear) break;
    end = Math.max(end, offset + length);
  }
  return next - first;
}

/** Reads a run of chunks (see `runLength`) of a data pack. Throws what `read` throws. */
export async function readRun(
  read: (key: string, offset: number, length: number) => Promise<Uint8Array>,
  project: string,
  pack: PackId,
  run: readonly ChunkInPack[],
): Promise<StoredRun> {
  const begin = run[0]?.offset ?? 0;
  const end = run.reduce((most, { offset, length }) => Math.max(most, offset + length), begin);
  const found = await read(packKey(project, 'data', pack), begin, end - begin);
  const bytes = Buffer.from(found.buffer, found.byteOffset, found.byteLength);
  const rows = Buffer.allocUnsafe(run.length * rowBytes);
  for (const [n, { hash, offset, length }] of run.entries()) {
    rows.writeUInt32LE(offset - begin, n * rowBytes);
    rows.writeUInt32LE(length, n * rowBytes + 4);
    rows.set(hash, n * rowBytes + 8);
  }
  const lengths = await native().verifyBlobs(bytes, rows, chunkBytesMax);
  const chunks = run.map(({ offset, length }, n) => {
    const plainLength = lengths[n] as number;
    if (plainLength === damagedLength) return undefined;
    return { stored: bytes.subarray(offset - begin, offset - begin + length), plainLength };
  });
  return { chunks, release: () => native().release(bytes) };
}
