/**
 * Histories as people ask for them: of a version, of all branches of a repo, of a path.
 */
import { mapOrdered } from '../../base/async.ts';
import { namesWholeRepo, type Address } from '../../model/address.ts';
import { markOf, mayHaveChanged } from '../../model/records/changed-paths.ts';
import { parsePath } from '../../model/paths.ts';
import { resolveVersion } from '../resolve.ts';
import { rootOf, type BranchHead, type Commit, type IndexedCommit, type Snapshot } from '../snapshot.ts';
import { Files } from './files.ts';

/** Commits whose trees are read at a time. */
const readsAhead = 20;
const slash = Buffer.from('/');

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
  const head = branch?.head;
  const isOnBranch = head !== undefined && (await snapshot.asOf(head, commit.finished))?.id === commit.id;
  if (path !== undefined && isOnBranch) {
    yield* changesOfPath(snapshot, head, { from: commit, path, signal });
    return;
  }
  for await (const each of head?.id === commit.id ? snapshot.history(head) : snapshot.ancestors(commit)) {
    signal.throwIfAborted();
    if (path === undefined || (await touches(snapshot, each, { path, parent: await parentOf(snapshot, each) }))) {
      yield each;
    }
  }
}

/** Reads only the commits that may have changed the path, and those before them. */
async function* changesOfPath(
  snapshot: Snapshot,
  head: BranchHead,
  { from, path, signal }: { readonly from: Commit; readonly path: string; readonly signal: AbortSignal },
): AsyncGenerator<Commit> {
  const names = parsePath(path);
  const mark = markOf(Buffer.concat(names.flatMap((name) => [slash, name])));
  async function* candidates(): AsyncGenerator<IndexedCommit> {
    for await (const each of snapshot.changesUpTo(head, from.finished)) {
      signal.throwIfAborted();
      // The root is no path of an entry.
      if (!each.changed || names.length === 0 || mayHaveChanged(each.changed, each.id, mark)) yield each;
    }
  }
  const found = mapOrdered(candidates(), readsAhead, async ({ ref, parent }) => {
    const [commit, before] = await Promise.all([snapshot.commitAt(ref), parent && snapshot.commitAt(parent)]);
    return (await touches(snapshot, commit, { path, parent: before })) ? commit : undefined;
  });
  for await (const commit of found) if (commit) yield commit;
}

/** True where a commit changed what lies at a path, or whether anything does. */
async function touches(
  snapshot: Snapshot,
  commit: Commit,
  { path, parent }: { readonly path: string; readonly parent: Commit | undefined },
): Promise<boolean> {
  const hashIn = async (of: Commit | undefined): Promise<string | undefined> =>
    of && new Files(snapshot.reader, rootOf(of), `${of.repo}@${of.id}`).hashAt(path);
  const [now, before] = await Promise.all([hashIn(commit), hashIn(parent)]);
  return now !== before;
}

/** The commit before one; undefined for the first, and for one whose parent is not there. */
export async function parentOf(snapshot: Snapshot, { repo, parent }: Commit): Promise<Commit | undefined> {
  return parent && (await snapshot.maybeCommit(repo, parent));
}
