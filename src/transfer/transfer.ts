/**
 * Moves branches with their commits from a project of one store to one of another: what the target lacks is
 * brought, then all of it becomes visible with one move of the target's head, or nothing does. Commits stay
 * the same nodes, so ids, times and hashes are equal on both sides.
 */
import type { MapItem } from '../model/map.ts';
import type { CommitId, CommitProvenance } from '../model/records/commit.ts';
import { decodeDeclared } from '../model/records/declared.ts';
import { encodeRemote, type RemoteRecord } from '../model/records/transfer.ts';
import { hashKey, type Ref } from '../model/refs.ts';
import type { Change } from '../versions/change.ts';
import type { BranchName } from '../versions/edit.ts';
import type { Project } from '../versions/project.ts';
import { collectedOr } from '../versions/renew.ts';
import { commitKey, kindOf, lastPart, nameOf, remoteKey } from '../versions/ref-keys.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { moveTriggered, namesTriggeredBy } from '../versions/triggers.ts';
import type { Upload } from '../versions/upload.ts';
import { carry, type CarryProgress } from './carry.ts';
import { planTransfer, type Move, type Plan, type Wanted } from './plan.ts';
import { checkMove, notForward, type Ends } from './refusal.ts';

export interface TransferRequest {
  readonly verb: 'push' | 'pull';
  /** What the operation says that is done. */
  readonly what: string;
  readonly target: Project;
  /** The source at one instant, with what is asked for of it. */
  readonly source: { readonly project: Project; readonly snapshot: Snapshot };
  readonly wanted: Wanted;
  /** The store that is not the one of the user's settings, for messages. */
  readonly url: string;
  /** Where the target's repos come from, to be remembered with them; undefined: nothing is. */
  readonly origin?: RemoteRecord | undefined;
  readonly signal: AbortSignal;
  readonly progress: (now: CarryProgress) => void;
}

/** A branch of the target that has moved, or was made. */
export interface MovedBranch extends BranchName {
  readonly old: CommitId | undefined;
  readonly new: CommitId | undefined;
  /** How many commits it got. */
  readonly commits: number;
}

/** A branch of which the target has more than the source. */
export interface AheadBranch extends BranchName {
  readonly commits: number;
}

export interface TransferResult {
  readonly branches: readonly MovedBranch[];
  /** Commits that the target did not have before. */
  readonly commits: number;
  /** Bytes of the objects that were written. */
  readonly storedBytes: number;
  /** Branches that stay, as there is more in the target. */
  readonly ahead: readonly AheadBranch[];
  /** What the commits were made of, and the target does not have. */
  readonly missing: readonly CommitProvenance[];
}

/**
 * Throws `conflict` naming what differs where a branch of the target is no beginning of the source's, and
 * where only a pipeline, ticks or a trigger move it; then nothing is changed.
 */
export async function transfer(request: TransferRequest): Promise<TransferResult> {
  const { target, source, wanted, verb, url, what } = request;
  await using begun = await target.begin();
  const { upload } = begun;
  const carried = new Carried(request, upload);
  const planned = async (snapshot: Snapshot): Promise<Plan> => {
    const plan = await planTransfer(source.snapshot, snapshot, wanted);
    const ends = { verb, source: source.snapshot, target: snapshot, url };
    await check(ends, plan, wanted);
    await carried.bring(plan);
    return plan;
  };
  try {
    const first = { refs: begun.snapshot.head.refs.hash, plan: await planned(begun.snapshot) };
    const plan = await target.update(
      what,
      async (change) => {
        const { snapshot } = change;
        const isFirst = snapshot.head.refs.hash.equals(first.refs);
        const now = isFirst ? first.plan : await planned(snapshot);
        await apply(change, now, carried);
        if (request.origin) await remember(change, wanted.repos, request.origin);
        return now;
      },
      begun,
    );
    return resultOf(plan, upload.storedBytes);
  } catch (error) {
    throw await collectedOr(target, upload, error);
  }
}

/** Throws for what can't be moved, before anything is. */
async function check(ends: Ends, { moves, refused, standing }: Plan, { branches }: Wanted): Promise<void> {
  if (refused[0]) throw await notForward(ends, refused[0]);
  for (const move of moves) if (!move.isInput) await checkMove(ends, move);
  const behind = standing.find(({ comparison }) => comparison.relation === 'behind');
  // One who pushes a branch wants it there as it is here.
  if (behind && ends.verb === 'push' && (moves.length === 0 || branches.length === 1)) {
    throw await notForward(ends, behind);
  }
}

/** Sets where repos come from, where that is not known yet. */
async function remember(change: Change, repos: readonly string[], origin: RemoteRecord): Promise<void> {
  const value = encodeRemote(origin);
  for (const repo of repos) {
    const key = remoteKey(repo);
    if (!(await change.item(key))) change.set({ key, value, refs: [] });
  }
}

async function apply(change: Change, plan: Plan, carried: Carried): Promise<void> {
  const { repos, commits, items, moves } = plan;
  for (const repo of repos) change.setRepo({ ...repo, ticksOf: undefined });
  for (const { repo, id, ref, provenance } of commits) {
    const entry = await carried.entry(commitKey(repo, id));
    change.set({ ...entry, refs: [carried.placed(ref)] });
    for (const from of provenance) change.setUsed(from, { repo, commit: id });
  }
  for (const item of items) {
    change.set({ ...item, refs: item.refs.map((ref) => carried.placed(ref)) });
    if (kindOf(item.key) !== 'declared') continue;
    const to = { repo: nameOf(item.key), commit: lastPart(item.key) as CommitId };
    for (const { from } of decodeDeclared(item.value).declarations) change.setUsed(from, to);
  }
  for (const move of moves) await moveBranch(change, move, carried);
}

async function moveBranch(
  change: Change,
  { repo, branch, before, commits, changed }: Move,
  carried: Carried,
): Promise<void> {
  const made = before ?? { repo, name: branch, provenance: [] };
  const there = commits.map((commit) => ({
    ...commit,
    ref: carried.placed(commit.ref),
    tree: carried.placed(commit.tree),
  }));
  if (there.length === 0) {
    change.setBranch(made);
    return;
  }
  const next = await change.append(made, { commits: there, changed });
  if ((await namesTriggeredBy(change.snapshot, repo, branch)).length === 0) return;
  // Conditions of triggers look at the new commits.
  await change.upload.finish();
  await moveTriggered(change, next);
}

function resultOf({ moves, commits, missing, standing }: Plan, storedBytes: number): TransferResult {
  const branches = moves.map(({ repo, branch, before, commits: line }) => {
    return { repo, branch, old: before?.head?.id, new: line.at(-1)?.id ?? before?.head?.id, commits: line.length };
  });
  const ahead = standing.flatMap(({ repo, branch, comparison: { behind } }) =>
    behind > 0 ? [{ repo, branch, commits: behind }] : [],
  );
  return { branches, commits: commits.length, storedBytes, ahead, missing };
}

/** What was brought to the target so far: nothing of it is brought again when the race for the head is lost. */
class Carried {
  private readonly request: TransferRequest;
  private readonly upload: Upload;
  private readonly refs = new Map<string, Ref>();

  constructor(request: TransferRequest, upload: Upload) {
    this.request = request;
    this.upload = upload;
  }

  async bring({ commits, items, moves }: Plan): Promise<void> {
    const roots = [
      ...moves.flatMap((move) => move.commits.map(({ ref }) => ref)),
      ...commits.map(({ ref }) => ref),
      ...moves.flatMap((move) => move.commits.at(-1)?.tree ?? []),
      ...items.flatMap(({ refs }) => refs),
    ];
    const lacking = new Map(roots.map((ref) => [hashKey(ref.hash), ref]));
    for (const key of this.refs.keys()) lacking.delete(key);
    if (lacking.size === 0) return;
    const { source, signal, progress } = this.request;
    const found = await carry(source.project, this.upload, [...lacking.values()], { signal, progress });
    for (const ref of found) this.refs.set(hashKey(ref.hash), ref);
  }

  /** A reference with its place in the target. */
  placed(ref: Ref): Ref {
    return this.refs.get(hashKey(ref.hash)) ?? { type: ref.type, hash: ref.hash };
  }

  /** An entry of the source's refs. */
  async entry(key: Buffer): Promise<MapItem> {
    const item = await this.request.source.snapshot.item(key);
    if (!item) throw new Error('a commit that moves has an entry');
    return item;
  }
}
