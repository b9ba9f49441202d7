/**
 * The controller of a project in a cluster: the engine that stays up, as a Deployment of one pod, with no
 * more rights than it needs. It holds nothing: who may run what, the leases in the store say, so one that
 * is killed or moved is followed by another that goes on. Nothing here asks anybody.
 */
import { createHash, scryptSync } from 'node:crypto';
import { canonicalJson } from '../../model/canonical.ts';
import { ownLabels } from '../../pipelines/spec/pod.ts';
import type { KubeObject } from '../client/objects.ts';
import type { Credentials, PodsPlan } from '../objects/plan.ts';
import { storeWay } from '../objects/store-way.ts';
import { runRules } from './rights.ts';

export interface ControllerPlan {
  readonly name: string;
  readonly namespace: string;
  /** It runs the pipelines that were promoted there. */
  readonly place: string;
  /** As they are on this branch, beside production; undefined: those of production. */
  readonly branch?: string | undefined;
  readonly project: string;
  readonly store: PodsPlan['store'];
  /** Of its own pod, and of those of jobs. With a service account the controller's pod has that one, and its Role. */
  readonly credentials: Credentials;
  /** What is put into the Secret with the credentials; undefined where it is the user's, or there is none. */
  readonly values: Readonly<Record<string, string>> | undefined;
  /** How pods of jobs may mount inputs, where they may. */
  readonly podsMount?: string | undefined;
  /** Where pods of jobs on a node share a cache, where they do. */
  readonly nodeCache?: string | undefined;
  /** Ours, as nodes pull it. The pods of jobs have it, too. */
  readonly image: string;
  /** Of that image: other nodes can't run it. */
  readonly architecture: string;
  /** Of this program. */
  readonly version: string;
}

export const versionAnnotation = `${ownLabels}version`;
const credentialsAnnotation = `${ownLabels}credentials`;
export const placeAnnotation = `${ownLabels}place`;
export const controllerLabel = `${ownLabels}controller`;
/** Of a Job that sees whether a controller would reach its store. */
const probeLabel = `${ownLabels}probe`;
const probeSeconds = 300;
const port = 30_601;
const userId = 65_532;
/** A volume belongs to root, and a folder in it to the engine's user. */
const volumeFolder = '/var/lib/pach';
const home = `${volumeFolder}/home`;
/** The engine ends in less than 30 seconds. */
const graceSeconds = 45;
const nameLengthMax = 50;

/**
 * One for each project of a store in a namespace, `pach-default-0123abcd`, and for each experiment of it,
 * `pach-default-exp-0123abcd`. Names of projects and branches differ in more than objects' names may.
 */
export function controllerName({
  project,
  storeId,
  branch,
}: {
  readonly project: string;
  readonly storeId: string;
  readonly branch?: string | undefined;
}): string {
  const words = branch === undefined ? [project] : [project, branch];
  const start = `pach-${words.join('-').toLowerCase().replaceAll('_', '-')}`;
  const which = createHash('sha256')
    .update([storeId, ...words].join(' '))
    .digest('hex');
  return `${start.slice(0, nameLengthMax).replace(/-+$/, '')}-${which.slice(0, 8)}`;
}

/** The Secret with credentials that are not the user's to make. */
export function ownSecretName(controller: string): string {
  return `${controller}-store`;
}

/** In the order in which they are made. */
export function controllerObjects(plan: ControllerPlan): KubeObject[] {
  const { name, namespace, credentials } = plan;
  const labels = labelsOf(plan);
  const metadata = { name, namespace, labels };
  const rbac = 'rbac.authorization.k8s.io';
  const account: KubeObject = {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata,
    automountServiceAccountToken: false,
  };
  return [
    ...(credentials.kind === 'secret' ? [account] : []),
    { apiVersion: `${rbac}/v1`, kind: 'Role', metadata, rules: runRules },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: rbac, kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name: accountOf(plan), namespace }],
    },
    ...ownSecret(plan, metadata),
    deployment(plan, labels),
  ];
}

/** A pod has one account, and only a token of that one goes to the store. */
function accountOf({ name, credentials }: Pick<ControllerPlan, 'name' | 'credentials'>): string {
  return credentials.kind === 'service-account' ? credentials.name : name;
}

function ownSecret({ credentials, values }: ControllerPlan, metadata: KubeObject['metadata']): KubeObject[] {
  if (values === undefined || credentials.kind !== 'secret') return [];
  return [secretObject({ ...metadata, name: credentials.name }, values)];
}

function labelsOf({ name }: Pick<ControllerPlan, 'name'>): Record<string, string> {
  return { 'app.kubernetes.io/managed-by': 'pach', [controllerLabel]: name };
}

function secretObject(metadata: KubeObject['metadata'], values: Readonly<Record<string, string>>): KubeObject {
  const data = Object.fromEntries(
    Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
  );
  return { apiVersion: 'v1', kind: 'Secret', metadata, type: 'Opaque', data };
}

function deployment(plan: ControllerPlan, labels: Readonly<Record<string, string>>): KubeObject {
  const { name, namespace, place, version } = plan;
  const annotations = { [placeAnnotation]: place, [versionAnnotation]: version };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace, labels, annotations },
    spec: {
      replicas: 1,
      // The old one gives its leases back before the new one begins.
      strategy: { type: 'Recreate' },
      selector: { matchLabels: { [controllerLabel]: name } },
      template: {
        metadata: {
          labels,
          annotations: {
            'prometheus.io/scrape': 'true',
            'prometheus.io/port': String(port),
            'prometheus.io/path': '/metrics',
            // Other credentials are for another pod: variables are read when it starts.
            ...(plan.values && { [credentialsAnnotation]: fingerprintOf(plan, plan.values) }),
          },
        },
        spec: {
          ...podOf(plan, serveArguments(plan)),
          serviceAccountName: accountOf(plan),
          automountServiceAccountToken: true,
          terminationGracePeriodSeconds: graceSeconds,
        },
      },
    },
  };
}

function serveArguments({
  namespace,
  place,
  branch,
  credentials,
  image,
  podsMount,
  nodeCache,
}: ControllerPlan): string[] {
  return [
    'serve',
    '--promoted-to',
    place,
    ...(branch === undefined ? [] : ['--branch', branch]),
    '--executor',
    'kubernetes',
    '--namespace',
    namespace,
    '--worker-image',
    image,
    ...storeArguments(credentials),
    ...(podsMount === undefined ? [] : ['--pods-mount', podsMount]),
    ...(nodeCache === undefined ? [] : ['--node-cache', nodeCache]),
    '--listen',
    `0.0.0.0:${port}`,
  ];
}

function storeArguments(credentials: Credentials): string[] {
  if (credentials.kind === 'secret') return ['--store-secret', credentials.name];
  const { name, env, audience } = credentials;
  const fields = { role: env['AWS_ROLE_ARN'], audience, sts: env['AWS_ENDPOINT_URL_STS'] };
  const said = Object.entries(fields).flatMap(([field, value]) => (value === undefined ? [] : [`${field}=${value}`]));
  return ['--store-identity', [name, ...said].join(',')];
}

/** Dear to compute: who may read Deployments is not to find out by it what a weak password is. */
function fingerprintOf(
  { name, store }: Pick<ControllerPlan, 'name' | 'store'>,
  values: Readonly<Record<string, string>>,
): string {
  return scryptSync(canonicalJson(values), `${store.id} ${name}`, 8).toString('hex');
}

/** A Job of one pod that is as the controller's and sees whether it reaches the store, with what that takes. */
export function probeObjects(
  plan: ControllerPlan,
  name: string,
): { readonly job: KubeObject; readonly owned: KubeObject[] } {
  const { namespace, values } = plan;
  const labels = { 'app.kubernetes.io/managed-by': 'pach', [probeLabel]: plan.name };
  const metadata = { name, namespace, labels };
  const own: ControllerPlan = values === undefined ? plan : { ...plan, credentials: { kind: 'secret', name } };
  const { containers, ...pod } = podOf(own, ['serve', '--try-store']);
  const account = plan.credentials.kind === 'service-account' && { serviceAccountName: plan.credentials.name };
  const [{ livenessProbe: _, readinessProbe: __, ...probe }] = containers;
  const job: KubeObject = {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata,
    spec: {
      backoffLimit: 0,
      // Where nobody is left who removes it.
      activeDeadlineSeconds: probeSeconds,
      ttlSecondsAfterFinished: probeSeconds,
      template: {
        metadata: { labels },
        spec: { ...pod, ...account, restartPolicy: 'Never', automountServiceAccountToken: false, containers: [probe] },
      },
    },
  };
  return { job, owned: ownSecret(own, metadata) };
}

interface PodOf {
  readonly containers: readonly [Readonly<Record<string, unknown>>];
  readonly [field: string]: unknown;
}

function podOf(plan: ControllerPlan, args: readonly string[]): PodOf {
  return {
    nodeSelector: { 'kubernetes.io/arch': plan.architecture },
    enableServiceLinks: false,
    // Processes have numbers of the pod, not of a container: after a kill the next one sees that the last is gone.
    shareProcessNamespace: true,
    securityContext: { runAsNonRoot: true, runAsUser: userId, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [container(plan, args)],
    volumes: [{ name: 'home', emptyDir: {} }, { name: 'tmp', emptyDir: {} }, ...storeWay(plan, home).volumes],
  };
}

function container(plan: ControllerPlan, args: readonly string[]): Readonly<Record<string, unknown>> {
  const { env: storeEnv, podEnv, envFrom, volumeMounts } = storeWay(plan, home);
  const env = { ...storeEnv, PACH_AUTHOR: 'controller' };
  const probe = (path: string): object => ({ httpGet: { path, port: 'metrics' } });
  return {
    name: 'controller',
    image: plan.image,
    imagePullPolicy: 'IfNotPresent',
    args,
    env: [...Object.entries(env).map(([key, value]) => ({ name: key, value })), ...podEnv],
    ...(envFrom && { envFrom }),
    ports: [{ name: 'metrics', containerPort: port }],
    livenessProbe: { ...probe('/healthz'), initialDelaySeconds: 30, periodSeconds: 20, timeoutSeconds: 10 },
    readinessProbe: { ...probe('/readyz'), periodSeconds: 2, timeoutSeconds: 5 },
    resources: { requests: { cpu: '100m', memory: '256Mi' } },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    terminationMessagePolicy: 'FallbackToLogsOnError',
    volumeMounts: [{ name: 'home', mountPath: volumeFolder }, { name: 'tmp', mountPath: '/tmp' }, ...volumeMounts],
  };
}
