/**
 * What stands beside a commit that a job made: the datums that are left out of it, and what the check of
 * its output printed (FORMAT.md section 6).
 */
import type { BlobReader } from '../../cache/blobs.ts';
import { mapFormat, type MapItem } from '../../model/map.ts';
import { diffOrdered } from '../../model/ordered-diff.ts';
import { encodeCheck, encodeFailed } from '../../model/records/beside.ts';
import type { Ref } from '../../model/refs.ts';
import type { Change } from '../../versions/change.ts';
import { checkKey, failedKey } from '../../versions/ref-keys.ts';
import type { Commit, Snapshot } from '../../versions/snapshot.ts';
import { jobDatumOf, type Job } from './jobs.ts';

/** Sets which datums are left out of a commit, as a map of them. */
export function setFailed(change: Change, { repo, id }: Pick<Commit, 'repo' | 'id'>, map: Ref, datums: number): void {
  change.set({ key: failedKey(repo, id), value: encodeFailed({ datums }), refs: [map] });
}

/** The map of datums that are left out of a commit; undefined where there are none, or where they were purged. */
export async function maybeFailed(
  snapshot: Snapshot,
  { repo, id }: Pick<Commit, 'repo' | 'id'>,
): Promise<Ref | undefined> {
  return (await snapshot.item(failedKey(repo, id)))?.refs[0];
}

/** Sets the result of the command that checked a job's output. */
export function setCheck(change: Change, { pipeline, id }: Pick<Job, 'pipeline' | 'id'>, result: Ref): void {
  change.set({ key: checkKey(pipeline, id), value: encodeCheck({}), refs: [result] });
}

export async function maybeCheck(
  snapshot: Snapshot,
  { pipeline, id }: Pick<Job, 'pipeline' | 'id'>,
): Promise<Ref | undefined> {
  return (await snapshot.item(checkKey(pipeline, id)))?.refs[0];
}

/** True for two maps of the same datums, with the same inputs and recipe. When and how they ran may differ. */
export async function sameDatums(reader: BlobReader, a: Ref, b: Ref): Promise<boolean> {
  for await (const { old, new: now } of diffOrdered<MapItem, { entries: number }>(reader, mapFormat, a, b)) {
    if (!old || !now || !jobDatumOf(old).key.equals(jobDatumOf(now).key)) return false;
  }
  return true;
}
