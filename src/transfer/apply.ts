/**
 * What a plan does to the refs of its target, once all that it brings is there.
 */
import type { MapItem } from '../model/map.ts';
import type { CommitId } from '../model/records/commit.ts';
import { decodeDeclared } from '../model/records/declared.ts';
import { encodeRemote, type RemoteRecord } from '../model/records/transfer.ts';
import { hashKey, type Ref } from '../model/refs.ts';
import { provenanceOf } from '../pipelines/editing/enter.ts';
import { setInputTriggers } from '../pipelines/editing/input-triggers.ts';
import { makeTicksRepos } from '../pipelines/editing/ticks-repos.ts';
import { listPipelines } from '../pipelines/pipelines.ts';
import { graphOf } from '../pipelines/spec/graph.ts';
import type { Change } from '../versions/change.ts';
import type { Project } from '../versions/project.ts';
import { commitKey, kindOf, lastPart, nameOf, remoteKey } from '../versions/ref-keys.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { moveTriggered, namesTriggeredBy } from '../versions/triggers.ts';
import type { Upload } from '../versions/upload.ts';
import { carry, type CarryProgress } from './carry.ts';
import type { Move, Plan } from './plan.ts';
import type { MovedPipeline } from './results.ts';

/** Does all that a plan says. */
export async function apply(change: Change, plan: Plan, carried: Carried): Promise<void> {
  const { repos, commits, outputs, moves } = plan;
  const { names, pipelines } = outputs;
  for (const { ticksOf, ...repo } of repos) {
    change.setRepo({ ...repo, ticksOf: ticksOf !== undefined && names.has(ticksOf) ? ticksOf : undefined });
  }
  for (const { repo, id, ref, provenance } of commits) {
    const entry = await carried.entry(commitKey(repo, id));
    change.set({ ...entry, refs: [carried.placed(ref)] });
    for (const from of provenance) change.setUsed(from, { repo, commit: id });
  }
  for (const item of itemsOf(plan)) {
    change.set({ ...item, refs: item.refs.map((ref) => carried.placed(ref)) });
    if (kindOf(item.key) !== 'declared') continue;
    const to = { repo: nameOf(item.key), commit: lastPart(item.key) as CommitId };
    for (const { from } of decodeDeclared(item.value).declarations) change.setUsed(from, to);
  }
  for (const move of moves) await moveBranch(change, move, { carried, names });
  if (pipelines.length > 0) await checkGraph(change.snapshot, pipelines);
  for (const moved of pipelines) await setUp(change, moved);
}

/** Sets where repos come from, where that is not known yet. */
export async function remember(change: Change, repos: readonly string[], origin: RemoteRecord): Promise<void> {
  const value = encodeRemote(origin);
  for (const repo of repos) {
    const key = remoteKey(repo);
    if (!(await change.item(key))) change.set({ key, value, refs: [] });
  }
}

/** Entries of the refs that are taken over as they are. */
function itemsOf({ items, outputs }: Plan): readonly MapItem[] {
  return [...items, ...outputs.items, ...outputs.pipelines.map(({ item }) => item)];
}

async function moveBranch(
  change: Change,
  { repo, branch, before, commits, changed, trigger }: Move,
  { carried, names }: { readonly carried: Carried; readonly names: ReadonlySet<string> },
): Promise<void> {
  // A branch that an input's trigger moves is made with its pipeline; other triggers stay where they were set.
  const isInputs = trigger?.pipeline !== undefined && names.has(trigger.pipeline);
  const made = before ?? { repo, name: branch, provenance: [], trigger: isInputs ? trigger : undefined };
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

/** No pipeline may come to read its own results. */
async function checkGraph(target: Snapshot, moved: readonly MovedPipeline[]): Promise<void> {
  const made = moved.filter(({ branch }) => branch === undefined).map(({ pipeline }) => pipeline.spec);
  const others = (await listPipelines(target)).filter(({ name }) => made.every((spec) => spec.name !== name));
  graphOf([...made, ...others.map(({ spec }) => spec)]);
}

/** What a pipeline needs beside its entry, as when it is created. */
async function setUp(change: Change, { pipeline: { name, spec }, branch }: MovedPipeline): Promise<void> {
  if (branch !== undefined) return; // It shares all of that.
  const { outputBranch } = spec;
  await makeTicksRepos(change, spec, Date.now());
  const output = await change.maybeBranch(name, outputBranch);
  change.setBranch({ head: undefined, ...output, repo: name, name: outputBranch, provenance: provenanceOf(spec) });
  await setInputTriggers(change, undefined, spec);
}

/** What a transfer brings from. */
export interface CarriedFrom {
  readonly source: { readonly project: Project; readonly snapshot: Snapshot };
  readonly signal: AbortSignal;
  readonly progress: (now: TransferProgress) => void;
}

export interface TransferProgress extends CarryProgress {
  /** How many plain bytes may come in all, by how the files of the branches have grown. */
  readonly expectedBytes: number;
}

/** What was brought to the target so far: nothing of it is brought again when the race for the head is lost. */
export class Carried {
  private readonly from: CarriedFrom;
  private readonly upload: Upload;
  private readonly refs = new Map<string, Ref>();

  constructor(from: CarriedFrom, upload: Upload) {
    this.from = from;
    this.upload = upload;
  }

  async bring(plan: Plan): Promise<void> {
    const { commits, moves } = plan;
    const roots = [
      ...moves.flatMap((move) => move.commits.map(({ ref }) => ref)),
      ...commits.map(({ ref }) => ref),
      ...moves.flatMap((move) => move.commits.at(-1)?.tree ?? []),
      ...itemsOf(plan).flatMap(({ refs }) => refs),
    ];
    const lacking = new Map(roots.map((ref) => [hashKey(ref.hash), ref]));
    for (const key of this.refs.keys()) lacking.delete(key);
    if (lacking.size === 0) return;
    const { source, signal, progress: told } = this.from;
    const expectedBytes = expectedOf(moves);
    const progress = (now: CarryProgress): void => told({ ...now, expectedBytes });
    const before = new Map<string, Ref>();
    for (const move of moves) {
      const head = move.before?.head;
      if (head) for (const { ref } of move.commits) before.set(hashKey(ref.hash), head.commit);
    }
    const like = (root: Ref): Ref | undefined => before.get(hashKey(root.hash));
    const found = await carry(source.project, this.upload, [...lacking.values()], { like, signal, progress });
    for (const ref of found) this.refs.set(hashKey(ref.hash), ref);
  }

  /** A reference with its place in the target. */
  placed(ref: Ref): Ref {
    return this.refs.get(hashKey(ref.hash)) ?? { type: ref.type, hash: ref.hash };
  }

  /** An entry of the source's refs. */
  async entry(key: Buffer): Promise<MapItem> {
    const item = await this.from.source.snapshot.item(key);
    if (!item) throw new Error('a commit that moves has an entry');
    return item;
  }
}

/** Branches of one repo mostly share their files. */
function expectedOf(moves: readonly Move[]): number {
  const byRepo = new Map<string, number>();
  for (const { repo, growth } of moves) byRepo.set(repo, Math.max(growth, byRepo.get(repo) ?? 0));
  return [...byRepo.values()].reduce((sum, bytes) => sum + bytes, 0);
}
