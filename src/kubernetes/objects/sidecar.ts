/**
 * What gives any pod of the user's versions of repos below /pfs: a sidecar of ours, and what the user's
 * container needs to see it. Without rights the files are written out before that container starts, which
 * then needs a volume alone. With them the sidecar mounts, and the container's command goes through our
 * launcher, which waits until it sees the mounts and then becomes that command.
 */
import { lastWords, quantities, readyAt } from './container.ts';
import { deviceLimits, mountingCpu, mountingMemoryBytes, mountingSecurity } from './mounting.ts';
import { nodeCacheWay } from './node-cache.ts';
import type { Container, Volume, VolumeMount } from './patch.ts';
import type { PodsPlan } from './plan.ts';
import type { Variable } from './secrets.ts';
import { storeWay } from './store-way.ts';

export interface SidecarPlan extends Pick<
  PodsPlan,
  'store' | 'credentials' | 'project' | 'workerImage' | 'mounts' | 'nodeCache'
> {
  /** What is shown: `repo@commit[:/folder]`. */
  readonly sources: readonly string[];
  /** Of all of it. */
  readonly bytes: number;
  /** The container that is to see it. */
  readonly container: string;
  /** What that container runs; none: its own `args` are the whole command. */
  readonly command: readonly string[];
  /**
   * Where what it has written to /pfs/out is put when it has succeeded. It is one of the pod's `initContainers` then, so
   * that another container of ours comes after it.
   */
  readonly put: string | undefined;
}

/** The pieces of a pod's spec, as a strategic merge patch takes them: lists go by name. */
export interface SidecarPatch {
  readonly serviceAccountName?: string;
  readonly initContainers: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes: readonly Volume[];
}

const volume = 'pachmount';
const folder = '/pach';
/** A container that puts has its own, since it may have another user than the sidecar. */
const putHome = `${folder}/put`;
const homeBytes = 256 * 2 ** 20;
/** Of what is read through a mount. */
const cacheBytesMax = 20e9;
const memoryBytes = 128 * 2 ** 20;
const cpu = 0.05;
/** The image's own. */
const userId = 65_532;
/** What the strictest of Kubernetes' standards asks of a container. */
export const restricted = {
  runAsUser: userId,
  runAsNonRoot: true,
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
};
const mountSecondsMax = 600;
/** To write out what may be a terabyte. */
const writeSecondsMax = 7 * 86_400;

export function sidecarPatch(plan: SidecarPlan): SidecarPatch {
  const { credentials, put } = plan;
  const way = storeWay(plan, `${folder}/home`);
  const user = userContainer(plan);
  return {
    ...(credentials.kind === 'service-account' && { serviceAccountName: credentials.name }),
    initContainers: [sidecar(plan), ...(put === undefined ? [] : [user])],
    containers: [put === undefined ? user : putting(plan, put)],
    // Results lie in it too, so there is no limit of ours.
    volumes: [{ name: volume, emptyDir: {} }, ...way.volumes, ...nodeCacheWay(plan).volumes],
  };
}

function sidecar(plan: SidecarPlan): Container {
  const { sources, mounts, bytes, nodeCache } = plan;
  const cache = nodeCacheWay(plan);
  // Of the pod's own disk.
  const keptBytes = nodeCache ? 0 : mounts ? Math.min(bytes, cacheBytesMax) : bytes;
  const requests = {
    cpu: mounts ? mountingCpu : cpu,
    memoryBytes: mounts ? mountingMemoryBytes : memoryBytes,
    diskBytes: keptBytes + homeBytes,
  };
  const mounting = { PACH_POD_MOUNTS: '1', PACH_POD_CACHE_BYTES: String(keptBytes + homeBytes / 2), ...cache.env };
  const limits = deviceLimits(mounts);
  const container = ours(plan, 'pach', `${folder}/home`, mounts ? mounting : {});
  return {
    ...container,
    env: [...container.env, ...cache.podEnv],
    volumeMounts: [...container.volumeMounts, ...cache.volumeMounts],
    // It goes on beside the containers that come after it, and ends when they have.
    restartPolicy: 'Always',
    args: ['sidecar', ...sources, '--pod', folder],
    resources: { requests: quantities(requests), ...(Object.keys(limits).length > 0 && { limits }) },
    securityContext: mounts ? mountingSecurity(mounts) : restricted,
    startupProbe: readyAt(`${folder}/bin/launcher`, { secondsMax: mounts ? mountSecondsMax : writeSecondsMax }),
  };
}

/** Puts what the user's container has written. */
function putting(plan: SidecarPlan, target: string): Container {
  const provenance = plan.sources.flatMap((source) => ['--provenance', source]);
  return {
    ...ours(plan, 'put', putHome),
    args: ['put', 'file', target, '-r', '-f', `${folder}/out/`, ...provenance],
    resources: { requests: quantities({ cpu, memoryBytes }) },
    securityContext: restricted,
  };
}

/** What containers of ours have in common. */
function ours(
  plan: SidecarPlan,
  name: string,
  home: string,
  more: Readonly<Record<string, string>> = {},
): Container & { readonly env: readonly Variable[] } {
  const way = storeWay(plan, home);
  const env = Object.entries({ ...way.env, ...more }).map(([key, value]): Variable => ({ name: key, value }));
  return {
    name,
    image: plan.workerImage,
    env: [...env, ...way.podEnv],
    ...(way.envFrom && { envFrom: way.envFrom }),
    volumeMounts: [{ name: volume, mountPath: folder }, ...way.volumeMounts],
    terminationMessagePolicy: lastWords,
  };
}

function userContainer({ container: name, command, mounts }: SidecarPlan): Container {
  const part = (subPath: string, mountPath: string, more: Partial<VolumeMount> = {}): VolumeMount => {
    return { name: volume, mountPath, subPath, ...more };
  };
  const shown = [part('pfs', '/pfs', { readOnly: true }), part('out', '/pfs/out')];
  if (!mounts) return { name, ...(command.length > 0 && { command }), volumeMounts: shown };
  return {
    name,
    command: ['/pach-bin/launcher', '--mounts', '/pach-run/mounts', '--socket', '/pach-run/socket', '--exec'],
    ...(command.length > 0 && { args: command }),
    volumeMounts: [part('bin', '/pach-bin', { readOnly: true }), part('run', '/pach-run'), ...shown],
  };
}
