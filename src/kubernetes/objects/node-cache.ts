/**
 * A disk cache that pods of one project share on their node. What is in it belongs to root, for the pods of
 * one project of one store in one namespace alone: each sees only its own folder of the place.
 */
import type { Volume, VolumeMount } from './patch.ts';
import { labelOf, type PodsPlan } from './plan.ts';

const volume = 'node-cache';
const folder = '/node-cache';

export interface NodeCacheWay {
  readonly env: Readonly<Record<string, string>>;
  readonly volumeMounts: readonly VolumeMount[];
  readonly volumes: readonly Volume[];
}

/** What a sidecar that mounts has of it; nothing where the node gives no place. */
export function nodeCacheWay({
  nodeCache,
  namespace,
  store,
  project,
}: Pick<PodsPlan, 'nodeCache' | 'namespace' | 'store' | 'project'>): NodeCacheWay {
  if (!nodeCache) return { env: {}, volumeMounts: [], volumes: [] };
  const { place, bytesMax } = nodeCache;
  const source =
    place.kind === 'path'
      ? { hostPath: { path: place.path, type: 'DirectoryOrCreate' } }
      : { persistentVolumeClaim: { claimName: place.name } };
  const subPath = [namespace, store.id.slice(0, 16), labelOf(project)].join('.');
  return {
    env: { PACH_POD_CACHE: folder, PACH_POD_CACHE_BYTES: String(bytesMax) },
    volumeMounts: [{ name: volume, mountPath: folder, subPath }],
    volumes: [{ name: volume, ...source }],
  };
}
