/**
 * Where the repos of a project come from, or go to: kept in the project's refs, so that all who use the
 * store know it, on whatever machine.
 */
import { PachError } from '../base/errors.ts';
import type { MapItem } from '../model/map.ts';
import { decodeRemote, encodeRemote, type RemoteRecord } from '../model/records/transfer.ts';
import type { Project } from '../versions/project.ts';
import { byEngine } from '../versions/publish.ts';
import { lastPart, remoteKey } from '../versions/ref-keys.ts';
import type { Branch, Snapshot } from '../versions/snapshot.ts';
import { compare, type Relation } from './history.ts';

/** A repo and its origin. */
export interface Remote extends RemoteRecord {
  readonly repo: string;
}

/** How a branch here stands to that of the origin. */
export interface RemoteBranch {
  readonly branch: string;
  readonly relation: Relation;
  /** Commits that are only here, and only there. */
  readonly ahead: number;
  readonly behind: number;
}

export async function maybeRemote(snapshot: Snapshot, repo: string): Promise<Remote | undefined> {
  const item = await snapshot.item(remoteKey(repo));
  return item && remoteOf(item);
}

/** In the order of the repos' names. */
export async function listRemotes(snapshot: Snapshot): Promise<Remote[]> {
  const remotes: Remote[] = [];
  for await (const item of snapshot.items(remoteKey(''))) remotes.push(remoteOf(item));
  return remotes;
}

/**
 * Keeps where a repo is pushed to, unless it has an origin: only one that is the same store at another
 * address is changed. No person asked for it, so an undo passes it by. `seen`: the project a moment ago.
 */
export async function rememberRemote(project: Project, seen: Snapshot, remote: Remote): Promise<void> {
  if (stays(await maybeRemote(seen, remote.repo), remote)) return;
  const { repo, ...origin } = remote;
  await project.update(byEngine(`remember the origin of ${repo}`), async (change) => {
    const { snapshot } = change;
    const known = await maybeRemote(snapshot, repo);
    if (stays(known, remote) || !(await snapshot.maybeRepo(repo))) return;
    change.set({ key: remoteKey(repo), value: encodeRemote({ ...known, ...origin }), refs: [] });
  });
}

/** Gives a repo this origin, whatever it had. A person asked for it: an undo takes it back. */
export async function setRemote(project: Project, { repo, ...origin }: Remote): Promise<void> {
  await project.update(`remote set ${repo}`, async (change) => {
    await change.snapshot.repo(repo);
    change.set({ key: remoteKey(repo), value: encodeRemote(origin), refs: [] });
  });
}

/** Forgets where a repo comes from; throws `not-found` where it has no origin. What it was. */
export async function removeRemote(project: Project, repo: string): Promise<Remote> {
  return project.update(`remote remove ${repo}`, async (change) => {
    await change.snapshot.repo(repo);
    const known = await maybeRemote(change.snapshot, repo);
    if (!known) throw new PachError('not-found', { what: repo, why: 'it has no origin', next: 'pach remote list' });
    change.delete(remoteKey(repo));
    return known;
  });
}

function stays(known: Remote | undefined, { storeId, project, url }: Remote): boolean {
  return known !== undefined && (known.storeId !== storeId || known.project !== project || known.url === url);
}

/** How the branches of a repo stand to those of its origin: all that either has. */
export async function standOf(own: Snapshot, other: Snapshot, repo: string): Promise<RemoteBranch[]> {
  const [here, there] = await Promise.all([branchesOf(own, repo), branchesOf(other, repo)]);
  const names = [...new Set([...here.keys(), ...there.keys()])].sort();
  return Promise.all(
    names.map(async (branch) => {
      const { relation, ahead, behind } = await compare(
        { snapshot: own, head: here.get(branch)?.head },
        { snapshot: other, head: there.get(branch)?.head },
      );
      return { branch, relation, ahead, behind };
    }),
  );
}

async function branchesOf(snapshot: Snapshot, repo: string): Promise<Map<string, Branch>> {
  const branches = new Map<string, Branch>();
  for await (const branch of snapshot.branches(repo)) branches.set(branch.name, branch);
  return branches;
}

function remoteOf({ key, value }: MapItem): Remote {
  return { ...decodeRemote(value), repo: lastPart(key) };
}
