/**
 * Results of datums, stored under their keys and shared by all jobs of a pipeline.
 */
import { decodeOutcome, type Outcome } from '../../model/records/pipelines.ts';
import type { Hash, Ref } from '../../model/refs.ts';
import { resultKey } from '../../versions/ref-keys.ts';
import type { Snapshot } from '../../versions/snapshot.ts';

export interface Result {
  readonly outcome: Outcome;
  /** Its tree: `out`, `log`, `files`. */
  readonly tree: Ref;
}

export async function maybeResult(snapshot: Snapshot, key: Hash): Promise<Result | undefined> {
  const item = await snapshot.item(resultKey(key));
  const [tree] = item?.refs ?? [];
  // Very many are kept while a job runs: none may keep the node in memory that it was read from.
  return item && tree && { outcome: decodeOutcome(item.value), tree: ownRef(tree) };
}

/** A reference that shares no bytes with others. */
export function ownRef(ref: Ref): Ref {
  return { ...ref, hash: Buffer.from(ref.hash) as Hash };
}
