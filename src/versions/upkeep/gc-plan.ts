/**
 * What a collection does with each pack: it stays, or its living blobs are copied and it goes.
 */
import { heeding } from '../../base/async.ts';
import { isPachError, PachError } from '../../base/errors.ts';
import type { BlobTable, PackName } from '../../chunks/blob-table.ts';
import { headKey, objectKey, objectOfKey, projectPrefix, type ObjectKind, type PackKind } from '../../model/keys.ts';
import type { PackId } from '../../model/refs.ts';
import type { Store } from '../../store/store.ts';
import type { Marks } from './marks.ts';

/** An object of a project, as the store lists it. */
export interface StoredObject {
  readonly kind: ObjectKind | 'condemned';
  readonly id: PackId;
  readonly bytes: number;
}

export interface PackPlan {
  readonly pack: PackName;
  readonly bytes: number;
  /** Stored bytes of the blobs that are needed and lie here. */
  readonly liveBytes: number;
  readonly goes: boolean;
}

/** A pack goes when so much of it is garbage. */
const deadShareMax = 0.25;
/** Packs below this size are gathered when there are many of them. */
const smallPackBytes = 16 * 1024 * 1024;
const smallPacksMax = 8;
const packOverheadBytes = 52;
const entryBytes = 44;

/**
 * All objects of a project but its head, by key. What is none of ours is left out, and told to
 * `foreign`. `packs` are asked for one by one where the listing lacks them: it may lag behind.
 */
export async function listObjects(
  store: Store,
  project: string,
  packs: ReadonlyMap<PackId, PackKind>,
  { foreign, signal }: { foreign?: (key: string) => void; signal?: AbortSignal | undefined } = {},
): Promise<Map<string, StoredObject>> {
  const objects = new Map<string, StoredObject>();
  for await (const { key, size } of heeding(store.list(projectPrefix(project), signal), signal)) {
    const object = objectOfKey(key, project);
    if (object) objects.set(key, { ...object, bytes: size });
    else if (key !== headKey(project)) foreign?.(key);
  }
  for (const [id, kind] of packs) {
    const key = objectKey(project, kind, id);
    if (objects.has(key)) continue;
    signal?.throwIfAborted();
    const found = await store.readTail(key, 1).catch((error: unknown) => {
      if (!isPachError(error, 'not-found')) throw error;
      return undefined;
    });
    if (found) objects.set(key, { kind, id, bytes: found.size });
  }
  return objects;
}

/**
 * Plans for all packs that `table` knows. `scrub`: no dead byte may stay in any of them. Throws
 * `damaged` when a pack with something needed in it is not in the store.
 */
export function planPacks(
  table: BlobTable,
  marks: Marks,
  objects: ReadonlyMap<string, StoredObject>,
  project: string,
  scrub: boolean,
): PackPlan[] {
  const liveBytes = new Float64Array(table.packs.length);
  const liveBlobs = new Float64Array(table.packs.length);
  for (const row of marks.rows) {
    const pack = table.packAt(row);
    liveBytes[pack] = (liveBytes[pack] as number) + table.storedLengthAt(row);
    liveBlobs[pack] = (liveBlobs[pack] as number) + 1;
  }
  const plans = table.packs.map((pack, number): PackPlan => {
    const live = liveBytes[number] as number;
    const key = objectKey(project, pack.kind, pack.id);
    const bytes = objects.get(key)?.bytes ?? 0;
    if (bytes === 0 && live > 0) {
      throw new PachError('damaged', {
        what: `pack ${key}`,
        why: 'it is missing, and versions need data in it; nothing was deleted',
        next: 'pach fsck',
      });
    }
    const filled = packOverheadBytes + live + entryBytes * (liveBlobs[number] as number);
    const goes = live === 0 || filled < bytes * (1 - deadShareMax) || (scrub && filled < bytes);
    return { pack, bytes, liveBytes: live, goes };
  });
  // What is copied anyway takes the small ones along: what is stored together refers to one another.
  const gathered = (['data', 'meta'] as const).filter((kind) => {
    const ofKind = plans.filter(({ pack }) => pack.kind === kind);
    return (
      ofKind.filter(isSmall).length > smallPacksMax || ofKind.some(({ goes, liveBytes: live }) => goes && live > 0)
    );
  });
  return plans.map((plan) => (isSmall(plan) && gathered.includes(plan.pack.kind) ? { ...plan, goes: true } : plan));
}

function isSmall(plan: PackPlan): boolean {
  return !plan.goes && isSmallPack(plan);
}

/** Whether a pack is one that is gathered when there are many. */
export function isSmallPack({ bytes }: { readonly bytes: number }): boolean {
  return bytes < smallPackBytes;
}
