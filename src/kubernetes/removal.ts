/**
 * Taking a Job out of a cluster with all that belongs to it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isPachError } from '../base/errors.ts';
import { shellWord } from '../base/shell.ts';
import type { Cluster } from './client/cluster.ts';
import { kindOf, type KubeObject } from './client/objects.ts';

const removalMs = 10_000;
const lookMs = 100;
const againMs = 500;

/**
 * Removes a Job and what it owns, and waits until its pods are gone. Resolves to a line for people where
 * something may be left. Never rejects.
 */
export async function removeJob(
  cluster: Cluster,
  name: string,
  owned: readonly KubeObject[],
): Promise<string | undefined> {
  const until = performance.now() + removalMs;
  for (;;) {
    try {
      await cluster.remove({ kind: 'Job', name }, { propagation: 'Background' });
      for (const object of owned) await cluster.remove({ kind: kindOf(object), name: object.metadata.name ?? '' });
      break;
    } catch (error) {
      if (isPachError(error, 'unreachable') && performance.now() < until) {
        await sleep(againMs);
        continue;
      }
      const way = `kubectl --context ${shellWord(cluster.context)} -n ${shellWord(cluster.namespace)} delete job ${name}`;
      return `the Job ${name} may be left in the cluster (${error instanceof Error ? error.message : String(error)}): ${way}`;
    }
  }
  // An API server that does not answer any more is not waited for: it has heard of the removal.
  for (;;) {
    const pods = await cluster.list('Pod', { labels: `job-name=${name}` }).catch(() => []);
    if (pods.length === 0) return undefined;
    if (performance.now() >= until) {
      return `${pods.length} pods of the Job ${name} are still ending; the cluster removes them`;
    }
    await sleep(lookMs);
  }
}
