/**
 * What a job does between its beginning and its end: plans its datums, runs those that must be run,
 * and makes one commit of all.
 */
import { PachError } from '../base/errors.ts';
import { Queue } from '../base/queue.ts';
import { mapFormat, type MapItem } from '../model/map.ts';
import { applyEdits } from '../model/ordered-edit.ts';
import type { DatumCounts, JobId, OutsideLinks } from '../model/records/pipelines.ts';
import type { Ref } from '../model/refs.ts';
import type { Directory } from '../versions/directories.ts';
import { commitFiles, committed } from '../versions/edit.ts';
import { rootOf, type Commit } from '../versions/snapshot.ts';
import { Counting } from './counts.ts';
import { jobVariables } from '../execution/workers/environment.ts';
import { tellOf, type JobEvent, type Tell } from './events.ts';
import type { StartOptions, Started } from './job-start.ts';
import type { JobWatch } from './job-watch.ts';
import { maybeJob, setJob, type Job } from '../pipelines/jobs/jobs.ts';
import { endLease } from '../pipelines/jobs/lease.ts';
import { unionOf, type UnionOptions, type UnionResult } from '../results/outputs.ts';
import { datumItem, isNone, planJob, type BaseJob } from '../pipelines/jobs/plan.ts';
import { Recheck, type Rechecked } from '../results/recheck.ts';
import type { Publisher } from '../results/publisher.ts';
import type { Result } from '../pipelines/jobs/results.ts';
import type { PlannedDatum } from '../pipelines/jobs/planned.ts';
import type { WorkEvent } from '../execution/events.ts';
import type { Pool } from '../execution/pool.ts';

/** `branch` is where its output goes. */
export interface JobOptions extends StartOptions {
  /** Runs the datums. */
  readonly pool: Pool;
  /** A folder of this machine for logs while the job runs. */
  readonly logs: (job: JobId) => Promise<string>;
  /** Datums with results that are run again, to compare. */
  readonly recompute: number;
  readonly signal: AbortSignal;
  readonly tell: Tell;
}

export interface JobResult {
  readonly job: Job;
  /** Output before, and now; the same one when nothing changed. */
  readonly before: Commit | undefined;
  readonly after: Commit | undefined;
  /** Datums that were run again; undefined where none were to be. */
  readonly recomputed: readonly Rechecked[] | undefined;
  /** Of the datums that it looked at. */
  readonly outside: OutsideLinks | undefined;
}

/** Enough that workers never wait, and few enough to hold. */
const queuedMax = 10_000;
/** More new nodes than these may not be in memory any more when they are read. */
const editsReadAtOnce = 5000;

export interface JobStart extends Started {
  readonly base: BaseJob | undefined;
}

export class JobRun implements Disposable {
  private readonly options: JobOptions;
  private readonly start: JobStart;
  private readonly watch: JobWatch;
  /** Tells what happens to this job. */
  readonly tell: (event: WorkEvent | JobEvent) => void;
  private readonly counting: Counting;
  /** Items of the datums' map, by key as latin1; undefined for what is gone. */
  private readonly edits = new Map<string, MapItem | undefined>();
  private readonly recheck: Recheck;
  private isIncremental = false;
  private outside: OutsideLinks | undefined;

  constructor(options: JobOptions, start: JobStart, watch: JobWatch) {
    this.options = options;
    this.start = start;
    this.watch = watch;
    this.tell = tellOf(options.tell, start.job);
    this.counting = new Counting(this.tell);
    this.recheck = new Recheck(options.project.reader, options.recompute);
  }

  [Symbol.dispose](): void {
    this.counting[Symbol.dispose]();
  }

  /** Plans and runs all datums; their results are published when it resolves. */
  async datums(publisher: Publisher): Promise<void> {
    const { options, start } = this;
    const { project, pipeline, inputs, pool, signal } = options;
    const { job, recipe, base } = start;
    const { snapshot } = start.begun;
    const { spec } = pipeline;
    const everything = spec.reprocess === 'every_job';
    const comparable = options.recompute > 0 ? undefined : base;
    const plan = await planJob({ snapshot, spec, recipe, inputs, base: comparable, everything, job: job.id });
    this.isIncremental = plan.isIncremental;
    const queue = new Queue<PlannedDatum>(queuedMax);
    const specHash = pipeline.specRef.hash.toString('hex');
    const running = pool.run({
      spec,
      job: job.id,
      env: jobVariables(spec, { job: job.id, project: project.options.name, specHash }),
      queue,
      reader: snapshot.reader,
      publisher,
      logs: await options.logs(job.id),
      signal,
      tell: this.tell,
      done: (planned, result) => this.done(planned, result),
    });
    running.catch(() => queue.drop());
    try {
      for await (const step of plan.steps()) {
        options.signal.throwIfAborted();
        if (step.kind === 'gone') this.gone(step.id);
        else if (step.kind === 'known' && !this.recheck.wants(step.planned, step.result)) {
          this.known(step.planned, step.result);
        } else {
          this.counting.toRun();
          await queue.add({ ...step.planned, isRecheck: step.kind === 'known' });
        }
      }
      this.counting.planned();
    } finally {
      queue.end();
      try {
        await running;
      } finally {
        this.tell({ kind: 'waiting', for: 'publication' });
        await publisher.flush();
      }
      await this.recheck.end();
    }
    options.signal.throwIfAborted();
  }

  /** Makes the output commit and writes down how the job ended. */
  async finish(): Promise<JobResult> {
    const { project, pipeline, branch } = this.options;
    const { base, begun } = this.start;
    const { ref: datums, entries } = await this.datumMap();
    const counts = this.counting.counts(entries);
    let union: UnionResult | undefined;
    let reason = counts.failed > 0 ? `${counts.failed} of ${counts.total} datums failed` : '';
    try {
      union = await unionOf({
        reader: project.reader,
        upload: begun.upload,
        before: base && outputOf(base),
        datums,
        now: this.start.job.started,
        signal: this.options.signal,
      });
    } catch (error) {
      if (!(error instanceof PachError) || error.code !== 'conflict') throw error;
      reason = error.message;
    }
    const state = reason === '' ? 'success' : 'failure';
    return project.update(
      `job of ${pipeline.name}`,
      async (change) => {
        await this.watch.hold(change);
        const head = (await change.snapshot.maybeBranch(pipeline.name, branch))?.head;
        const before = head && (await change.snapshot.commitAt(head.commit));
        const { root: tree, withEmptyFolders } = union ?? {};
        const finished = Date.now();
        const ended = { ...this.start.job, state, reason, counts, finished, datums, withEmptyFolders } as const;
        const provenance = usedCommits(this.start.job.inputs);
        const message = `job of ${pipeline.name}, version ${pipeline.version}`;
        const { id, started } = ended;
        const commit = { id, repo: pipeline.name, branch, message, provenance, started };
        let after = before;
        if (!tree) after = undefined;
        else if (state === 'failure') after = await change.commitAside({ ...commit, tree });
        else if (!before || !this.isSame(before, tree)) {
          after = committed(await commitFiles(change, commit, { kind: 'output', tree }));
        }
        const baseNow = base && (await maybeJob(change.snapshot, base.job.id));
        // A datum that was restarted since this job began is for the next one.
        const restarted = (baseNow?.restarted ?? false) && !base?.job.restarted;
        const job = { ...ended, output: after?.id, restarted };
        setJob(change, job);
        // It stays the base of the next job, which has all of it now.
        if (base?.job.restarted && baseNow && after?.id === base.output.id) {
          setJob(change, { ...baseNow, restarted: false });
        }
        endLease(change, this.start.job);
        const recomputed = this.options.recompute > 0 ? this.recheck.compared : undefined;
        return { job, before, after, recomputed, outside: this.outside };
      },
      begun,
    );
  }

  /** Writes down that it did not come to its end; what was published of it stays. */
  async abandon(state: 'killed' | 'failure', reason: string): Promise<Job> {
    const { project, pipeline } = this.options;
    const counts: DatumCounts = this.counting.counts(undefined);
    return project.update(`job of ${pipeline.name}`, async (change) => {
      await this.watch.holdLease(change);
      const isStopped = (await maybeJob(change.snapshot, this.start.job.id))?.stopping === true;
      const why = isStopped ? 'it was stopped' : reason;
      const job = { ...this.start.job, state, reason: why, counts, finished: Date.now() };
      setJob(change, job);
      endLease(change, this.start.job);
      return job;
    });
  }

  private done(planned: PlannedDatum, result: Result): void {
    const { counting } = this;
    const known = this.recheck.take(planned);
    if (known) this.recheck.compare(planned, known, result);
    else counting.ran(result.outcome.state);
    this.keep(planned, known ?? result);
    if (known) counting.skipped();
  }

  private known(planned: PlannedDatum, result: Result): void {
    // A job that goes on finds its own results.
    this.counting.known(result.outcome.job === this.start.job.id, result.outcome.state);
    this.keep(planned, result);
  }

  private keep(planned: PlannedDatum, result: Result): void {
    const item = datumItem(planned, result);
    const { outside } = result.outcome;
    if (outside) this.outside = { ...outside, links: outside.links + (this.outside?.links ?? 0) };
    this.edits.set(item.key.toString('latin1'), item);
  }

  private gone(id: string): void {
    this.edits.set(Buffer.from(id, 'hex').toString('latin1'), undefined);
  }

  private async datumMap(): Promise<{ ref: Ref; entries: number }> {
    const { reader } = this.options.project;
    const { upload } = this.start.begun;
    const edits = [...this.edits.keys()].sort().map((key) => ({
      key: Buffer.from(key, 'latin1'),
      item: this.edits.get(key),
    }));
    const before = this.isIncremental ? this.start.base?.job.datums : undefined;
    const map = await applyEdits({ source: reader, sink: upload.nodes }, mapFormat, before, edits);
    if (edits.length > editsReadAtOnce) await upload.finish();
    return map;
  }

  /** True when the branch's head is what this job would commit: the same files from the same versions and spec. */
  private isSame(head: Commit, root: Directory): boolean {
    const { base, job } = this.start;
    if (base?.output.id !== head.id || !head.tree.hash.equals(root.ref.hash)) return false;
    const same = job.inputs.every(({ commit }, index) => commit === base.job.inputs[index]?.commit);
    return same && base.job.inputs.length === job.inputs.length && base.job.spec.hash.equals(job.spec.hash);
  }
}

/** What a job's output begins with; nothing where that has no empty folders, though datums made them. */
function outputOf({ job: { datums, withEmptyFolders }, output }: BaseJob): UnionOptions['before'] {
  if (!datums || withEmptyFolders === undefined) return undefined;
  return { datums, root: rootOf(output), withEmptyFolders };
}

/** Each version once, without branches that had no commits. */
function usedCommits(inputs: Job['inputs']): Job['inputs'] {
  const used = inputs.filter(({ commit }) => !isNone(commit));
  return used.filter(({ repo, commit }, index) => {
    return used.findIndex((other) => other.repo === repo && other.commit === commit) === index;
  });
}
