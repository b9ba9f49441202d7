/**
 * The datums of a job: planned, run where they have no result, and put down in the job's map.
 */
import { abortable } from '../base/async.ts';
import { Queue } from '../base/queue.ts';
import type { Pool } from '../execution/pool.ts';
import { jobVariables } from '../execution/workers/environment.ts';
import type { DatumCounts, JobId, OutsideLinks } from '../model/records/pipelines.ts';
import type { Ref } from '../model/refs.ts';
import { planJob, type BaseJob, type JobPlan } from '../pipelines/jobs/plan.ts';
import type { PlannedDatum } from '../pipelines/jobs/planned.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import type { Result } from '../pipelines/jobs/results.ts';
import type { Publisher } from '../results/publisher.ts';
import { Recheck, type Rechecked } from '../results/recheck.ts';
import { Counting } from './counts.ts';
import { DatumEdits } from './datum-edits.ts';
import type { DatumOrder } from './datum-order.ts';
import { tellOf, type Tell, type TellOfJob } from './events.ts';
import type { StartOptions, Started } from './job-start.ts';

/** `branch` is where its output goes. */
export interface JobOptions extends StartOptions {
  /** Runs the datums. */
  readonly pool: Pool;
  /** A folder of this machine for logs while the job runs. */
  readonly logs: (job: JobId) => Promise<string>;
  /** Datums with results that are run again, to compare. */
  readonly recompute: number;
  /** In which order datums run; as they are planned where it is not said. */
  readonly order?: DatumOrder | undefined;
  readonly signal: AbortSignal;
  readonly tell: Tell;
}

export interface JobStart extends Started {
  readonly base: BaseJob | undefined;
}

/** What came of all datums of a job. */
export interface JobDatums {
  /** The job's map of its datums. */
  readonly map: Ref;
  readonly counts: DatumCounts;
  /** Those of its datums that failed, where it may succeed without them. */
  readonly failed: Ref | undefined;
  /** Datums that were run again; undefined where none were to be. */
  readonly recomputed: readonly Rechecked[] | undefined;
  /** Of the datums that it looked at. */
  readonly outside: OutsideLinks | undefined;
}

/** True where a job succeeds though datums failed: not where there is nothing but failures. */
function mayLeaveOut({ onDatumFailure }: PipelineSpec, { failed, total }: DatumCounts): boolean {
  return onDatumFailure === 'skip' && failed < total;
}

/** Enough that workers never wait, and few enough to hold. */
const queuedMax = 10_000;
/** What workers say is heard as often while datums are planned, which from memory would go on without a pause. */
const planTurnMs = 0.5;

export class JobRun implements Disposable {
  private readonly options: JobOptions;
  private readonly start: JobStart;
  /** Tells what happens to this job. */
  readonly tell: TellOfJob;
  private readonly counting: Counting;
  private readonly edits = new DatumEdits();
  private readonly recheck: Recheck;

  constructor(options: JobOptions, start: JobStart) {
    this.options = options;
    this.start = start;
    this.tell = tellOf(options.tell, start.job);
    this.counting = new Counting(this.tell);
    this.recheck = new Recheck(options.project.reader, options.recompute);
  }

  [Symbol.dispose](): void {
    this.counting[Symbol.dispose]();
  }

  /** How far it is. */
  get counts(): DatumCounts {
    return this.counting.counts(undefined);
  }

  /** Plans and runs all datums; their results are published when it resolves. */
  async run(publisher: Publisher): Promise<JobDatums> {
    const { project, pipeline, inputs, recompute, place, signal } = this.options;
    const { begun, job, recipe, base } = this.start;
    const { spec } = pipeline;
    const plan = await planJob({
      snapshot: begun.snapshot,
      spec,
      recipe,
      inputs,
      base: recompute > 0 ? undefined : base,
      everything: spec.reprocess === 'every_job',
      job: job.id,
      place,
    });
    const queue = new Queue<PlannedDatum>(queuedMax, this.options.order);
    const running = this.runQueue(queue, publisher, await this.options.logs(job.id));
    running.catch(() => queue.drop());
    try {
      await this.enqueue(queue, plan);
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
    signal.throwIfAborted();
    const before = plan.isIncremental ? base?.job.datums : undefined;
    const { ref: map, entries } = await this.edits.store(before, project.reader, begun.upload);
    const counts = this.counting.counts(entries);
    const maySucceed = counts.failed > 0 && mayLeaveOut(spec, counts);
    const failed = maySucceed ? await this.edits.storeFailed(project.reader, begun.upload) : undefined;
    const recomputed = recompute > 0 ? this.recheck.compared : undefined;
    return { map, counts, failed, recomputed, outside: this.edits.outside };
  }

  /** Queues the datums that are to run; the others are done. */
  private async enqueue(queue: Queue<PlannedDatum>, plan: JobPlan): Promise<void> {
    for await (const step of abortable(plan.steps(), this.options.signal, planTurnMs)) {
      if (step.kind === 'gone') this.edits.delete(step.id);
      else if (step.kind === 'known' && !this.recheck.wants(step.planned, step.result)) {
        this.known(step.planned, step.result);
      } else {
        this.counting.toRun();
        await queue.add({ ...step.planned, isRecheck: step.kind === 'known' });
      }
    }
    this.counting.planned();
  }

  private async runQueue(queue: Queue<PlannedDatum>, publisher: Publisher, logs: string): Promise<void> {
    const { project, pipeline, pool, signal } = this.options;
    const { begun, job } = this.start;
    const { spec, specRef } = pipeline;
    const specHash = specRef.hash.toString('hex');
    const read = await Promise.all(job.inputs.map(({ repo, commit }) => begun.snapshot.maybeCommit(repo, commit)));
    return pool.run({
      spec,
      job: job.id,
      env: jobVariables(spec, { job: job.id, project: project.options.name, specHash }),
      queue,
      reader: begun.snapshot.reader,
      isCommitted: true,
      mayRefer: read.some((commit) => commit?.references),
      publisher,
      logs,
      signal,
      tell: this.tell,
      done: (planned, result) => this.done(planned, result),
    });
  }

  private done(planned: PlannedDatum, result: Result): void {
    const { counting } = this;
    const known = this.recheck.take(planned);
    if (known) this.recheck.compare(planned, known, result);
    else counting.ran(result.outcome.state);
    this.edits.set(planned, known ?? result);
    if (known) counting.skipped();
  }

  private known(planned: PlannedDatum, result: Result): void {
    // A job that goes on finds its own results.
    const { job, goesOn } = this.start;
    this.counting.known(goesOn && result.outcome.job === job.id, result.outcome.state);
    this.edits.set(planned, result);
  }
}
