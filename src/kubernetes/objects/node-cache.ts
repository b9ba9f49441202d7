/**
 * A disk cache that pods of one project share on their node. What is in it belongs to root, for the pods of
 * one project of one store in one namespace alone: each sees only its own folder of the place.
 */
import type { Volume, VolumeMount } from './patch.ts';
import { labelOf, type PodsPlan } from './plan.ts';
import type { Variable } from './secrets.ts';

const volume = 'node-cache';
const folder = '/node-cache';
const namespace = 'PACH_POD_NAMESPACE';

export interface NodeCacheWay {
  readonly env: Readonly<Record<string, string>>;
  /** What the folder's name is made of. */
  readonly podEnv: readonly Variable[];
  readonly volumeMounts: readonly VolumeMount[];
  readonly volumes: readonly Volume[];
}

/** What a sidecar that mounts has of it; nothing where the node gives no place. */
export function nodeCacheWay({
  nodeCache,
  store,
  project,
}: Pick<PodsPlan, 'nodeCache' | 'store' | 'project'>): NodeCacheWay {
  if (!nodeCache) return { env: {}, podEnv: [], volumeMounts: [], volumes: [] };
  const { place, bytesMax } = nodeCache;
  const source =
    place.kind === 'path'
      ? { hostPath: { path: place.path, type: 'DirectoryOrCreate' } }
      : { persistentVolumeClaim: { claimName: place.name } };
  // The pod's own namespace, whichever its manifest is applied to.
  const subPathExpr = [`$(${namespace})`, store.id.slice(0, 16), labelOf(project)].join('.');
  return {
    env: { PACH_POD_CACHE: folder, PACH_POD_CACHE_BYTES: String(bytesMax) },
    podEnv: [{ name: namespace, valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } }],
    volumeMounts: [{ name: volume, mountPath: folder, subPathExpr }],
    volumes: [{ name: volume, ...source }],
  };
}
