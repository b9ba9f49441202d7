/**
 * Plans of pods, each with something of its own: their objects are pinned, and a real API server has to
 * take them.
 */
import { parseSpec } from '../../src/pipelines/spec/parse.ts';
import { podsName, type PodsPlan } from '../../src/kubernetes/objects/plan.ts';
import type { JobId } from '../../src/model/records/pipelines.ts';

const job = '0123456789abcdef0123456789abcdef' as JobId;

export function planOf(fields: object, more: Partial<PodsPlan> = {}): PodsPlan {
  const document = {
    pipeline: { name: 'edges' },
    input: { pfs: { repo: 'images', glob: '/*' } },
    ...fields,
    transform: { cmd: ['/edges'], image: 'edges:v1', ...(fields as { transform?: object }).transform },
  };
  const spec = parseSpec(document, { file: 'edges.json', folder: import.meta.dirname, project: 'default' });
  return {
    name: podsName({ pipeline: spec.name, job }),
    namespace: 'pipelines',
    job,
    project: 'default',
    pipeline: { name: spec.name, spec },
    image: `registry.example/edges@sha256:${'a'.repeat(64)}`,
    imageUser: '1000',
    platform: { os: 'linux', architecture: 'amd64' },
    workerImage: `registry.example/pachmount@sha256:${'b'.repeat(64)}`,
    pullPolicy: 'IfNotPresent',
    store: { url: 's3://bucket/prefix', id: 'f'.repeat(32), env: { AWS_ENDPOINT_URL: 'http://10.244.0.1:17480' } },
    credentials: { kind: 'secret', name: 'pach-edges-0123456789' },
    pods: 3,
    datumBytesMax: 1_000_000_000,
    ...more,
  };
}

/** By the name of their file in golden/. "restricted" allows all of them but `root`, `device` and what mounts. */
export const plans: Readonly<Record<string, PodsPlan>> = {
  plain: planOf({}),
  warm: planOf({}, { isWarm: true }),
  root: planOf({ transform: { user: 'nobody' } }, { imageUser: '' }),
  resources: planOf({
    transform: { user: '1000:2000', memory_volume: true, image_pull_secrets: ['registry'] },
    resource_requests: { cpu: 0.5, memory: '64Mi', disk: '1Gi' },
    resource_limits: { cpu: 2, memory: '1Gi', disk: '10G', gpu: { type: 'nvidia.com/mig-1g.5gb', number: 1 } },
    sidecar_resource_requests: { memory: '256Mi' },
    sidecar_resource_limits: { cpu: 1, memory: '1Gi', gpu: { type: 'nvidia.com/gpu', number: 1 } },
    scheduling_spec: { node_selector: { 'gpu.nvidia.com/model': 'A100' }, priority_class_name: 'system-node-critical' },
    tolerations: [
      { key: 'gpu', operator: 'EXISTS', effect: 'NO_EXECUTE', toleration_seconds: 60 },
      { key: 'team', operator: 'EQUAL', value: 'vision', effect: 'ALL_EFFECTS' },
    ],
    metadata: { labels: { 'kueue.x-k8s.io/queue-name': 'gpus' }, annotations: { 'example.com/owner': 'vision' } },
    dev: { pod: { service_account: 'reader', termination_grace: '90s', runtime_class: 'gvisor' } },
  }),
  secrets: planOf({
    transform: {
      secrets: [
        { name: 'db', key: 'password', env_var: 'PASSWORD' },
        { name: 'db', key: 'user', mount_path: '/run/db', env_var: 'DB_USER' },
        { name: 'other', key: 'host', mount_path: '/run/db' },
        { name: 'certificates', mount_path: '/run/certificates' },
      ],
    },
    dev: {
      code: [
        { from: 'plans.ts', to: '/app/plans.ts' },
        { from: 'golden', to: '/app/golden' },
      ],
    },
  }),
  identity: planOf(
    { dev: { network: 'none' } },
    {
      store: { url: 's3://bucket', id: 'f'.repeat(32), env: { AWS_REGION: 'eu-central-1' } },
      credentials: { kind: 'service-account', name: 'workers', env: { AWS_ROLE_ARN: 'arn:aws:iam::1:role/workers' } },
    },
  ),
  mounting: planOf({}, { mounts: { kind: 'privileged' } }),
  'node-cache': planOf(
    {},
    {
      mounts: { kind: 'privileged' },
      nodeCache: { place: { kind: 'path', path: '/var/cache/pach' }, bytesMax: 50_000_000_000 },
    },
  ),
  'node-claim': planOf(
    {},
    {
      project: 'with_underscore_',
      mounts: { kind: 'privileged' },
      nodeCache: { place: { kind: 'claim', name: 'cache' }, bytesMax: 1e9 },
    },
  ),
  device: planOf({}, { imageUser: '', mounts: { kind: 'device', resource: 'smarter-devices/fuse' } }),
  // What is asked for by default is more than these limits.
  small: planOf({ resource_limits: { disk: '1M' }, sidecar_resource_limits: { cpu: '20m', memory: '100Mi' } }),
  'no-network': planOf({ dev: { network: 'none' } }),
  patched: planOf({
    pod_spec: { priorityClassName: 'system-cluster-critical', dnsConfig: { options: [{ name: 'ndots', value: '1' }] } },
    pod_patch: JSON.stringify([
      { op: 'add', path: '/volumes/-', value: { name: 'models', persistentVolumeClaim: { claimName: 'models' } } },
      { op: 'add', path: '/containers/0/volumeMounts/-', value: { name: 'models', mountPath: '/models' } },
    ]),
  }),
};
