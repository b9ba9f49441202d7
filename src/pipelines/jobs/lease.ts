/**
 * One engine at a time runs a pipeline to a branch: it holds the lease in the store, and renews it with
 * everything that it publishes. A lease whose engine died on this host is free at once, any other when its time is up.
 */
import { PachError } from '../../base/errors.ts';
import { isAlive, isOwn, ownIdentity, type Host, type ProcessIdentity } from '../../base/processes.ts';
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
/** The runs of this process that have not ended, as leases name them. */
const running = new Set<string>();

/** One run of this engine, as leases name it: no two are the same. It lasts until `endRun`. */
export function leaseHolder(author: string): Holder {
  runs += 1;
  const engine = thisEngine(author);
  const holder = `${engine.holder}${runs > 1 ? `, run ${runs}` : ''}`;
  running.add(holder);
  return { ...engine, holder };
}

/** This process, as others are told of it. */
export function thisEngine(author: string): Holder {
  const { host, pid, started } = ownIdentity();
  return { holder: `${author}@${host.name}, process ${pid}`, host: hostText(host), pid, pidStarted: started };
}

/** A pod as others are told of it. */
export function podHolder({ name, uid }: { readonly name: string; readonly uid: string }): string {
  return `pod ${name}, ${uid}`;
}

/** The uid of the pod that a holder names; undefined for others. */
export function podUidOf(holder: string): string | undefined {
  return /^pod .*, (\S+)$/.exec(holder)?.[1];
}

/** True when the process is known to be gone. */
export function isGone(engine: Omit<Holder, 'holder'>): boolean {
  return isAlive(engineOf(engine)) === false;
}

/** A lease that this run could not end is in nobody's way from now on. */
export function endRun({ holder }: Holder): void {
  running.delete(holder);
}

export async function maybeLease(snapshot: Snapshot, { pipeline, branch }: Leased): Promise<LeaseRecord | undefined> {
  const item = await snapshot.item(leaseKey(pipeline, branch));
  return item && decodeLease(item.value);
}

/** True while the engine that holds it is not known to be gone. */
export function isHeld(lease: LeaseRecord, now = Date.now()): boolean {
  const engine = engineOf(lease);
  return lease.until > now && (isOwn(engine) ? running.has(lease.holder) : isAlive(engine) !== false);
}

/** Takes it. Throws `conflict` naming who else holds it. */
export async function takeLease(change: Change, of: Leased, holder: Holder): Promise<void> {
  const lease = await maybeLease(change.snapshot, of);
  if (lease && !isOf(lease, holder) && isHeld(lease)) {
    throw new PachError('conflict', {
      what: `pipeline ${of.pipeline}`,
      why: `${lease.holder} is running it`,
      next: `pach list job -p ${of.pipeline}`,
    });
  }
  setLease(change, of, holder);
}

/** That a lease is somebody else's by now, or nobody's. */
export class LostLease extends PachError {}

/** When a holder's lease ends. Throws `LostLease`. */
export function heldUntil(lease: LeaseRecord | undefined, { pipeline }: Leased, holder: Holder): number {
  if (lease && isOf(lease, holder)) return lease.until;
  throw new LostLease('conflict', {
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

/** The process that a lease names. */
function engineOf({ host, pid, pidStarted }: Omit<Holder, 'holder'>): ProcessIdentity {
  const [, name = host, namespace = ''] = /^(.*) (?:pid:\[(\d+)\])?$/.exec(host) ?? [];
  return { host: { name, namespace }, pid, started: pidStarted };
}

function hostText({ name, namespace }: Host): string {
  return `${name} ${namespace && `pid:[${namespace}]`}`;
}

/** True for a lease of this very run. */
export function isOf(lease: LeaseRecord, { holder, host, pid, pidStarted }: Holder): boolean {
  return lease.holder === holder && lease.host === host && lease.pid === pid && lease.pidStarted === pidStarted;
}
