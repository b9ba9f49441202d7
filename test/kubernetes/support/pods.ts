/** Pods of tests. */
import type { Cluster } from '../../../src/kubernetes/client/cluster.ts';
import type { KubeObject } from '../../../src/kubernetes/client/objects.ts';
import { until } from './cluster.ts';
import type { Running } from './running.ts';

export function busybox(name: string, script: string, more: object = {}): KubeObject {
  const container = { name: 'user', image: 'busybox', imagePullPolicy: 'IfNotPresent', command: ['sh', '-c', script] };
  const spec = { terminationGracePeriodSeconds: 0, containers: [container], ...more };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec };
}

/** Resolves once the pod is in one of `phases`, to which. */
export function phase(cluster: Cluster, name: string, ...phases: readonly string[]): Promise<string> {
  return until(`${name} is ${phases.join(' or ')}`, async () => {
    const pod = await cluster.get({ kind: 'Pod', name });
    const now = (pod?.['status'] as { phase?: string } | undefined)?.phase ?? '';
    return phases.includes(now) ? now : undefined;
  });
}

export async function running(cluster: Cluster, name: string): Promise<void> {
  await phase(cluster, name, 'Running');
}

export interface PodStatus {
  readonly phase?: string;
  readonly containerStatuses?: readonly {
    readonly name: string;
    readonly state?: { readonly running?: object; readonly terminated?: { readonly exitCode: number } };
  }[];
}

/** A pod that runs commands and was not met before. */
export function nextPod(world: Running, met: Set<string>): Promise<{ name: string; uid: string }> {
  return until('another pod runs', async () => {
    const pods = await world.namespace.cluster.list('Pod', { labels: 'app.kubernetes.io/managed-by=pach' });
    const found = pods.find((pod) => isRunning(pod) && !met.has(pod.metadata.uid ?? ''));
    const { name = '', uid = '' } = found?.metadata ?? {};
    if (!found) return undefined;
    met.add(uid);
    return { name, uid };
  });
}

function isRunning({ status, metadata }: KubeObject): boolean {
  const { containerStatuses = [] } = (status ?? {}) as PodStatus;
  const user = containerStatuses.find(({ name }) => name === 'user');
  return metadata['deletionTimestamp'] === undefined && user?.state?.running !== undefined;
}
