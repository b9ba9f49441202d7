/**
 * How a branch of one store stands to a branch of another: by the indexes of their commits, at the cost of a
 * few reads however long they are.
 */
import { mapFormat, type MapItem } from '../model/map.ts';
import { diffAcross, type Difference, type Side } from '../model/ordered-diff.ts';
import { OrderedReader } from '../model/ordered.ts';
import type { CommitId } from '../model/records/commit.ts';
import type { BranchHead, Commit, Snapshot } from '../versions/snapshot.ts';

/** A branch, as a store has it; without a head where it has no commits, or is not there. */
export interface Line {
  readonly snapshot: Snapshot;
  readonly head: BranchHead | undefined;
}

/**
 * `ahead`: it has all that the other one has, and more. `rewritten`: a commit of one id has another content in
 * each, so that one of them is not what was committed any more.
 */
export type Relation = 'equal' | 'ahead' | 'behind' | 'diverged' | 'rewritten';

export interface Comparison {
  readonly relation: Relation;
  /** Commits that only this one has, and that only the other one has; by their ids. */
  readonly ahead: number;
  readonly behind: number;
  /** Commits that both have, from the beginning on. */
  readonly shared: number;
  /** The first commit that is rewritten in one of them. */
  readonly rewritten: CommitId | undefined;
}

/** Later than any commit. */
const endOfTime = 2 ** 52;

/** How `own` stands to `other`. Equal parts of the indexes have equal hashes, so these are not read. */
export async function compare(own: Line, other: Line): Promise<Comparison> {
  const [count, its] = await Promise.all([countOf(own), countOf(other)]);
  const first = await firstDifference(own, other);
  const sameTime = first?.old && first.new?.value.equals(first.old.value) ? idOf(first.old) : undefined;
  // Ids, unlike contents, are shared up to some commit and never again.
  const shared = sameTime ? count - (await beyond(own, other)) : first ? await rankOf(own, first.key) : count;
  const [ahead, behind] = [count - shared, its - shared];
  const rewritten = sameTime ?? (ahead > 0 && behind > 0 ? await twinAt(own, other, shared) : undefined);
  return { relation: rewritten ? 'rewritten' : relationOf(ahead, behind), ahead, behind, shared, rewritten };
}

function relationOf(ahead: number, behind: number): Relation {
  if (ahead > 0) return behind > 0 ? 'diverged' : 'ahead';
  return behind > 0 ? 'behind' : 'equal';
}

/** The newest commits that the other one does not have, at most `most`. */
export async function newestBeyond({ snapshot, head }: Line, count: number, most: number): Promise<Commit[]> {
  const newest: Commit[] = [];
  if (!head || count === 0) return newest;
  for await (const commit of snapshot.history(head)) {
    newest.push(commit);
    if (newest.length >= Math.min(count, most)) break;
  }
  return newest;
}

/** The id that both have at a place, where they have one: two engines made it, at different times. */
async function twinAt(own: Line, other: Line, n: number): Promise<CommitId | undefined> {
  const at = async ({ snapshot, head }: Line): Promise<MapItem | undefined> =>
    head && new OrderedReader(snapshot.reader, mapFormat, head.index).at(n);
  const [mine, its] = await Promise.all([at(own), at(other)]);
  return mine && its?.value.equals(mine.value) ? idOf(mine) : undefined;
}

async function countOf({ snapshot, head }: Line): Promise<number> {
  return head ? snapshot.count(head) : 0;
}

async function rankOf({ snapshot, head }: Line, key: Buffer): Promise<number> {
  return head ? new OrderedReader(snapshot.reader, mapFormat, head.index).rank(key) : 0;
}

async function beyond(own: Line, other: Line): Promise<number> {
  return own.head ? own.snapshot.countBeyond(own.head, endOfTime, other.head, other.snapshot) : 0;
}

async function firstDifference(own: Line, other: Line): Promise<Difference<MapItem> | undefined> {
  const side = ({ snapshot, head }: Line): Side => ({ source: snapshot.reader, root: head?.index });
  const differences = diffAcross<MapItem, { entries: number }>(mapFormat, side(own), side(other));
  for await (const difference of differences) return difference;
  return undefined;
}

function idOf({ value }: MapItem): CommitId {
  return value.toString('hex') as CommitId;
}
