/**
 * The manifest of a sidecar, made of what the user says: everything that can be known to be wrong is told
 * when it is printed, and what only the cluster knows by its pods.
 */
import { PachError } from '../base/errors.ts';
import { Cluster } from '../kubernetes/client/cluster.ts';
import { mountRights } from '../kubernetes/objects/plan.ts';
import type { Container } from '../kubernetes/objects/patch.ts';
import { restricted, sidecarPatch, type SidecarPatch } from '../kubernetes/objects/sidecar.ts';
import { mustHaveNamespace, mustHaveSecret, tryPod, type Template } from '../kubernetes/preflight.ts';
import { parseAddress } from '../model/address.ts';
import { entrySize } from '../model/tree.ts';
import { storeAccess, type ClusterChoice } from './cluster.ts';
import { nodeCacheOf } from './node-cache.ts';
import type { OpenProject } from './open.ts';
import { podData } from './pod-data.ts';
import type { Settings } from './settings.ts';

export interface ManifestRequest {
  readonly sources: readonly string[];
  readonly container: string;
  readonly command: readonly string[];
  /** A branch, and perhaps a path: where the container's results are put. */
  readonly put: string | undefined;
  readonly choice: ClusterChoice;
}

export interface SidecarManifest {
  readonly patch: SidecarPatch;
  /** By the folders below /pfs. */
  readonly shown: readonly { readonly name: string; readonly pinned: string; readonly bytes: number }[];
}

export async function sidecarManifest(
  settings: Settings,
  opened: OpenProject,
  { sources, container, command, put, choice }: ManifestRequest,
): Promise<SidecarManifest> {
  const { workerImage, podsMount, nodeCache, context, namespace } = choice;
  const what = 'print sidecar';
  const { store, credentials } = await storeAccess(settings, opened, choice);
  if (credentials.kind === 'values') {
    const why = 'credentials for the store are not printed: they belong in a Secret that you make';
    throw new PachError('usage', { what, why, next: 'add --store-secret NAME, or --store-identity' });
  }
  if (workerImage === undefined) {
    const why = "nothing says by which name the cluster has pach's own image";
    throw new PachError('usage', { what, why, next: 'add --worker-image NAME' });
  }
  const mounts = podsMount === undefined ? undefined : mountRights(podsMount);
  // The container would have run for nothing.
  if (put !== undefined) await (await opened.project.snapshot()).repo(parseAddress(put).repo);
  const data = await podData(opened.project, sources);
  const shown = data.map(({ name, pinned, root }) => ({ name, pinned, bytes: entrySize(root.entry) }));
  const patch = sidecarPatch({
    sources: shown.map(({ pinned }) => pinned),
    bytes: shown.reduce((sum, { bytes }) => sum + bytes, 0),
    container,
    command,
    put,
    workerImage,
    project: settings.project,
    store,
    credentials,
    mounts,
    // A context may keep one for pods that mount.
    nodeCache: mounts && nodeCache !== undefined ? nodeCacheOf(nodeCache) : undefined,
  });
  if (context !== undefined) {
    using cluster = await Cluster.open({ kubeconfig: settings.kubeconfig, context, namespace });
    await mustHaveNamespace(cluster);
    if (credentials.kind === 'secret') {
      await mustHaveSecret(cluster, { name: credentials.name, keys: [], isForImages: false });
    }
    await tryPod(cluster, { metadata: {}, spec: alone(patch, workerImage) });
  }
  return { patch, shown };
}

/** A pod of it, in which the user's container asks for nothing: what the cluster refuses is ours. */
function alone({ initContainers, containers, ...patch }: SidecarPatch, image: string): Template['spec'] {
  const whole = (container: Container) => ({ image, securityContext: restricted, ...container });
  return { ...patch, initContainers: initContainers.map(whole), containers: containers.map(whole) };
}
