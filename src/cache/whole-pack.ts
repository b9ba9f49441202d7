/**
 * Packs that were brought whole (WholeObjects) have no hash at their end as other extents have: their own
 * index has one of each chunk.
 */
import { native } from '../base/native.ts';
import { packEntry, packIndexBytesOf, parsePackIndex } from '../chunks/pack.ts';
import { chunkBytesMax } from '../model/refs.ts';

/** True when these bytes are a pack of chunks in which nothing is damaged. */
export async function isSoundPack(bytes: Buffer): Promise<boolean> {
  try {
    const tail = bytes.subarray(Math.max(0, bytes.length - packIndexBytesOf(bytes, 'pack')));
    const index = parsePackIndex('data', tail, bytes.length, 'pack');
    for (let n = 0; n < index.count; n += 1) {
      const { hash, offset, storedLength } = packEntry(index, n);
      await native().decodeBlob(bytes.subarray(offset, offset + storedLength), chunkBytesMax, 'plain', hash);
    }
    return true;
  } catch {
    return false;
  }
}
