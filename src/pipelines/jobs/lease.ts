/**
 * One engine a pipeline and branch: whoever runs it holds its lease in the store, and renews it with all that
 * it publishes. A lease whose engine died on this host is free at once, others when their time is up.
 */
import { readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { PachError } from '../../base/errors.ts';
import { isRunning, processStart } from '../../base/processes.ts';
import { decodeLease, encodeLease, type LeaseRecord } from '../../model/records/pipelines.ts';
import type { Change } from '../../versions/change.ts';
import { leaseKey } from '../../versions/ref-keys.ts';
import type { Snapshot } from '../../versions/snapshot.ts';

/** How long a lease lasts from its last renewal; it is renewed several times in that time. */
export const leaseMs = 120_000;

/** What a lease is for: a pipeline's output to a branch. */
export interface Leased {
  readonly pipeline: string;
  readonly branch: string;
}

/** Who holds a lease. */
export type Holder = Omit<LeaseRecord, 'until'>;

let runs = 0;

/** One run of this engine, as leases name it: no two are the same. */
export async function leaseHolder(author: string): Promise<Holder> {
  const { pid } = process;
  runs += 1;
  const holder = `${author}@${hostname()}, process ${pid}${runs > 1 ? `, run ${runs}` : ''}`;
  return { holder, host: await hostName(), pid, pidStarted: processStart(pid) ?? '' };
}

/** Where a process's number says which it is: containers of a host have numbers of their own. */
async function hostName(): Promise<string> {
  return `${hostname()} ${await readlink('/proc/self/ns/pid').catch(() => '')}`;
}

export async function maybeLease(snapshot: Snapshot, { pipeline, branch }: Leased): Promise<LeaseRecord | undefined> {
  const item = await snapshot.item(leaseKey(pipeline, branch));
  return item && decodeLease(item.value);
}

/** True while the engine that holds it is not known to be gone. */
export async function isHeld(lease: LeaseRecord): Promise<boolean> {
  if (lease.until <= Date.now()) return false;
  return lease.host !== (await hostName()) || isRunning(lease.pid, lease.pidStarted);
}

/** Takes it. Throws `conflict` naming who else holds it. */
export async function takeLease(change: Change, of: Leased, holder: Holder): Promise<void> {
  const lease = await maybeLease(change.snapshot, of);
  if (lease && !isOf(lease, holder) && (await isHeld(lease))) {
    throw new PachError('conflict', {
      what: `pipeline ${of.pipeline}`,
      why: `${lease.holder} is running it`,
      next: `pach list job -p ${of.pipeline}`,
    });
  }
  setLease(change, of, holder);
}

/** When a holder's lease ends. Throws `conflict` when it is somebody else's by now, or nobody's. */
export function heldUntil(lease: LeaseRecord | undefined, { pipeline }: Leased, holder: Holder): number {
  if (lease && isOf(lease, holder)) return lease.until;
  throw new PachError('conflict', {
    what: `pipeline ${pipeline}`,
    why: lease ? `${lease.holder} has taken it over, because this engine did not answer` : 'its lease has ended',
    next: `pach list job -p ${pipeline}`,
  });
}

export function endLease(change: Change, { pipeline, branch }: Leased): void {
  change.delete(leaseKey(pipeline, branch));
}

/** Gives it from now on, to who holds it already or may take it. */
export function setLease(change: Change, { pipeline, branch }: Leased, holder: Holder): void {
  const value = encodeLease({ ...holder, until: Date.now() + leaseMs });
  change.set({ key: leaseKey(pipeline, branch), value, refs: [] });
}

function isOf(lease: LeaseRecord, { holder, host, pid, pidStarted }: Holder): boolean {
  return lease.holder === holder && lease.host === host && lease.pid === pid && lease.pidStarted === pidStarted;
}
