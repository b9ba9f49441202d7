/**
 * The environment of a pipeline's commands, told without running any: each variable and secret file,
 * where it comes from, and what differs on a cluster.
 */
import { existsSync } from 'node:fs';
import { jobVariables, datumVariables } from '../execution/workers/environment.ts';
import type { Executor } from '../execution/executor.ts';
import type { JobId } from '../model/records/pipelines.ts';
import type { DatumFile } from '../pipelines/datums/datum.ts';
import { specFields } from '../pipelines/spec/fields.ts';
import { pfsInputs } from '../pipelines/spec/input.ts';
import { keptFields } from '../pipelines/spec/read.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import type { GivenSecret, Secrets } from './secrets.ts';

export interface EnvironmentInfo {
  readonly pipeline: string;
  readonly executor: string;
  readonly variables: readonly VariableInfo[];
  readonly files: readonly { readonly path: string; readonly from: string }[];
  readonly cluster: readonly ClusterInfo[];
}

interface VariableInfo {
  readonly name: string;
  /** Null where each job or datum has its own; `***` for secrets. */
  readonly value: string | null;
  readonly from: string;
}

/** What only a cluster sets or does: the name of a variable, or the field of a spec. */
interface ClusterInfo {
  readonly name: string;
  readonly why: string;
}

export interface ExplainOptions {
  readonly project: string;
  readonly executor: Executor;
  readonly secrets: Secrets;
  readonly services: Readonly<Record<string, string>>;
}

/** Throws what `Secrets.of` throws, and `not-found` for an image that is not to be had. */
export async function environmentOf(
  spec: PipelineSpec,
  { project, executor, secrets, services }: ExplainOptions,
): Promise<EnvironmentInfo> {
  const given = await secrets.of(spec);
  const { transform } = spec;
  const variables = new Map<string, VariableInfo>();
  const set = (name: string, value: string | null, from: string): unknown => variables.set(name, { name, value, from });
  const base = await executor.environment({ image: transform.image, user: transform.user });
  const image = executor.resultsClass === 'docker' ? ` or image ${transform.image}` : '';
  for (const [name, value] of Object.entries(base)) set(name, value ?? null, `executor ${executor.name}${image}`);
  for (const [name, value] of spec.network === 'none' ? [] : Object.entries(services)) set(name, value, '--forward');
  for (const secret of given) if ('variable' in secret.place) set(secret.place.variable, '***', originOf(secret));
  for (const [name, value] of Object.entries(transform.env)) set(name, value, 'spec: transform.env');
  const job = jobVariables(
    { ...spec, transform: { ...transform, env: {} } },
    { job: '' as JobId, project, specHash: '' },
  );
  for (const [name, value] of Object.entries(job)) {
    set(name, value === '' ? null : value, value === '' ? 'pach: each job' : 'pach');
  }
  if (transform.datumBatching) {
    const path = variables.get('PATH');
    set('PATH', path?.value ? `/pach-bin:${path.value}` : null, path?.from ?? 'pach');
    set('PACH_NEXT', null, 'pach: for `next datum`');
  }
  const perDatum = transform.datumBatching ? 'pach: each datum, in /pfs/.env' : 'pach: each datum';
  for (const name of datumNames(spec)) set(name, null, perDatum);
  return {
    pipeline: spec.name,
    executor: executor.name,
    variables: [...variables.values()],
    files: given.flatMap((secret) =>
      'path' in secret.place ? { path: secret.place.path, from: originOf(secret) } : [],
    ),
    cluster: [...clusterVariables, ...elsewhere(spec, executor)],
  };
}

function originOf({ secret, key, from }: GivenSecret): string {
  return `secret ${secret}, key ${key}, of ${from}`;
}

/** Those of a datum that has something of each input. */
function datumNames(spec: PipelineSpec): string[] {
  const files = pfsInputs(spec.input).map((input) => {
    const { joinOn, groupBy } = input;
    return { input, path: '/', commit: '', joinOn, groupBy } as unknown as DatumFile;
  });
  return Object.keys(datumVariables({ id: '', files }));
}

function elsewhere(spec: PipelineSpec, executor: Executor): ClusterInfo[] {
  const { gpus = 0 } = spec.resourceLimits;
  const hasGpu = existsSync('/dev/nvidia0') || existsSync('/dev/kfd');
  const kept = keptFields(specFields, spec.document);
  return [
    ...(gpus > 0 && !hasGpu ? [{ name: `${gpus} GPU`, why: 'the spec asks for it, and this machine has none' }] : []),
    ...(executor.resultsClass === 'process'
      ? [{ name: 'variables of the image', why: `${spec.transform.image}: executor process runs without an image` }]
      : []),
    ...kept.map((name) => ({ name, why: 'a field of the spec that matters on a cluster only' })),
  ];
}

/**
 * What Pachyderm 2 adds to the container of the command, as workerPodSpec in
 * src/server/pps/server/worker_rc.go has it: its user code gets the whole environment of its worker
 * (UserCodeEnv in src/server/worker/driver/driver.go). Kubernetes adds addresses of the services in
 * the namespace: https://kubernetes.io/docs/concepts/containers/container-environment/
 */
const clusterVariables: readonly ClusterInfo[] = [
  ...[
    'PPS_POD_NAME',
    'PPS_WORKER_IP',
    'PPS_WORKER_GRPC_PORT',
    'PPS_ETCD_PREFIX',
    'PACH_IN_WORKER',
    'PACH_NAMESPACE',
  ].map((name) => ({ name, why: 'Pachyderm: the worker and its pod' })),
  ...['PACH_ROOT', 'STORAGE_BACKEND', 'PEER_PORT', 'LOKI_SERVICE_HOST', 'LOKI_SERVICE_PORT'].map((name) => ({
    name,
    why: 'Pachyderm: its own storage and logs',
  })),
  ...['POSTGRES_USER', 'POSTGRES_PASSWORD', 'POSTGRES_DATABASE', 'PG_BOUNCER_HOST', 'PG_BOUNCER_PORT'].map((name) => ({
    name,
    why: 'Pachyderm: its own database',
  })),
  { name: 'HOSTNAME', why: 'Kubernetes: the name of the pod' },
  { name: 'KUBERNETES_SERVICE_HOST', why: 'Kubernetes: its API; KUBERNETES_PORT and others like it' },
  { name: '*_SERVICE_HOST', why: 'Kubernetes: each service of the namespace, with *_SERVICE_PORT and *_PORT' },
];
