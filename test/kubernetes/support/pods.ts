/** Pods of tests. */
import type { Cluster } from '../../../src/kubernetes/client/cluster.ts';
import type { KubeObject } from '../../../src/kubernetes/client/objects.ts';
import { until } from './cluster.ts';

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
