/**
 * The objects that run a job on Kubernetes: an Indexed Job, and what else it takes. A pod has the
 * user's container, whose command is our launcher, and a sidecar, which alone can reach the store. The
 * sidecar puts the launcher and a datum's files into a volume that both share. Nothing here needs a
 * privilege, but for a sidecar that mounts inputs where the cluster's owner lets it: it shows them to the
 * user's container, which gets no more rights, and not to the host. No value of a secret is in any of these objects.
 */
import { PachError } from '../../base/errors.ts';
import { containerRights, sharedMemoryBytes, workerHost } from '../../execution/executors/docker-container.ts';
import { podFields, type PodFields, type PodResources } from '../../pipelines/spec/pod.ts';
import type { KubeObject } from '../client/objects.ts';
import { lastWords, quantities, readyAt, size } from './container.ts';
import { deviceLimits, mountingCpu, mountingMemoryBytes, mountingSecurity } from './mounting.ts';
import { networkPolicy } from './network.ts';
import { nodeCacheWay } from './node-cache.ts';
import { patched, type Container, type PodSpec, type Volume, type VolumeMount } from './patch.ts';
import { podLabels, warmLabel, type PodsPlan } from './plan.ts';
import { secretMounts, secretVariables, type Variable } from './secrets.ts';
import { storeWay } from './store-way.ts';

/** In the sidecar: the volume that it shares with the user's container. */
const podFolder = '/pod';
const homeFolder = `${podFolder}/home`;
const volume = 'pach';

const graceSecondsDefault = 30;
/** A Job that ended stays that long where nobody removes it. */
const keptSeconds = 3600;
/** One whose pods have waited for a next job: its engine has gone. */
const warmKeptSeconds = 10;
/** For the start of the sidecar. */
const startSeconds = 60;
/** What a Node process with a store takes. Users say more with `sidecar_resource_requests`. */
const sidecarCpu = 0.05;
const sidecarMemoryBytes = 128 * 2 ** 20;
/** On the pod's disk beside the files of a datum: the worker's home. */
const homeBytes = 256 * 2 ** 20;

const architectureLabel = 'kubernetes.io/arch';

/** Amazon's webhook would give the token of an annotated service account to all containers. */
const keptFromUser = { 'eks.amazonaws.com/skip-containers': 'user' };

/** The Job comes first. Throws `usage` for a spec that no pod can be made of. */
export function podObjects(plan: PodsPlan): KubeObject[] {
  const { name, namespace, pipeline, pods, isWarm } = plan;
  const fields = podFields(pipeline.spec);
  const own = podLabels(plan);
  const labels = { ...fields.labels, ...own };
  const annotations = Object.keys(fields.annotations).length > 0 && { annotations: fields.annotations };
  const podAnnotations = { ...fields.annotations, ...(plan.credentials.kind === 'service-account' && keptFromUser) };
  const job: KubeObject = {
    apiVersion: 'batch/v1',
    kind: 'Job',
    // A queue of Kueue is a label of the Job.
    metadata: { name, namespace, labels: { ...labels, ...(isWarm && { [warmLabel]: 'true' }) }, ...annotations },
    spec: {
      completionMode: 'Indexed',
      parallelism: pods,
      completions: pods,
      // Kubernetes would replace a lost pod after 10 s, and the next one of that index after twice as long. So it
      // replaces none: the engine adds an index.
      backoffLimitPerIndex: 0,
      podReplacementPolicy: 'Failed',
      ttlSecondsAfterFinished: isWarm ? warmKeptSeconds : keptSeconds,
      template: {
        metadata: { labels, ...(Object.keys(podAnnotations).length > 0 && { annotations: podAnnotations }) },
        spec: podSpec(plan, fields),
      },
    },
  };
  const metadata = { name, namespace, labels: own };
  return [job, ...(pipeline.spec.network === 'none' ? [networkPolicy(plan, metadata)] : [])];
}

function podSpec(plan: PodsPlan, fields: PodFields): PodSpec {
  const { pipeline } = plan;
  const user = userOf(plan);
  const serviceAccountName = serviceAccount(plan, fields);
  const pod: PodSpec = {
    restartPolicy: 'Never',
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: graceSeconds(fields),
    ...(serviceAccountName !== undefined && { serviceAccountName }),
    ...(fields.imagePullSecrets.length > 0 && { imagePullSecrets: fields.imagePullSecrets.map((name) => ({ name })) }),
    nodeSelector: { ...fields.nodeSelector, [architectureLabel]: architecture(plan, fields) },
    ...(fields.priorityClassName !== undefined && { priorityClassName: fields.priorityClassName }),
    ...(fields.runtimeClass !== undefined && { runtimeClassName: fields.runtimeClass }),
    ...(fields.tolerations.length > 0 && { tolerations: fields.tolerations }),
    securityContext: {
      runAsUser: user.uid,
      ...(user.gid !== undefined && { runAsGroup: user.gid }),
      ...(user.uid !== 0 && { runAsNonRoot: true }),
      seccompProfile: { type: 'RuntimeDefault' },
    },
    initContainers: [sidecar(plan, fields, user)],
    containers: [userContainer(plan, fields, user)],
    volumes: [
      { name: volume, emptyDir: { sizeLimit: size(diskBytes(plan, fields)) } },
      ...memoryVolumes(pipeline.spec).map(({ volume: each }) => each),
      ...secretMounts(pipeline.spec.transform.secrets).map(({ volume: each }) => each),
      ...storeWay(plan, homeFolder).volumes,
      ...nodeCacheWay(plan).volumes,
    ],
  };
  return patched(omitUndefined(pod), fields, pipeline.name);
}

/** Kubernetes starts it before the user's container, and ends it after that. */
function sidecar(plan: PodsPlan, fields: PodFields, user: PodUser): Container {
  const [way, cache] = [storeWay(plan, homeFolder), nodeCacheWay(plan)];
  const env = {
    ...way.env,
    PACH_POD_CACHE_BYTES: String(cacheBytes(plan, fields)),
    ...cache.env,
    ...(plan.mounts && { PACH_POD_MOUNTS: '1' }),
    ...(user.name !== undefined && { PACH_POD_USER: user.name }),
  };
  return {
    name: 'worker',
    image: plan.workerImage,
    imagePullPolicy: plan.pullPolicy,
    restartPolicy: 'Always',
    args: ['worker', '-j', plan.job, '--pod', podFolder, ...(plan.isWarm ? ['--warm'] : [])],
    env: [...Object.entries(env).map(([name, value]): Variable => ({ name, value })), ...way.podEnv, ...cache.podEnv],
    ...(way.envFrom && { envFrom: way.envFrom }),
    volumeMounts: [{ name: volume, mountPath: podFolder }, ...way.volumeMounts, ...cache.volumeMounts],
    resources: sidecarResources(plan, fields),
    securityContext: plan.mounts ? mountingSecurity(plan.mounts) : security(user),
    terminationMessagePolicy: lastWords,
    startupProbe: readyAt(`${podFolder}/bin/launcher`, { secondsMax: startSeconds }),
  };
}

function userContainer({ pipeline, image, mounts }: PodsPlan, fields: PodFields, user: PodUser): Container {
  const { spec } = pipeline;
  const shown = (subPath: string, mountPath: string): VolumeMount => ({
    name: volume,
    mountPath,
    subPath,
    readOnly: true,
  });
  return {
    name: 'user',
    image,
    imagePullPolicy: 'IfNotPresent',
    command: [
      '/pach-bin/launcher',
      ...(mounts ? ['--mounts', '/pach-run/mounts'] : []),
      '--socket',
      '/pach-run/socket',
    ],
    env: [{ name: 'HOSTNAME', value: workerHost }, ...secretVariables(spec.transform.secrets)],
    volumeMounts: [
      shown('bin', '/pach-bin'),
      { name: volume, mountPath: '/pach-run', subPath: 'run' },
      shown('slot/pfs', '/pfs'),
      { name: volume, mountPath: '/pfs/out', subPath: 'slot/out' },
      ...spec.code.map(({ to }, index) => shown(`code/${index}`, to)),
      ...memoryVolumes(spec).map(({ mount }) => mount),
      ...secretMounts(spec.transform.secrets).map(({ mount }) => mount),
    ],
    resources: {
      requests: quantities(fields.requests),
      limits: { ...quantities(fields.limits), ...graphics(spec.resourceLimits.gpus, fields.gpuType) },
    },
    securityContext: security(user),
    terminationMessagePolicy: lastWords,
  };
}

interface PodUser {
  readonly uid: number;
  readonly gid?: number | undefined;
  /** The launcher, which is root then, gives commands this user, as it does in Docker. */
  readonly name?: string | undefined;
}

/** Both containers have one user, so that the sidecar can read whatever the command writes. */
function userOf({ pipeline, imageUser }: PodsPlan): PodUser {
  const name = pipeline.spec.transform.user ?? imageUser;
  const [, uid, gid] = /^(\d{1,10})(?::(\d{1,10}))?$/.exec(name) ?? [];
  if (uid === undefined) return { uid: 0, ...(name !== '' && { name }) };
  return { uid: Number(uid), ...(gid !== undefined && { gid: Number(gid) }) };
}

/** What "restricted" asks for. Root gets what it has in Docker, which "baseline" allows. */
function security({ uid }: PodUser): object {
  return {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'], ...(uid === 0 && { add: [...containerRights] }) },
  };
}

/** Images are pinned for it. Throws `usage` where the spec wants nodes that can't run them. */
function architecture({ platform, pipeline, image }: PodsPlan, { nodeSelector }: PodFields): string {
  const wanted = nodeSelector?.[architectureLabel] ?? platform.architecture;
  if (wanted === platform.architecture) return wanted;
  throw new PachError('usage', {
    what: `pipeline ${pipeline.name}: scheduling_spec.node_selector`,
    why: `it wants nodes of ${wanted}, and image ${image} is the one for ${platform.architecture}`,
    next: `add --platform ${platform.os}/${wanted}`,
  });
}

function serviceAccount({ credentials, pipeline }: PodsPlan, fields: PodFields): string | undefined {
  const [own, stores] = [fields.serviceAccount, credentials.kind === 'service-account' ? credentials.name : undefined];
  if (own !== undefined && stores !== undefined && own !== stores) {
    throw new PachError('usage', {
      what: `pipeline ${pipeline.name}: dev.pod.service_account`,
      why: `a pod has one service account, and ${stores} is the one that reaches the store`,
      next: 'leave it out, or give the store’s credentials by a Secret',
    });
  }
  return stores ?? own;
}

function graceSeconds({ terminationGraceMs }: PodFields): number {
  return terminationGraceMs === undefined ? graceSecondsDefault : Math.ceil(terminationGraceMs / 1000);
}

/** For the inputs of a datum, its output, and what the worker keeps of both on their way. */
function diskBytes({ pipeline, datumBytesMax }: PodsPlan, { limits }: PodFields): number {
  return (limits.diskBytes ?? 2 * (datumBytesMax + pipeline.spec.devLimits.outputBytesMax)) + homeBytes;
}

/** Of that, what the worker may keep of what it has read: the volume's limit evicts the pod, and never asks. */
function cacheBytes(
  { mounts, datumBytesMax }: PodsPlan,
  { limits: { diskBytes: limit = Infinity } }: PodFields,
): number {
  const room = mounts ? limit / 2 : Math.max(0, limit - datumBytesMax);
  return Math.floor(Math.min(datumBytesMax, room)) + homeBytes / 2;
}

/**
 * Kubernetes counts the shared volume to the pod, whose limit is the sum of those of its containers. It
 * refuses requests above a limit, so what nobody asked for keeps below the limits of the spec.
 */
function sidecarResources(plan: PodsPlan, fields: PodFields): object {
  const disk = diskBytes(plan, fields);
  const limits: PodResources = {
    ...(fields.limits.diskBytes !== undefined && { diskBytes: disk }),
    ...omitUndefined(fields.sidecarLimits),
  };
  const { cpu = Infinity, memoryBytes = Infinity, diskBytes: most = disk } = limits;
  const requests: PodResources = {
    cpu: Math.min(plan.mounts ? mountingCpu : sidecarCpu, cpu),
    memoryBytes: Math.min(plan.mounts ? mountingMemoryBytes : sidecarMemoryBytes, memoryBytes),
    diskBytes: Math.min(plan.datumBytesMax + homeBytes, most),
    ...omitUndefined(fields.sidecarRequests),
  };
  return { requests: quantities(requests), limits: { ...quantities(limits), ...deviceLimits(plan.mounts) } };
}

/** Asked for in limits alone: the requests are as much then. */
function graphics(gpus: number | undefined, type: string): Record<string, string> {
  return gpus === undefined ? {} : { [type]: String(gpus) };
}

interface Mounted {
  readonly volume: Volume;
  readonly mount: VolumeMount;
}

/** Shared memory as in Docker, in place of Kubernetes' 64 MiB, and scratch where the spec wants it. */
function memoryVolumes({ transform, resourceLimits }: PodsPlan['pipeline']['spec']): Mounted[] {
  const inMemory = (name: string, mountPath: string, limit?: number): Mounted => ({
    volume: { name, emptyDir: { medium: 'Memory', ...(limit !== undefined && { sizeLimit: size(limit) }) } },
    mount: { name, mountPath },
  });
  const shared = inMemory('shared-memory', '/dev/shm', resourceLimits.memoryBytes ?? sharedMemoryBytes);
  return [shared, ...(transform.memoryVolume ? [inMemory('scratch', '/scratch')] : [])];
}

function omitUndefined<T extends object>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}
