/**
 * What a job has to do: which of its datums have results already, from the last job or from any
 * other of the project, and which must run. Where only inputs differ from the last job, it costs
 * by what differs.
 */
import { encodeRows } from '../../model/records/rows.ts';
import type { BlobReader } from '../../cache/blobs.ts';
import type { MapItem } from '../../model/map.ts';
import { encodeDatum, type JobId } from '../../model/records/pipelines.ts';
import type { Hash } from '../../model/refs.ts';
import { rootOf, type Commit, type Snapshot } from '../../versions/snapshot.ts';
import { canonicalJson } from '../../model/canonical.ts';
import type { Datum } from '../datums/datum.ts';
import { inputDocument } from '../datums/document.ts';
import { diffDatums, planDatums, type DatumChange, type VersionOf } from '../datums/plan.ts';
import { isNone, maybeJob, type Job } from './jobs.ts';
import { readSpec } from '../pipelines.ts';
import { datumKey, type Recipe } from './recipe.ts';
import { rowsBytesMax, rowsFor, type PlannedDatum } from './planned.ts';
import { maybeResult, type Result } from './results.ts';
import { pfsInputs } from '../spec/input.ts';
import type { PfsInput, PipelineSpec } from '../spec/spec.ts';

/** The versions that a job reads, one for each pfs input, in their order. */
export type JobInputs = readonly {
  readonly repo: string;
  readonly branch: string;
  /** Undefined for a branch without commits. */
  readonly commit: Commit | undefined;
}[];

/** The job whose output a new one begins with. */
export interface BaseJob {
  readonly job: Job;
  readonly output: Commit;
}

export interface PlanOptions {
  readonly snapshot: Snapshot;
  readonly spec: PipelineSpec;
  readonly recipe: Recipe;
  readonly inputs: JobInputs;
  readonly base: BaseJob | undefined;
  /** True where no datum is to be taken as it was, but by the job itself before it was broken off. */
  readonly everything: boolean;
  /** The job that is planned, when it is not just looked at. */
  readonly job?: JobId | undefined;
  /** The place for which it is planned: where the spec says so, results of others do not count there. */
  readonly place?: string | undefined;
}

/** What is to be done about one datum. */
export type Step =
  | { readonly kind: 'gone'; readonly id: string }
  | { readonly kind: 'known'; readonly planned: PlannedDatum; readonly result: Result }
  | { readonly kind: 'run'; readonly planned: PlannedDatum };

export interface JobPlan {
  /** True where the steps are those by which this job differs from the base. */
  readonly isIncremental: boolean;
  steps(): AsyncGenerator<Step>;
}

export async function planJob(options: PlanOptions): Promise<JobPlan> {
  const { snapshot, spec, base, everything, place } = options;
  const isChoosy = place !== undefined && spec.trust === 'recompute';
  const before = everything || !base ? undefined : await sameShape(options, base);
  const after = versionsOf(
    spec,
    options.inputs.map(({ commit }) => commit),
  );
  const changes = before ? diffDatums(snapshot.reader, spec.input, before, after) : all(options, after);
  const leaves = pfsInputs(spec.input);
  async function* steps(): AsyncGenerator<Step> {
    for await (const { before: old, after: now } of changes) {
      if (!now) {
        if (old) yield { kind: 'gone', id: old.id };
        continue;
      }
      const planned = await plannedOf(snapshot.reader, options.recipe, leaves, now);
      const found = await maybeResult(snapshot, planned.key);
      const isTaken = isChoosy ? found?.outcome.place === place : true;
      const result = !isTaken || (everything && found?.outcome.job !== options.job) ? undefined : found;
      yield result ? { kind: 'known', planned, result } : { kind: 'run', planned };
    }
  }
  return { isIncremental: before !== undefined, steps };
}

/** The job that made a branch's head, when it was one. */
export async function baseOf(snapshot: Snapshot, repo: string, branch: string): Promise<BaseJob | undefined> {
  const head = (await snapshot.maybeBranch(repo, branch))?.head;
  const job = head && (await maybeJob(snapshot, head.id));
  return head && job?.datums ? { job, output: await snapshot.commitAt(head.commit) } : undefined;
}

/** The item of a datum in its job's map. */
export function datumItem({ datum, key, rows }: PlannedDatum, { outcome, tree }: Result): MapItem {
  const apart = encodeRows(rows).length > rowsBytesMax;
  const value = encodeDatum({ key, files: apart ? [] : rows, outcome });
  return { key: Buffer.from(datum.id, 'hex'), value, refs: [tree] };
}

async function* all({ snapshot, spec }: PlanOptions, versions: VersionOf): AsyncGenerator<DatumChange> {
  for await (const after of planDatums(snapshot.reader, spec.input, versions)) yield { after };
}

/** The versions of the base, when nothing but versions differs and none of its datums must run again. */
async function sameShape(
  { snapshot, spec, recipe, place }: PlanOptions,
  { job }: BaseJob,
): Promise<VersionOf | undefined> {
  if (!job.recipe.hash.equals(recipe.hash) || job.counts.recovered > 0 || job.restarted || job.incomplete)
    return undefined;
  const { input, trust } = await readSpec(snapshot.reader, job.spec);
  // It may have taken results that do not count now.
  if (place !== undefined && spec.trust === 'recompute' && (trust !== 'recompute' || job.place !== place))
    return undefined;
  if (!canonicalJson(input).equals(canonicalJson(spec.input))) return undefined;
  const commits: (Commit | undefined)[] = [];
  for (const { repo, commit } of job.inputs) {
    const found = await snapshot.maybeCommit(repo, commit);
    if (!found && !isNone(commit)) return undefined;
    commits.push(found);
  }
  return versionsOf(spec, commits);
}

/** Which version each input of a spec reads. `commits` are in the order of its pfs inputs. */
export function versionsOf({ input }: PipelineSpec, commits: readonly (Commit | undefined)[]): VersionOf {
  const versions = new Map<PfsInput, Commit>();
  for (const [index, leaf] of pfsInputs(input).entries()) {
    const commit = commits[index];
    if (commit) versions.set(leaf, commit);
  }
  return (leaf) => {
    const commit = versions.get(leaf);
    return commit && { commit: commit.id, root: rootOf(commit) };
  };
}

async function plannedOf(
  reader: BlobReader,
  recipe: Recipe,
  leaves: readonly PfsInput[],
  datum: Datum,
): Promise<PlannedDatum> {
  const key: Hash = datumKey(recipe, await inputDocument(reader, datum));
  return { datum, key, rows: rowsFor(datum, leaves) };
}
