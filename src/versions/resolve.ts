/**
 * Addresses to commits: which ref wins and what ancestry and times mean (guide: addresses).
 */
import { PachError } from '../base/errors.ts';
import { formatAddress, type Address } from '../model/address.ts';
import { severalBegin } from '../model/ids.ts';
import type { CommitId } from '../model/records/commit.ts';
import type { Directory } from './directories.ts';
import { rootOf, type Branch, type Commit, type Snapshot } from './snapshot.ts';

export const defaultBranch = 'master';

/** Why there are no files where a repo or branch has no commits. */
export const emptyText = 'it is empty: nothing has been put there yet';

/** What an address leads to; `commit` is absent for a branch without commits. */
export interface Version {
  readonly repo: string;
  readonly branch: Branch | undefined;
  readonly commit: Commit | undefined;
}

/** Resolves repo, ref and ancestry of an address. Throws `not-found` naming the part that fails. */
export async function resolveVersion(snapshot: Snapshot, address: Address): Promise<Version> {
  const { repo } = address;
  const resolved = resolveRef(snapshot, address);
  resolved.catch(() => undefined);
  await snapshot.repo(repo);
  const { branch, commit: start } = await resolved;
  let commit = start;
  for (const step of address.ancestry) {
    const from = commit ?? empty(address, branch?.name ?? defaultBranch);
    commit =
      step.kind === 'nth'
        ? branch?.head && (await snapshot.nth(branch.head, step.n))
        : await ancestor(snapshot, branch, from, step.n);
    if (!commit) {
      const why = step.kind === 'nth' ? `there is no commit number ${step.n}` : 'it does not have that many ancestors';
      missing(address, why);
    }
  }
  return { repo, branch, commit };
}

/** The same, for what needs a commit. */
export async function resolveCommit(snapshot: Snapshot, address: Address): Promise<Commit> {
  const { branch, commit } = await resolveVersion(snapshot, address);
  return commit ?? empty(address, branch?.name ?? defaultBranch);
}

/** The files of a version; those of a branch without commits are none, which is undefined. */
export async function resolveFiles(snapshot: Snapshot, address: Address): Promise<Directory | undefined> {
  const { commit } = await resolveVersion(snapshot, address);
  return commit && rootOf(commit);
}

async function resolveRef(
  snapshot: Snapshot,
  address: Address,
): Promise<{ branch?: Branch | undefined; commit: Commit | undefined }> {
  const { repo, ref = defaultBranch, time } = address;
  // Read in parallel, in case the text turns out to be a time.
  const timed = time === undefined ? undefined : snapshot.maybeBranch(repo, defaultBranch);
  timed?.then((master) => master?.head && snapshot.prefetch(master.head.index)).catch(() => undefined);
  const branch = await snapshot.maybeBranch(repo, ref);
  if (branch?.head && address.ancestry.length > 0) snapshot.prefetch(branch.head.index);
  if (branch) return { branch, commit: branch.head && (await snapshot.commitAt(branch.head.commit)) };
  if (/^[0-9a-f]{32}$/.test(ref)) {
    const commit = await snapshot.maybeCommit(repo, ref as CommitId);
    if (commit) return withBranch(snapshot, commit);
  } else if (/^[0-9a-f]+$/.test(ref)) {
    const found = await snapshot.commitsByPrefix(repo, ref);
    const ids = found.map(({ id }) => id);
    if (ids.length > 1) missing(address, severalBegin('commits', ref, ids));
    if (found[0]) return withBranch(snapshot, await snapshot.commitAt(found[0].commit));
  }
  const [name, id] = ref.split('=');
  if (name && id) return branchCommit(snapshot, address, name, id);
  if (time !== undefined) {
    const master = await snapshot.branch(repo, defaultBranch);
    const commit = master.head && (await snapshot.asOf(master.head, time));
    return { branch: master, commit: commit ?? missing(address, `${repo}@${defaultBranch} has no commit that old`) };
  }
  for await (const _ of snapshot.branches(repo)) return missing(address, `${repo} has no branch or commit ${ref}`);
  return empty(address, defaultBranch);
}

async function withBranch(snapshot: Snapshot, commit: Commit): Promise<{ branch: Branch | undefined; commit: Commit }> {
  return { branch: await snapshot.maybeBranch(commit.repo, commit.branch), commit };
}

async function branchCommit(
  snapshot: Snapshot,
  address: Address,
  name: string,
  id: string,
): Promise<{ branch: Branch; commit: Commit }> {
  const branch = await snapshot.branch(address.repo, name);
  const commit = await resolveCommit(snapshot, { ...address, ref: id, time: undefined, ancestry: [] });
  const onBranch = branch.head && (await snapshot.asOf(branch.head, commit.finished));
  if (onBranch?.id !== commit.id) missing(address, `commit ${commit.id} is not on branch ${name}`);
  return { branch, commit };
}

/** The n-th ancestor; along a branch its index answers without a walk. */
async function ancestor(
  snapshot: Snapshot,
  branch: Branch | undefined,
  commit: Commit,
  n: number,
): Promise<Commit | undefined> {
  if (branch?.head && branch.head.id === commit.id) {
    return snapshot.nth(branch.head, (await snapshot.count(branch.head)) - n);
  }
  let at: Commit | undefined = commit;
  for (let left = n; at && left > 0; left -= 1) at = at.parent && (await snapshot.maybeCommit(at.repo, at.parent));
  return at;
}

function empty(address: Address, branch: string): never {
  throw new PachError('not-found', {
    what: formatAddress({ ...address, path: undefined }),
    why: emptyText,
    next: `pach put file ${address.repo}@${branch} -r -f FOLDER`,
  });
}

function missing(address: Address, why: string): never {
  throw new PachError('not-found', {
    what: formatAddress({ ...address, path: undefined }),
    why,
    next: `pach list commit ${address.repo}`,
  });
}
