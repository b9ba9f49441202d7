/**
 * Histories as people ask for them: of a version, of all branches of a repo, of a path.
 */
import { mapOrdered } from '../../base/async.ts';
import { namesWholeRepo, type Address } from '../../model/address.ts';
import { resolveVersion } from '../resolve.ts';
import { rootOf, type Commit, type Snapshot } from '../snapshot.ts';
import { Files } from './files.ts';

/** Commits whose trees are read at a time. */
const readsAhead = 20;

/** Commits of a branch or version, or of all branches of a repo where an address names just that; newest first. */
export async function* commitsOf(snapshot: Snapshot, address: Address): AsyncGenerator<Commit> {
  if (namesWholeRepo(address)) {
    yield* commitsOfRepo(snapshot, address.repo);
    return;
  }
  const { branch, commit } = await resolveVersion(snapshot, address);
  if (!commit) return;
  if (branch?.head?.id === commit.id) yield* snapshot.history(branch.head);
  else yield* snapshot.ancestors(commit);
}

/** The histories of all branches as one, newest first; what several branches have is given once. */
async function* commitsOfRepo(snapshot: Snapshot, repo: string): AsyncGenerator<Commit> {
  await snapshot.repo(repo);
  const lines: { commit: Commit; readonly older: AsyncGenerator<Commit> }[] = [];
  for await (const { head } of snapshot.branches(repo)) {
    if (!head) continue;
    const older = snapshot.history(head);
    const first = await older.next();
    if (!first.done) lines.push({ commit: first.value, older });
  }
  const given = new Set<string>();
  while (lines.length > 0) {
    // Of equal times the first branch's.
    const newest = lines.reduce((best, line) => (line.commit.finished > best.commit.finished ? line : best));
    const { commit } = newest;
    if (!given.has(commit.id)) yield commit;
    given.add(commit.id);
    const next = await newest.older.next();
    if (next.done) lines.splice(lines.indexOf(newest), 1);
    else newest.commit = next.value;
  }
}

/** A version and the commits before it, newest first; with a path only those that changed what lies there. */
export async function* commitsBefore(
  snapshot: Snapshot,
  address: Address,
  { path, signal }: { readonly path: string | undefined; readonly signal: AbortSignal },
): AsyncGenerator<Commit> {
  const { branch, commit } = await resolveVersion(snapshot, address);
  if (!commit) return;
  const line = branch?.head?.id === commit.id ? snapshot.history(branch.head) : snapshot.ancestors(commit);
  if (path === undefined) {
    for await (const each of line) {
      signal.throwIfAborted();
      yield each;
    }
    return;
  }
  const hashed = mapOrdered(line, readsAhead, async (each) => {
    signal.throwIfAborted();
    return {
      commit: each,
      hash: await new Files(snapshot.reader, rootOf(each), `${each.repo}@${each.id}`).hashAt(path),
    };
  });
  let newer: { readonly commit: Commit; readonly hash: string | undefined } | undefined;
  for await (const each of hashed) {
    if (newer && newer.hash !== each.hash) yield newer.commit;
    newer = each;
  }
  if (newer?.hash !== undefined) yield newer.commit;
}

/** The commit before one; undefined for the first, and for one whose parent is not there. */
export async function parentOf(snapshot: Snapshot, { repo, parent }: Commit): Promise<Commit | undefined> {
  return parent && (await snapshot.maybeCommit(repo, parent));
}
