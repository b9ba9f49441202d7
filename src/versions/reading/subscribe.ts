/**
 * What comes to a project while somebody looks: its operations, and the new commits of a branch.
 */
import { isPachError } from '../../base/errors.ts';
import type { Project } from '../project.ts';
import type { BranchHead, Commit, Snapshot } from '../snapshot.ts';

/** Commits that were given, so that none is given again when a branch moves back and forth. */
const givenMax = 100_000;

export interface MovesOptions {
  readonly signal: AbortSignal;
  /** Gives the last one again when there was none for so long. */
  readonly againMs?: number;
  /** The head can't be read now. It is tried again. */
  readonly failed?: (error: unknown) => void;
}

/** The project as it is, and then each time that it has moved, the newest where it moved several times. Ends with the signal. */
export async function* moves(project: Project, { signal, againMs, failed }: MovesOptions): AsyncGenerator<Snapshot> {
  let newest: Snapshot | undefined;
  let isNews = false;
  let wake = (): void => undefined;
  using _ = project.head.listen({
    moved: (snapshot) => {
      newest = snapshot;
      isNews = true;
      wake();
    },
    ...(failed && { failed }),
  });
  const stop = (): void => wake();
  signal.addEventListener('abort', stop);
  try {
    while (!signal.aborted) {
      if (isNews && newest) {
        isNews = false;
        yield newest;
        continue;
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (againMs === undefined) return;
        const timer = setTimeout(() => {
          isNews = true;
          resolve();
        }, againMs);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** A branch, and the commit after which one wants to hear of it. */
export interface Subscription extends MovesOptions {
  readonly repo: string;
  readonly branch: string;
  /** Undefined: from the beginning. */
  readonly from: Commit | undefined;
}

/** The commits that a branch has or gets after one, each once, oldest first. Ends with the signal. */
export async function* newCommits(
  project: Project,
  { repo, branch, from, ...options }: Subscription,
): AsyncGenerator<{ readonly snapshot: Snapshot; readonly commit: Commit }> {
  const given = new Set<string>();
  let time = from?.finished ?? Number.NEGATIVE_INFINITY;
  let last: BranchHead | undefined;
  for await (const snapshot of moves(project, options)) {
    const head = (await snapshot.maybeBranch(repo, branch))?.head;
    if (!head || head.id === last?.id) continue;
    for await (const commit of snapshot.after(head, await sharedCount(snapshot, head, last, time))) {
      time = commit.finished;
      if (given.has(commit.id)) continue;
      given.add(commit.id);
      const [oldest] = given;
      if (given.size > givenMax && oldest !== undefined) given.delete(oldest);
      yield { snapshot, commit };
    }
    last = head;
  }
}

/** How many of a line's first commits are on the line before, or, at the beginning, not after a time. */
async function sharedCount(
  snapshot: Snapshot,
  head: BranchHead,
  last: BranchHead | undefined,
  time: number,
): Promise<number> {
  if (!last) return time === Number.NEGATIVE_INFINITY ? 0 : snapshot.countUpTo(head, time);
  const { finished } = await snapshot.commitAt(head.commit);
  try {
    return (await snapshot.count(head)) - (await snapshot.countBeyond(head, finished, last));
  } catch (error) {
    // The line before is gone: the branch was deleted or moved, and the store collected.
    if (isPachError(error, 'damaged', 'not-found')) return snapshot.countUpTo(head, time);
    throw error;
  }
}
