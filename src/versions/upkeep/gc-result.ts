/**
 * What a collection does to a store, in objects and bytes.
 */
import type { Condemned } from '../../model/records/condemned.ts';
import type { GcPlan } from './gc-plan.ts';
import type { StoredObject } from './objects.ts';

export interface GcResult {
  /** Objects of the project before and after. */
  readonly objectsBefore: number;
  readonly objectsAfter: number;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** Bytes copied out of packs that are condemned now. */
  readonly copiedBytes: number;
  /** What is condemned and waits to be deleted. */
  readonly condemnedObjects: number;
  readonly condemnedBytes: number;
  readonly deletedObjects: number;
  readonly deletedBytes: number;
}

/** What carrying out a plan would do, as far as it can be known without doing it. */
export function forecast({ objects, condemned, packs }: GcPlan): GcResult {
  const copiedBytes = packs.reduce((total, { goes, liveBytes }) => total + (goes ? liveBytes : 0), 0);
  const result = resultOf({ objects, condemned, made: [], copiedBytes });
  return { ...result, bytesAfter: result.bytesAfter + copiedBytes };
}

export interface Done {
  /** What was there before. */
  readonly objects: Iterable<StoredObject>;
  /** What the new head condemns. */
  readonly condemned: readonly Condemned[];
  /** What was stored since. */
  readonly made: readonly { readonly id: string; readonly bytes: number }[];
  readonly copiedBytes: number;
}

export function resultOf({ objects, condemned, made, copiedBytes }: Done): GcResult {
  const before = [...objects].filter(({ kind }) => kind !== 'condemned');
  const due = condemned.filter(({ deleting }) => deleting);
  const waiting = condemned.filter(({ deleting }) => !deleting);
  const listed = new Set<string>(before.map(({ id }) => id));
  const added = made.filter(({ id }) => !listed.has(id));
  return {
    objectsBefore: before.length,
    objectsAfter: before.length - due.length + added.length,
    bytesBefore: sum(before),
    bytesAfter: sum(before) - sum(due) + sum(added),
    copiedBytes,
    condemnedObjects: waiting.length,
    condemnedBytes: sum(waiting),
    deletedObjects: due.length,
    deletedBytes: sum(due),
  };
}

function sum(of: readonly { readonly bytes: number }[]): number {
  return of.reduce((total, { bytes }) => total + bytes, 0);
}
