/**
 * What goes along with outputs of pipelines, so that nothing is computed again on the other side: the
 * pipelines with their code, jobs, and results of datums.
 */
import { mapFormat, type MapItem } from '../model/map.ts';
import { diffAcross } from '../model/ordered-diff.ts';
import { decodeJobEntry, encodeJobEntry } from '../model/records/job-entry.ts';
import { decodeJob, decodeOutcome, encodeJob, jobRefList, jobRefs } from '../model/records/pipelines.ts';
import { encodePipeline } from '../model/records/pipeline.ts';
import { decodePurged } from '../model/records/transfer.ts';
import { codeBytes } from '../pipelines/editing/versions.ts';
import { isHeld, maybeLease } from '../pipelines/jobs/lease.ts';
import { maybePipeline, type Pipeline } from '../pipelines/pipelines.ts';
import { pfsInputs } from '../pipelines/spec/input.ts';
import type { BranchName } from '../versions/edit.ts';
import {
  checkKey,
  failedKey,
  jobKey,
  jobTimePrefix,
  lastPart,
  pipelineKey,
  purgedPrefix,
  resultsPrefix,
  ticksKey,
} from '../versions/ref-keys.ts';
import type { Commit, Snapshot } from '../versions/snapshot.ts';

/** A pipeline that the target lacks; `branch`: what it is on a branch of its own. */
export interface MovedPipeline {
  readonly pipeline: Pipeline;
  readonly branch: string | undefined;
  readonly item: MapItem;
}

/** A pipeline that keeps its output from being moved, and why. */
export interface PipelineProblem {
  readonly name: string;
  readonly problem: 'other' | 'running';
}

export interface Outputs {
  readonly pipelines: readonly MovedPipeline[];
  /** Pipelines that are the same on both sides then. */
  readonly names: ReadonlySet<string>;
  /** Of the map of refs, as the source has them: jobs, results, and what stands beside commits. */
  readonly items: readonly MapItem[];
  /** Commits of jobs that only their ids lead to. */
  readonly aside: readonly Commit[];
  /** Repos that the pipelines read. */
  readonly inputs: readonly string[];
  readonly problems: readonly PipelineProblem[];
  readonly jobs: number;
  readonly results: number;
  /** Results stay, since they may hold what was purged in the target. */
  readonly withheld: boolean;
}

export const noOutputs: Outputs = {
  pipelines: [],
  names: new Set(),
  items: [],
  aside: [],
  inputs: [],
  problems: [],
  jobs: 0,
  results: 0,
  withheld: false,
};

/** What goes along with these branches, as far as they are outputs, and results of some more pipelines. */
export async function outputsOf(
  source: Snapshot,
  target: Snapshot,
  { branches, resultsOf }: { readonly branches: readonly BranchName[]; readonly resultsOf: readonly string[] },
): Promise<Outputs> {
  const planner = new OutputsPlanner(source, target, await mayHoldPurged(source, target));
  for (const { repo, branch } of branches) await planner.add(repo, branch);
  await planner.addResults(resultsOf);
  return planner.outputs();
}

/** True when something was purged in the target that results of the source may still hold. */
async function mayHoldPurged(source: Snapshot, target: Snapshot): Promise<boolean> {
  for await (const { key } of target.items(purgedPrefix)) {
    const own = await source.item(key);
    if (!own || decodePurged(own.value).olderResults) return true;
  }
  return false;
}

class OutputsPlanner {
  private readonly source: Snapshot;
  private readonly target: Snapshot;
  private readonly withheld: boolean;
  private readonly pipelines: MovedPipeline[] = [];
  private readonly names = new Set<string>();
  private readonly inputs = new Set<string>();
  private readonly problems: PipelineProblem[] = [];
  private readonly items: MapItem[] = [];
  private readonly aside: Commit[] = [];
  private jobs = 0;
  private results = 0;

  constructor(source: Snapshot, target: Snapshot, withheld: boolean) {
    this.source = source;
    this.target = target;
    this.withheld = withheld;
  }

  outputs(): Outputs {
    const { pipelines, names, items, aside, inputs, problems, jobs, results, withheld } = this;
    return { pipelines, names, items, aside, inputs: [...inputs], problems, jobs, results, withheld };
  }

  async add(name: string, branch: string): Promise<void> {
    const production = await maybePipeline(this.source, name);
    const isOutput = production?.spec.outputBranch === branch;
    const own = await maybePipeline(this.source, name, branch);
    if (isOutput) await this.addPipeline(production, undefined);
    if (own) await this.addPipeline(own, branch);
    if (production || own) await this.addJobs(name, branch);
  }

  /** What the target lacks of the results of all these pipelines, and of some more. */
  async addResults(more: readonly string[]): Promise<void> {
    const names = new Set([...this.names, ...more]);
    if (this.withheld || names.size === 0) return;
    const [before, after] = [this.target, this.source].map(({ reader, head }) => ({ source: reader, root: head.refs }));
    if (!before || !after) return;
    const differences = diffAcross<MapItem, { entries: number }>(mapFormat, before, after, resultsPrefix);
    for await (const { old, new: item } of differences) {
      if (old || !item || !names.has(decodeOutcome(item.value).pipeline)) continue;
      this.items.push(item);
      this.results += 1;
    }
  }

  private async addPipeline(pipeline: Pipeline, branch: string | undefined): Promise<void> {
    const { name } = pipeline;
    const lease = await maybeLease(this.target, { pipeline: name, branch: branch ?? pipeline.spec.outputBranch });
    const there = await maybePipeline(this.target, name, branch);
    if (lease && isHeld(lease)) this.problems.push({ name, problem: 'running' });
    if (there && !(await this.isSame(pipeline, there))) this.problems.push({ name, problem: 'other' });
    this.names.add(name);
    for (const { repo } of pfsInputs(pipeline.spec.input)) this.inputs.add(repo);
    if (there) return;
    const item = await this.source.item(pipelineKey(name, branch));
    // It was promoted where this store is used, not where the other is.
    const value = encodePipeline({ ...pipeline, place: undefined, pinned: undefined });
    if (item) this.pipelines.push({ pipeline, branch, item: pipeline.place === undefined ? item : { ...item, value } });
    await this.addLacking(ticksKey(name, ''));
  }

  /** True for two that find each other's results. */
  private async isSame(a: Pipeline, b: Pipeline): Promise<boolean> {
    if (!a.specRef.hash.equals(b.specRef.hash) || a.salt !== b.salt) return false;
    const [own, other] = await Promise.all([codeBytes(this.source.reader, a), codeBytes(this.target.reader, b)]);
    return own.equals(other);
  }

  private async addJobs(name: string, branch: string): Promise<void> {
    for await (const entry of this.source.items(jobTimePrefix(name, branch))) {
      const id = lastPart(entry.key);
      const item = await this.source.item(jobKey(id));
      if (!item || (await this.target.item(item.key))) continue;
      const job = decodeJob(item.value);
      // Its engine has more to write down of it.
      if (job.state === 'running') continue;
      this.jobs += 1;
      const commit = await this.source.maybeCommit(name, job.id);
      if (commit) this.aside.push(commit);
      const beside = this.withheld ? [] : [failedKey(name, job.id), checkKey(name, job.id)];
      for (const key of beside) await this.addLacking(key);
      if (!this.withheld) {
        this.items.push(item, entry);
        continue;
      }
      const refs = jobRefList({ ...jobRefs(job, item.refs), datums: undefined });
      const value = encodeJobEntry({ ...decodeJobEntry(entry.value), indexed: undefined });
      this.items.push({ ...item, value: encodeJob({ ...job, hasDatums: false }), refs }, { ...entry, value, refs: [] });
    }
  }

  private async addLacking(prefix: Buffer): Promise<void> {
    for await (const item of this.source.items(prefix)) {
      if (!(await this.target.item(item.key))) this.items.push(item);
    }
  }
}
