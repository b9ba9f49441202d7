/**
 * All pipelines of a project with how they stand, kept up to date by what differs from one head to the
 * next: what did not change is not looked at, however many pipelines there are.
 */
import { diffOrdered } from '../model/ordered-diff.ts';
import { mapFormat } from '../model/map.ts';
import { decodeJob } from '../model/records/pipelines.ts';
import { isHeld } from '../pipelines/jobs/lease.ts';
import { branchesRead, experimentOn, type Experiment } from '../pipelines/experiment.ts';
import { maybePipeline, type Pipeline } from '../pipelines/pipelines.ts';
import { graphOf } from '../pipelines/spec/graph.ts';
import { pfsInputs } from '../pipelines/spec/input.ts';
import { branchKey, jobKey, lastPart, leaseKey, pipelineKey, repoKey } from '../versions/ref-keys.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { standingOf, type Standing } from './standing.ts';

/** A pipeline, and how it stands. */
export interface Work {
  readonly pipeline: Pipeline;
  readonly standing: Standing;
}

/** What a look at a newer head has shown. */
export interface Moved {
  /** Pipelines that were looked at. */
  readonly looked: ReadonlySet<string>;
  /** Some of them are others now, or gone. */
  readonly hasOthers: boolean;
  /** Some branch is another one now: moved, made, or gone. */
  readonly hasBranches: boolean;
}

export class WorkTable {
  /** Where all outputs go, of pipelines that are something of their own there; undefined: those in production. */
  private readonly branch: string | undefined;
  private experimentNow: Experiment | undefined;
  private snapshot: Snapshot | undefined;
  private readonly all = new Map<string, Work>();
  /** Names of pipelines by the repos that they read, and by `repo@branch`. */
  private readers = new Map<string, Set<string>>();
  private upstream: ReadonlyMap<string, readonly string[]> = new Map();

  constructor(branch?: string) {
    this.branch = branch;
  }

  /** What its pipelines are a part of; undefined: production. */
  get experiment(): Experiment | undefined {
    return this.experimentNow;
  }

  get works(): ReadonlyMap<string, Work> {
    return this.all;
  }

  /** Takes in what a newer head says. Where it throws, the next one makes up for it. */
  async update(snapshot: Snapshot): Promise<Moved> {
    const looked = new Set<string>();
    const changed = new Set<string>();
    for await (const key of this.differing(pipelineKey(''), snapshot)) {
      const [name = '', own] = lastPart(key).split('@');
      if (own === this.branch) changed.add(name);
    }
    const pipelines = new Map([...this.all].map(([name, { pipeline }]) => [name, pipeline]));
    for (const name of changed) {
      const pipeline = await maybePipeline(snapshot, name, this.branch);
      if (pipeline) pipelines.set(name, pipeline);
      else pipelines.delete(name);
      looked.add(name);
    }
    let experiment = this.experimentNow;
    if (this.branch !== undefined && (!experiment || changed.size > 0)) {
      experiment = await experimentOn(snapshot, this.branch);
      // What one of them reads depends on which others there are.
      if (changed.size > 0) for (const name of pipelines.keys()) looked.add(name);
    }
    const readers = changed.size > 0 ? readersIn(pipelines.values(), experiment) : this.readers;
    const branches = new Set<string>();
    // At first all of them are new.
    if (this.snapshot) {
      for await (const key of this.differing(branchKey('', '').subarray(0, -1), snapshot)) branches.add(key.toString());
      for await (const name of this.touched(snapshot, pipelines, readers, branches)) looked.add(name);
    }
    const standings = new Map<string, Standing>();
    for (const name of looked) {
      const pipeline = pipelines.get(name);
      if (pipeline) standings.set(name, await standingOf(snapshot, pipeline, experiment));
    }
    if (changed.size > 0) {
      const specs = [...pipelines.values()].map(({ spec }) => spec);
      this.upstream = graphOf(specs, { isOwn: this.branch !== undefined }).upstream;
      this.readers = readers;
    }
    this.experimentNow = experiment;
    for (const name of looked) this.set(name, pipelines.get(name), standings.get(name));
    this.snapshot = snapshot;
    return { looked, hasOthers: changed.size > 0, hasBranches: branches.size > 0 };
  }

  /** Looks again at those that another engine had, where that is gone by now: nothing in the store says so. */
  async recheck(): Promise<void> {
    for (const [name, { pipeline, standing }] of this.all) {
      if (!this.snapshot || standing.kind !== 'running' || isHeld(standing.lease)) continue;
      this.set(name, pipeline, await standingOf(this.snapshot, pipeline, this.experimentNow));
    }
  }

  /**
   * The pipeline that one waits for: one that it depends on, which is to be run, runs or did not succeed.
   * It would compute from the old output of that one, and again from the new one.
   */
  waitsFor(name: string): string | undefined {
    if (this.mayGoAhead(name)) return undefined;
    // A set takes in what is added while it is walked.
    const all = new Set(this.upstream.get(name));
    for (const above of all) {
      const standing = this.all.get(above)?.standing;
      if (standing?.kind === 'due' || standing?.kind === 'running') return above;
      if (standing?.kind === 'settled' && standing.job.state !== 'success') return above;
      // What a stopped one depends on does not come through.
      if (standing?.kind === 'settled') for (const each of this.upstream.get(above) ?? []) all.add(each);
    }
    return undefined;
  }

  /**
   * All that it reads is made by one pipeline, and that has made something that it has not read yet. Whatever that one does next,
   * this is of one instant; and where commits come without end, it would never be done.
   */
  private mayGoAhead(name: string): boolean {
    const work = this.all.get(name);
    const isNew = work?.standing.kind === 'due' && ['first', 'input'].includes(work.standing.cause);
    if (!isNew) return false;
    const [above] = this.upstream.get(name) ?? [];
    return pfsInputs(work.pipeline.spec.input).every(({ repo }) => repo === above);
  }

  private set(name: string, pipeline: Pipeline | undefined, standing: Standing | undefined): void {
    if (pipeline && standing) this.all.set(name, { pipeline, standing });
    else this.all.delete(name);
  }

  /** Pipelines of which something that counts has changed. */
  private async *touched(
    snapshot: Snapshot,
    pipelines: ReadonlyMap<string, Pipeline>,
    readers: ReadonlyMap<string, ReadonlySet<string>>,
    branches: ReadonlySet<string>,
  ): AsyncGenerator<string> {
    for (const key of branches) {
      const [, repo = '', branch = ''] = key.split('/');
      yield* readers.get(`${repo}@${branch}`) ?? [];
    }
    for await (const key of this.differing(repoKey(''), snapshot)) yield* readers.get(lastPart(key)) ?? [];
    for await (const key of this.differing(leaseKey('', '').subarray(0, -1), snapshot)) {
      const [, name = '', branch] = key.toString().split('/');
      if (this.isOutput(pipelines.get(name), branch)) yield name;
    }
    for await (const { old, new: now } of this.differences(jobKey(''), snapshot)) {
      const item = now ?? old;
      const job = item && decodeJob(item.value);
      if (job && this.isOutput(pipelines.get(job.pipeline), job.branch)) yield job.pipeline;
    }
  }

  private isOutput(pipeline: Pipeline | undefined, branch: string | undefined): boolean {
    return pipeline !== undefined && (this.branch ?? pipeline.spec.outputBranch) === branch;
  }

  private async *differing(prefix: Buffer, snapshot: Snapshot): AsyncGenerator<Buffer> {
    for await (const { key } of this.differences(prefix, snapshot)) yield key;
  }

  private differences(prefix: Buffer, snapshot: Snapshot) {
    return diffOrdered(snapshot.reader, mapFormat, this.snapshot?.head.refs, snapshot.head.refs, prefix);
  }
}

function readersIn(pipelines: Iterable<Pipeline>, experiment: Experiment | undefined): Map<string, Set<string>> {
  const readers = new Map<string, Set<string>>();
  for (const { name, spec } of pipelines) {
    for (const { repo, branch } of branchesRead(spec, experiment)) {
      for (const key of [repo, `${repo}@${branch}`]) readers.set(key, (readers.get(key) ?? new Set()).add(name));
    }
  }
  return readers;
}
