/**
 * Reads files of the cache back from the disk. A file of which every byte was found right is sealed
 * with what it looks like. While it looks so, the kernel may read it without us.
 */
import type { CacheFile } from '../base/native.ts';

export interface Checked {
  /** Bytes that are there, and those of them that were damaged and are no longer there. */
  checked: number;
  damaged: number;
}

const stepBytes = 32 * 1024 * 1024;

/** Compares what is there of a file with its checksums, past the page cache where nobody will read it soon. */
export async function checkBytes(bytes: CacheFile, past = true): Promise<Checked> {
  const found = { checked: 0, damaged: 0 };
  for (let offset = 0; offset < bytes.size; offset += stepBytes) {
    const { checked, damaged } = await bytes.check(offset, stepBytes, past);
    found.checked += checked;
    found.damaged += damaged;
  }
  return found;
}

/** Seals a file of which all is there; `past` as above. False when it is damaged, or was changed meanwhile. */
export async function sealBytes(bytes: CacheFile, past: boolean): Promise<boolean> {
  const stamp = await bytes.sync();
  const { damaged } = await checkBytes(bytes, past);
  return damaged === 0 && bytes.seal(stamp);
}
