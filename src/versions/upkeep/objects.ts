/**
 * The objects of a project, as the store lists them.
 */
import { abortable } from '../../base/async.ts';
import { isPachError } from '../../base/errors.ts';
import {
  enginesPrefix,
  headKey,
  objectKey,
  objectOfKey,
  projectPrefix,
  worksPrefix,
  type ObjectKind,
  type PackKind,
} from '../../model/keys.ts';
import type { PackId } from '../../model/refs.ts';
import type { Store } from '../../store/store.ts';

/** An object of a project, as the store lists it. */
export interface StoredObject {
  readonly kind: ObjectKind | 'condemned';
  readonly id: PackId;
  readonly bytes: number;
}

/**
 * All objects of a project but its head, the records of engines and what workers are told, by key. What is none of ours is left out, and told to
 * `foreign`. `packs` are asked for one by one where the listing lacks them: it may lag behind.
 */
export async function listObjects(
  store: Store,
  project: string,
  packs: ReadonlyMap<PackId, PackKind>,
  { foreign, signal }: { foreign?: (key: string) => void; signal?: AbortSignal | undefined } = {},
): Promise<Map<string, StoredObject>> {
  const objects = new Map<string, StoredObject>();
  const beside = [enginesPrefix(project), worksPrefix(project)];
  for await (const { key, size } of abortable(store.list(projectPrefix(project), signal), signal)) {
    const object = objectOfKey(key, project);
    if (object) objects.set(key, { ...object, bytes: size });
    else if (key !== headKey(project) && !beside.some((prefix) => key.startsWith(prefix))) foreign?.(key);
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
