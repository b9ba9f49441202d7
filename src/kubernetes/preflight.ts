/**
 * What is looked at before the pods of a job are asked for. What can never work is told by its cause,
 * before anything is made: Kubernetes itself would accept the Job, and its pods would never come.
 */
import { isPachError, PachError } from '../base/errors.ts';
import { shellWord } from '../base/shell.ts';
import type { Cluster, Right } from './client/cluster.ts';
import { refusal } from './client/errors.ts';
import { kindOf, pluralOf, type KubeObject } from './client/objects.ts';
import { secretsOf, type NamedSecret } from './objects/named-secrets.ts';
import { exceeds } from './quota.ts';

/** What every run needs in its namespace. The guide has them as a Role. */
const always: readonly Right[] = [
  ...['list', 'watch'].map((verb) => ({ verb, resource: 'pods' })),
  ...['list', 'watch'].map((verb) => ({ verb, resource: 'events' })),
  ...['list', 'watch', 'create', 'patch', 'delete'].map((verb) => ({ verb, resource: 'jobs', group: 'batch' })),
];

/** Throws the first that is wrong. Resolves to hints: what makes pods wait for now. */
export async function preflight(cluster: Cluster, objects: readonly KubeObject[]): Promise<string[]> {
  const own = new Set(objects.filter(({ kind }) => kind === 'Secret').map(({ metadata }) => metadata.name));
  const templates = objects.flatMap((object) => templateOf(object) ?? []);
  const secrets = templates.flatMap(({ spec }) => secretsOf(spec)).filter(({ name }) => !own.has(name));
  // All at a time, since pods wait for it. Of several that are wrong, the first says most.
  const looks: Promise<string[]>[] = [
    mustHaveNamespace(cluster),
    mustHaveRights(cluster, objects),
    ...secrets.map((secret) => mustHaveSecret(cluster, secret)),
    ...objects.map((object) => tried(() => cluster.create(object, { dryRun: true }))),
  ].map(async (look) => look.then(() => []));
  const looked = await Promise.allSettled([...looks, ...templates.map((template) => tryPod(cluster, template))]);
  return looked.flatMap((look) => {
    if (look.status === 'rejected') throw look.reason;
    return look.value;
  });
}

export interface Template {
  readonly metadata: object;
  readonly spec: PodSpec;
}

interface PodSpec {
  readonly containers?: readonly { readonly name: string; readonly image?: string }[];
  readonly initContainers?: readonly {
    readonly name: string;
    readonly restartPolicy?: string;
    readonly env?: readonly { readonly name: string; readonly value?: string }[];
  }[];
}

export function templateOf({ kind, spec }: KubeObject): Template | undefined {
  return kind === 'Job' ? (spec as { template: Template }).template : undefined;
}

/** Credentials and the way to the cluster are tried by it too. */
export async function mustHaveNamespace(cluster: Cluster): Promise<void> {
  const { namespace: name, context } = cluster;
  try {
    const found = await cluster.get({ kind: 'Namespace', name });
    if (found?.metadata.deletionTimestamp !== undefined) {
      const why = `it is being deleted from the cluster of context "${context}"`;
      throw new PachError('conflict', { what: `namespace "${name}"`, why, next: 'choose another one: --namespace' });
    }
    if (found !== undefined) return;
  } catch (error) {
    // Whoever may not look at namespaces learns it when the first object is tried.
    if (refusal(error)?.status === 403) return;
    throw error;
  }
  throw new PachError('not-found', {
    what: `namespace "${name}"`,
    why: `the cluster of context "${context}" has no such namespace`,
    next: `kubectl --context ${shellWord(context)} create namespace ${shellWord(name)}`,
  });
}

function mustHaveRights(cluster: Cluster, objects: readonly KubeObject[]): Promise<void> {
  const made = objects
    .filter(({ kind }) => kind !== 'Job')
    .flatMap((object) => {
      const [group = ''] = object.apiVersion.includes('/') ? object.apiVersion.split('/') : [];
      const resource = pluralOf(kindOf(object));
      return ['create', 'delete'].map((verb) => ({ verb, resource, group }));
    });
  return mustHave(cluster, [...always, ...made], 'kubernetes');
}

/** Throws `denied` naming all that are missing; `page`: of the guide, which has them as a Role. */
export async function mustHave(cluster: Cluster, rights: readonly Right[], page: string): Promise<void> {
  const lacking = await cluster.lacking(rights);
  if (lacking.length === 0) return;
  const resources = [...new Set(lacking.map(({ resource }) => resource))];
  const list = resources.map((resource) => {
    const verbs = lacking.filter((right) => right.resource === resource).map(({ verb }) => verb);
    return `${verbs.join(', ')} ${resource}`;
  });
  throw new PachError('denied', {
    what: `namespace "${cluster.namespace}" of context "${cluster.context}"`,
    why: `you have no right to: ${list.join('; ')}`,
    next: `pach help ${page}`,
  });
}

export async function mustHaveSecret(cluster: Cluster, { name, keys, isForImages }: NamedSecret): Promise<void> {
  let found: KubeObject | undefined;
  try {
    found = await cluster.get({ kind: 'Secret', name });
  } catch (error) {
    // The right to read secrets is not needed: the node would tell the same later.
    if (refusal(error)?.status === 403) return;
    throw error;
  }
  const { namespace, context } = cluster;
  const what = `secret "${name}"`;
  if (found === undefined) {
    const where = `kubectl --context ${shellWord(context)} -n ${shellWord(namespace)}`;
    const from = isForImages
      ? 'docker-registry NAME --docker-server REGISTRY --docker-username USER --docker-password PASSWORD'
      : `generic NAME ${(keys.length > 0 ? keys : ['KEY']).map((key) => `--from-literal=${shellWord(key)}=VALUE`).join(' ')}`;
    throw new PachError('not-found', {
      what,
      why: `namespace "${namespace}" has no such secret`,
      next: `${where} create secret ${from.replace('NAME', shellWord(name))}`,
    });
  }
  const there = Object.keys(found['data'] ?? {});
  const missing = keys.find((key) => !there.includes(key));
  if (missing === undefined) return;
  const has = there.length === 0 ? 'it has none' : `it has ${there.toSorted().join(', ')}`;
  throw new PachError('not-found', { what, why: `it has no key "${missing}" in namespace "${namespace}" (${has})` });
}

/** Undefined where a webhook of the cluster can't be tried: what it says is learned when it is done. */
async function tried(create: () => Promise<KubeObject>): Promise<KubeObject | undefined> {
  try {
    return await create();
  } catch (error) {
    if (isPachError(error, 'usage') && error.why.includes('does not support dry run')) return undefined;
    throw error;
  }
}

/**
 * Has the server judge one pod: a Job is accepted whatever becomes of its pods. Quota, LimitRange,
 * pod security, classes, service account and webhooks have their say here.
 */
export async function tryPod(cluster: Cluster, { metadata, spec }: Template): Promise<string[]> {
  if ((await cluster.lacking([{ verb: 'create', resource: 'pods' }])).length > 0) return [];
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, name: 'pach-preflight' }, spec };
  let made: KubeObject | undefined;
  try {
    made = await tried(() => cluster.create(pod, { dryRun: true }));
  } catch (error) {
    if (!isPachError(error, 'denied')) throw error;
    if (isForNow(error)) return [`pods wait: ${error.why}`];
    throw (
      namedUser(cluster, spec, error) ??
      new PachError('denied', {
        what: `pods in namespace "${cluster.namespace}"`,
        why: error.why.replace(/^pods "pach-preflight" is forbidden: /, ''),
        next: adviceFor(error.why),
        cause: error,
      })
    );
  }
  const kept = (made?.['spec'] as PodSpec | undefined)?.initContainers ?? [];
  for (const { name, restartPolicy } of made === undefined ? [] : (spec.initContainers ?? [])) {
    if (kept.some((container) => container.name === name && container.restartPolicy === restartPolicy)) continue;
    throw new PachError('unsupported', {
      what: `pods in namespace "${cluster.namespace}"`,
      why: `the cluster changes their container "${name}": it does not stay as a sidecar`,
      next: 'ask the administrator which admission webhook does it; Kubernetes 1.29 or newer is needed',
    });
  }
  return [];
}

/** Of a pod that is root only because its user has no number; undefined for other pods and refusals. */
function namedUser(
  { namespace }: Cluster,
  { containers, initContainers }: PodSpec,
  cause: PachError,
): PachError | undefined {
  const variables = initContainers?.flatMap(({ env = [] }) => env);
  const user = variables?.find(({ name }) => name === 'PACH_POD_USER')?.value;
  const image = containers?.find(({ name }) => name === 'user')?.image ?? '';
  if (user === undefined || !cause.why.includes('runAsNonRoot')) return undefined;
  return new PachError('denied', {
    what: `image ${image}`,
    why: `its user ${user} is a name, which a pod can only look up as root, and namespace "${namespace}" allows no root: set transform.user to the user's number, which this tells`,
    next: `docker run --rm --user ${shellWord(user)} --entrypoint id ${shellWord(image)} -u`,
    cause,
  });
}

/** True for a quota that others use up, and false for one that this pod alone exceeds. */
function isForNow({ why }: PachError): boolean {
  const amounts = /exceeded quota: .*requested: (.*), used: .*, limited: (.*)$/.exec(why);
  return amounts !== null && !exceeds(amounts[1] as string, amounts[2] as string);
}

function adviceFor(why: string): string | undefined {
  if (why.includes('error looking up service account')) return 'create that service account, or name another one';
  const isRefused = why.includes('violates PodSecurity');
  // Only a sidecar that mounts asks for these.
  if (isRefused && /privileged=true|SYS_ADMIN/.test(why)) {
    // Who may not mount may use no folder of the node either, and each is said by itself.
    const options = why.includes('hostPath') ? '--pods-mount and --node-cache' : '--pods-mount';
    return `leave ${options} out: inputs are written out then, which takes no right`;
  }
  if (isRefused && why.includes('hostPath')) {
    return 'leave --node-cache out: each pod has a cache of its own then; or name a claim of the namespace: --node-cache claim:NAME';
  }
  if (isRefused) return 'give transform.user the number of a user other than 0';
  if (/(?:maximum|minimum) \S+ usage per|(?:exceeded|failed) quota/.test(why)) {
    return 'change resource_requests, resource_limits or sidecar_resource_requests of the spec';
  }
  return undefined;
}
