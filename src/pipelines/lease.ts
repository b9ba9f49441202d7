/**
 * One engine a pipeline: whoever runs it holds its lease in the store, and renews it with all that
 * it publishes. A lease whose engine died on this host is free at once, others when their time is up.
 */
import { hostname } from 'node:os';
import { PachError } from '../base/errors.ts';
import { processStart } from '../base/processes.ts';
import { decodeLease, encodeLease, type LeaseRecord } from '../model/records/pipelines.ts';
import type { Change } from '../versions/change.ts';
import { leaseKey } from '../versions/ref-keys.ts';
import type { Snapshot } from '../versions/snapshot.ts';

/** How long a lease lasts from its last renewal; it is renewed several times in that time. */
const leaseMs = 120_000;
export const leaseRenewalMs = 30_000;

/** This engine, as leases name it. */
export async function leaseHolder(author: string): Promise<Omit<LeaseRecord, 'until'>> {
  const host = hostname();
  const { pid } = process;
  return { holder: `${author}@${host}, process ${pid}`, host, pid, pidStarted: (await processStart(pid)) ?? '' };
}

export async function maybeLease(snapshot: Snapshot, pipeline: string): Promise<LeaseRecord | undefined> {
  const item = await snapshot.item(leaseKey(pipeline));
  return item && decodeLease(item.value);
}

/** True while the engine that holds it is not known to be gone. */
export async function isHeld(lease: LeaseRecord): Promise<boolean> {
  if (lease.until <= Date.now()) return false;
  return lease.host !== hostname() || (await processStart(lease.pid)) === lease.pidStarted;
}

/** Takes or renews it. Throws `conflict` naming who else holds it. */
export async function holdLease(change: Change, pipeline: string, holder: Omit<LeaseRecord, 'until'>): Promise<void> {
  const lease = await maybeLease(change.snapshot, pipeline);
  const own = lease?.host === holder.host && lease.pid === holder.pid && lease.pidStarted === holder.pidStarted;
  if (lease && !own && (await isHeld(lease))) {
    throw new PachError('conflict', {
      what: `pipeline ${pipeline}`,
      why: `it is being run by ${lease.holder}`,
      next: `pach list job -p ${pipeline}`,
    });
  }
  const value = encodeLease({ ...holder, until: Date.now() + leaseMs });
  change.set({ key: leaseKey(pipeline), value, refs: [] });
}

export function endLease(change: Change, pipeline: string): void {
  change.delete(leaseKey(pipeline));
}
