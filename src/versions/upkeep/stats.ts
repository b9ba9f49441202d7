/**
 * What a project holds, what it takes in the store, and what a collection would give back.
 */
import { BlobTable } from '../../chunks/blob-table.ts';
import type { PackId } from '../../model/refs.ts';
import { readCondemned } from '../condemned.ts';
import { isSmallPack, planPacks } from './gc-plan.ts';
import { listObjects } from './objects.ts';
import { Marks } from './marks.ts';
import type { Project } from '../project.ts';
import { Directories, rootEntry } from '../directories.ts';
import { referencesIn } from '../reading/references.ts';
import { rootOf, Snapshot } from '../snapshot.ts';

export interface RepoStats {
  readonly repo: string;
  readonly branches: number;
  readonly commits: number;
  /** Of the newest commit of each branch. */
  readonly files: number;
  readonly logicalBytes: number;
}

export interface ProjectStats {
  readonly project: string;
  readonly files: number;
  /** Bytes of files in the newest commit of each branch. */
  readonly logicalBytes: number;
  /** The same for all commits. */
  readonly historyBytes: number;
  /** Bytes of all objects of the project. */
  readonly storedBytes: number;
  /** `historyBytes` as a multiple of what is stored and needed. */
  readonly dedupRatio: number;
  readonly objects: number;
  readonly packs: number;
  readonly smallPacks: number;
  readonly segments: number;
  readonly chunks: number;
  /** Bytes that `pach gc --grace 0` would give back, but for the indexes of what it gathers. */
  readonly reclaimableBytes: number;
  /** The part of it that is condemned already. */
  readonly condemnedBytes: number;
  /** The part of it that killed writers left in the folder of the store, for whatever project. */
  readonly leftoverBytes: number;
  readonly epoch: number;
  /** Files of the newest commits whose bytes lie in other buckets; absent where there are none. */
  readonly references?: { readonly files: number; readonly bytes: number };
  readonly repos: readonly RepoStats[];
}

/** Reads all metadata of the project. Throws `damaged` when something that versions need is in no index. */
export async function projectStats(project: Project, signal?: AbortSignal): Promise<ProjectStats> {
  const { store, name } = project.options;
  const { head, known } = await project.load();
  const table = new BlobTable();
  await known.addFresh(table);
  for (const segment of head.indexes.segments) await known.addSegment(segment, table);
  const knownPacks = await known.packs();
  const byKey = await listObjects(store, name, knownPacks, { signal });
  const objects = [...byKey.values()];
  const learn = async (id: PackId): Promise<void> => {
    if (knownPacks.get(id) === 'data') await known.addPack({ kind: 'data', id }, table);
  };
  const marks = new Marks(project.reader, table, { learn, signal });
  await marks.markHead(head, Number.MAX_SAFE_INTEGER);
  const plans = planPacks(table, marks, byKey, name, head.scrub);
  const listed = new Set([...table.packs, ...head.indexes.segments].map(({ id }) => id));
  let neededBytes = 0;
  let chunks = 0;
  for (const row of marks.rows) {
    neededBytes += table.storedLengthAt(row);
    if (table.packs[table.packAt(row)]?.kind === 'data') chunks += 1;
  }
  const snapshot = new Snapshot(head, project.reader);
  const repos: RepoStats[] = [];
  let historyBytes = 0;
  const references = { files: 0, bytes: 0 };
  for await (const repo of snapshot.repos()) {
    const { stats, bytes } = await repoStats(snapshot, repo.name, references);
    repos.push(stats);
    historyBytes += bytes;
  }
  const sum = (of: readonly { readonly bytes: number }[]): number => of.reduce((total, { bytes }) => total + bytes, 0);
  const packs = objects.filter(({ kind }) => kind === 'data' || kind === 'meta');
  const going = plans.filter(({ goes }) => goes);
  const unlisted = objects.filter(({ id }) => !listed.has(id));
  const leftoverBytes = (await store.leftovers?.(0, false))?.bytes ?? 0;
  return {
    project: name,
    files: repos.reduce((total, { files }) => total + files, 0),
    logicalBytes: repos.reduce((total, { logicalBytes }) => total + logicalBytes, 0),
    historyBytes,
    storedBytes: sum(objects),
    dedupRatio: neededBytes > 0 ? historyBytes / neededBytes : 1,
    objects: objects.length,
    packs: packs.length,
    smallPacks: packs.filter(isSmallPack).length,
    segments: objects.filter(({ kind }) => kind === 'segment').length,
    chunks,
    reclaimableBytes:
      sum(unlisted) + going.reduce((total, { bytes, liveBytes }) => total + bytes - liveBytes, 0) + leftoverBytes,
    condemnedBytes: sum(await readCondemned(store, head)),
    leftoverBytes,
    epoch: head.epoch,
    ...(references.files > 0 && { references }),
    repos,
  };
}

/** Counts the references of newest commits, too. */
async function repoStats(
  snapshot: Snapshot,
  repo: string,
  references: { files: number; bytes: number },
): Promise<{ stats: RepoStats; bytes: number }> {
  const directories = new Directories(snapshot.reader);
  let branches = 0;
  let files = 0;
  let logicalBytes = 0;
  for await (const { head } of snapshot.branches(repo)) {
    branches += 1;
    if (!head) continue;
    const commit = await snapshot.commitAt(head.commit);
    files += commit.files;
    logicalBytes += commit.bytes;
    if (!commit.references) continue;
    for await (const { content } of referencesIn(directories, rootEntry(rootOf(commit)), [])) {
      references.files += 1;
      references.bytes += content.size;
    }
  }
  let commits = 0;
  let bytes = 0;
  for await (const { refs } of snapshot.commitItems(repo)) {
    if (!refs[0]) continue;
    commits += 1;
    bytes += (await snapshot.commitAt(refs[0])).bytes;
  }
  return { stats: { repo, branches, commits, files, logicalBytes }, bytes };
}
