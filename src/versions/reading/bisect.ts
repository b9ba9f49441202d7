/**
 * The search for the first bad commit on a line of commits, as a value: which one to look at next, or
 * which ones it may be.
 */
import { PachError } from '../../base/errors.ts';
import type { CommitId } from '../../model/records/commit.ts';
import type { Commit, Snapshot } from '../snapshot.ts';

/** What somebody found a commit to be; `skipped`: nothing can be said of it. */
export type Verdict = 'good' | 'bad' | 'skipped';

export type Search =
  /** At most `left` steps follow, if none of them is skipped. */
  | { readonly kind: 'test'; readonly commit: CommitId; readonly left: number }
  /** The first bad commit is one of these, oldest first; all but the last were skipped. */
  | { readonly kind: 'found'; readonly candidates: readonly CommitId[] };

/** `line`: commits, oldest first, of which the last is taken to be bad; and what lies before the first, to be good. */
export function nextInSearch(line: readonly CommitId[], verdicts: ReadonlyMap<CommitId, Verdict>): Search {
  const last = line.length - 1;
  const is = (at: number): Verdict | undefined => verdicts.get(line[at] as CommitId);
  const good = line.findLastIndex((_, at) => is(at) === 'good');
  const firstBad = line.findIndex((_, at) => at > good && is(at) === 'bad');
  const bad = firstBad < 0 ? last : firstBad;
  const middle = good + Math.floor((bad - good) / 2);
  const open = line.flatMap((_, at) => (at > good && at < bad && is(at) !== 'skipped' ? [at] : []));
  const nearest = open.reduce<number | undefined>(
    (best, at) => (best === undefined || Math.abs(at - middle) < Math.abs(best - middle) ? at : best),
    undefined,
  );
  if (nearest === undefined) return { kind: 'found', candidates: line.slice(good + 1, bad + 1) };
  return { kind: 'test', commit: line[nearest] as CommitId, left: Math.ceil(Math.log2(bad - good)) };
}

/**
 * The commits after `good` up to `bad`, oldest first, by the branch's index where that has them. Throws
 * `usage` where `good` does not come before `bad`.
 */
export async function lineBetween(snapshot: Snapshot, good: Commit, bad: Commit): Promise<CommitId[]> {
  const what = `${good.repo}@${good.id}..${bad.id}`;
  if (good.id === bad.id) throw new PachError('usage', { what, why: 'both ends are the same commit' });
  const line: CommitId[] = [];
  for await (const id of idsBackFrom(snapshot, bad)) {
    if (id === good.id) return line.toReversed();
    line.push(id);
  }
  throw new PachError('usage', {
    what,
    why: `the good commit is not an ancestor of the bad one${good.finished > bad.finished ? '; it is the newer one' : ''}`,
    next: `pach log ${bad.repo}@${bad.id}`,
  });
}

async function* idsBackFrom(snapshot: Snapshot, from: Commit): AsyncGenerator<CommitId> {
  for await (const { head } of snapshot.branches(from.repo)) {
    if (!head || (await snapshot.asOf(head, from.finished))?.id !== from.id) continue;
    yield* snapshot.idsUpTo(head, from.finished);
    return;
  }
  for await (const { id } of snapshot.ancestors(from)) yield id;
}
