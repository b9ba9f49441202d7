/**
 * Where the packs of a project lie on this machine, for native threads that read blobs by their places
 * (native/fuse/stored_blobs.h): the packs of a store that is a folder, or the extents that the disk cache
 * keeps of packs.
 */
import { join } from 'node:path';
import { packKey, projectPrefix } from '../model/keys.ts';
import type { PackId } from '../model/refs.ts';
import type { Store } from '../store/store.ts';

export interface BlobsHere {
  /** Absolute; with `data/<xx>/<pack>` and `meta/<xx>/<pack>`. */
  readonly folder: string;
  /** True when a pack is a file, false when it is a folder of extents (cache/disk). */
  readonly whole: boolean;
}

/** `cacheDir`: the store's part of the disk cache. */
export async function blobsHere(store: Store, project: string, cacheDir: string): Promise<BlobsHere> {
  if (!store.isLocal) return { folder: join(cacheDir, projectPrefix(project)), whole: false };
  const key = packKey(project, 'data', '0'.repeat(32) as PackId);
  const path = (await store.direct?.(key))?.path ?? '';
  return { folder: path.slice(0, Math.max(0, path.length - key.length + projectPrefix(project).length)), whole: true };
}
