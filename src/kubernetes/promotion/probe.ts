/**
 * Whether the cluster reaches the store, and finds the same one at its address: a Job of one pod looks before
 * anything is changed, and is removed.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { PachError } from '../../base/errors.ts';
import type { Cluster } from '../client/cluster.ts';
import { reasonOf } from '../pod-state.ts';
import { removeJob } from '../removal.ts';
import { probeObjects, type ControllerPlan } from './controller.ts';
import { endOf, wordsOf, type Watching } from './pod-end.ts';

/** An image may have to be pulled. */
const waitMs = 120_000;
const lookMs = 200;

/** Throws why the cluster does not reach the store; leaves nothing. `note` is told where something may be left. */
export async function probeStore(
  cluster: Cluster,
  plan: ControllerPlan,
  { signal, waiting, note }: Watching & { readonly note: (line: string) => void },
): Promise<void> {
  const name = `pach-probe-${randomBytes(4).toString('hex')}`;
  const { job, owned } = probeObjects(plan, name);
  try {
    const { apiVersion, kind, metadata } = await cluster.create(job);
    // They go with the Job, whoever removes it.
    const ownerReferences = [{ apiVersion, kind, name, uid: metadata.uid }];
    for (const object of owned) {
      await cluster.create({ ...object, metadata: { ...object.metadata, ownerReferences } });
    }
    await ended(cluster, plan, { name, signal, waiting });
  } finally {
    const left = await removeJob(cluster, name, owned);
    if (left !== undefined) note(left);
  }
}

async function ended(
  cluster: Cluster,
  { store }: ControllerPlan,
  { name, signal, waiting }: Watching & { readonly name: string },
): Promise<void> {
  const until = performance.now() + waitMs;
  let why = 'its pod was not made';
  for (;;) {
    signal.throwIfAborted();
    const [pod] = await cluster.list('Pod', { labels: `job-name=${name}` }, signal);
    const end = pod && endOf(pod);
    if (end?.exitCode === 0) return;
    const reason = pod && reasonOf(pod);
    const now = reason?.text ?? (pod ? 'its pod has not ended' : why);
    const place = `pods in namespace ${cluster.namespace} of context ${cluster.context}`;
    if (end) {
      throw new PachError('unreachable', {
        what: `store ${store.url} from ${place}`,
        why: wordsOf(end),
        next: 'give the address of the same store as pods see it: --store-in-cluster URL',
      });
    }
    // A wrong name stays wrong. While pulling, there is no reason.
    if (reason?.kind === 'image' || performance.now() > until) throw new PachError('failed', { what: place, why: now });
    if (now !== why) waiting((why = now));
    await sleep(lookMs, undefined, { signal });
  }
}
