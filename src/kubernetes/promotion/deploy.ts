/**
 * Making the objects of a controller what they are to be. What is so already is not written.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isPachError, PachError } from '../../base/errors.ts';
import { canonicalJson } from '../../model/canonical.ts';
import type { Cluster } from '../client/cluster.ts';
import { kindOf, type KubeObject } from '../client/objects.ts';
import { reasonOf } from '../pod-state.ts';
import { controllerLabel, ownSecretName, type ControllerPlan } from './controller.ts';
import { endOf, wordsOf, type Watching } from './pod-end.ts';

export interface ObjectChange {
  readonly object: KubeObject;
  readonly change: 'added' | 'changed' | 'same';
}

export interface ApplyOptions {
  /** Takes fields that somebody else owns. */
  readonly force: boolean;
}

/** Of one that was told to end, or killed: it comes again. */
const toldToEnd: ReadonlySet<number | undefined> = new Set([0, 130, 137, 143]);
const readyMs = 180_000;
const lookMs = 250;

/** What applying objects would change, by the server's word. Throws `conflict` for fields of somebody else, unless forced. */
export async function changesOf(
  cluster: Cluster,
  objects: readonly KubeObject[],
  { force }: ApplyOptions,
): Promise<ObjectChange[]> {
  return Promise.all(
    objects.map(async (object): Promise<ObjectChange> => {
      const before = await cluster.get({ kind: kindOf(object), name: object.metadata.name ?? '' });
      const after = await cluster.apply(object, { dryRun: true, force }).catch((error: unknown) => {
        // Whoever is no administrator may try one only when its role is there, which is made first.
        if (!before && object.kind === 'RoleBinding' && isPachError(error, 'not-found')) return undefined;
        throw error;
      });
      if (!before || !after) return { object, change: 'added' };
      return { object, change: told(before).equals(told(after)) ? 'same' : 'changed' };
    }),
  );
}

/** What of an object is said by whoever makes it. */
function told({ metadata, ...fields }: KubeObject): Buffer {
  const { labels = {}, annotations = {} } = metadata;
  const rest = without(fields, ['apiVersion', 'kind', 'status']);
  return canonicalJson({ labels, annotations: without(annotations, ['deployment.kubernetes.io/revision']), ...rest });
}

function without(fields: Readonly<Record<string, unknown>>, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)));
}

export async function applyChanges(
  cluster: Cluster,
  changes: readonly ObjectChange[],
  options: ApplyOptions,
): Promise<void> {
  for (const { object, change } of changes) if (change !== 'same') await cluster.apply(object, options);
}

interface DeploymentStatus {
  readonly observedGeneration?: number;
  readonly replicas?: number;
  readonly updatedReplicas?: number;
  readonly readyReplicas?: number;
}

/** Resolves when the controller serves: it has reached its store, and that is the one it was told. Throws why not. */
export async function controllerReady(cluster: Cluster, name: string, { signal, waiting }: Watching): Promise<void> {
  const until = performance.now() + readyMs;
  let why = 'its pod was not made yet';
  for (;;) {
    signal.throwIfAborted();
    const deployment = await cluster.get({ kind: 'Deployment', name }, signal);
    if (deployment && isReady(deployment)) return;
    const pods = await cluster.list('Pod', { labels: `${controllerLabel}=${name}` }, signal);
    const newest = pods.toSorted((a, b) => timeOf(b).localeCompare(timeOf(a)))[0];
    const said = newest && lastWords(newest);
    if (said !== undefined) throw notReady(cluster, name, said);
    const now = newest && (reasonOf(newest)?.text ?? 'it does not answer yet');
    if (now !== undefined && now !== why) waiting((why = now));
    if (performance.now() > until) throw notReady(cluster, name, why);
    await sleep(lookMs, undefined, { signal });
  }
}

export function isReady({ metadata, status }: KubeObject): boolean {
  const { observedGeneration = 0, replicas, updatedReplicas, readyReplicas } = (status ?? {}) as DeploymentStatus;
  const { generation = 0 } = metadata as { generation?: number };
  return observedGeneration >= generation && replicas === 1 && updatedReplicas === 1 && readyReplicas === 1;
}

function timeOf({ metadata }: KubeObject): string {
  return metadata.creationTimestamp ?? '';
}

/** What a controller said that ended by itself. */
function lastWords(pod: KubeObject): string | undefined {
  const end = endOf(pod);
  return !end || toldToEnd.has(end.exitCode) ? undefined : wordsOf(end);
}

function notReady({ context, namespace }: Cluster, name: string, why: string): PachError {
  return new PachError('failed', {
    what: `the controller in namespace ${namespace} of context ${context}`,
    why,
    next: `kubectl --context ${context} -n ${namespace} logs deployment/${name}`,
  });
}

/** Removes a controller with all that belongs to it. */
export async function removeController(cluster: Cluster, objects: readonly KubeObject[]): Promise<void> {
  // It ends before it loses its rights.
  for (const object of objects.toReversed()) {
    const propagation = object.kind === 'Deployment' ? 'Foreground' : 'Background';
    await cluster.remove({ kind: kindOf(object), name: object.metadata.name ?? '' }, { propagation });
    if (object.kind === 'Deployment') await podsGone(cluster, object.metadata.name ?? '');
  }
}

/** Removes what a controller had of its own before, and has no more: keys that nobody uses are not left there. */
export async function removeUnused(
  cluster: Cluster,
  { name, credentials, values }: Pick<ControllerPlan, 'name' | 'credentials' | 'values'>,
): Promise<void> {
  const unused = [
    ...(values === undefined ? [{ kind: 'Secret', name: ownSecretName(name) } as const] : []),
    ...(credentials.kind === 'service-account' ? [{ kind: 'ServiceAccount', name } as const] : []),
  ];
  for (const which of unused) {
    if (which.name === credentials.name) continue;
    const found = await cluster.get(which);
    if (found?.metadata.labels?.[controllerLabel] === name) await cluster.remove(which);
  }
}

async function podsGone(cluster: Cluster, name: string): Promise<void> {
  const until = performance.now() + readyMs;
  for (;;) {
    const pods = await cluster.list('Pod', { labels: `${controllerLabel}=${name}` }).catch((error: unknown) => {
      if (isPachError(error, 'unreachable')) return [undefined];
      throw error;
    });
    if (pods.length === 0 || performance.now() > until) return;
    await sleep(lookMs);
  }
}
