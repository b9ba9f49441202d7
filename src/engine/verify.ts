/**
 * Results that were made elsewhere are made again where a pipeline is to run, and compared. This is a job
 * of its own on a branch that has no commits: its outputs go nowhere. Results that came out the same count
 * from then on as made there.
 */
import { PachError } from '../base/errors.ts';
import { Queue } from '../base/queue.ts';
import type { Executor } from '../execution/executor.ts';
import type { Pool } from '../execution/pool.ts';
import { jobVariables } from '../execution/workers/environment.ts';
import { encodeOutcome, type JobId } from '../model/records/pipelines.ts';
import { draftOf } from '../pipelines/editing/draft.ts';
import type { Experiment } from '../pipelines/experiment.ts';
import {
  dropOldJobs,
  enterJob,
  newestJob,
  setJob,
  verificationBranch as branch,
  type Job,
} from '../pipelines/jobs/jobs.ts';
import { endRun, leaseHolder, takeLease } from '../pipelines/jobs/lease.ts';
import { planJob, type JobInputs, type JobPlan, type Step } from '../pipelines/jobs/plan.ts';
import type { PlannedDatum } from '../pipelines/jobs/planned.ts';
import { maybeResult, type Result } from '../pipelines/jobs/results.ts';
import { specBytes, type Pipeline } from '../pipelines/pipelines.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import { Publisher } from '../results/publisher.ts';
import { Recheck, type Rechecked } from '../results/recheck.ts';
import { newCommitId } from '../versions/change.ts';
import type { Project } from '../versions/project.ts';
import { byEngine } from '../versions/publish.ts';
import { resultKey } from '../versions/ref-keys.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { DatumEdits } from './datum-edits.ts';
import { tellOf, type Tell } from './events.ts';
import { abandonJob } from './job-end.ts';
import { inputCommits, newJob, recipeFor } from './job-start.ts';
import { JobWatch } from './job-watch.ts';
import { inputsOf } from './run-graph.ts';

export interface VerifyOptions {
  readonly project: Project;
  readonly spec: PipelineSpec;
  /** The pipeline as it is run there: its image may be one that is built. */
  prepare(pipeline: Pipeline): Promise<Pipeline>;
  readonly executor: Executor;
  /** Runs the datums. */
  pool(pipeline: Pipeline, inputs: JobInputs): Promise<Pool>;
  /** A folder of this machine for logs while they run. */
  readonly logs: (job: JobId) => Promise<string>;
  /** Where the pipeline is to run: what was made there is not made again. */
  readonly place: string;
  /** What it is to be a part of there; undefined: production. */
  readonly experiment: Experiment | undefined;
  /** How many results at most. */
  readonly count: number;
  readonly signal: AbortSignal;
  readonly tell: Tell;
}

export interface Verified {
  /** Results of the next job that were made elsewhere. */
  readonly elsewhere: number;
  /** Those that were made again. */
  readonly compared: readonly Rechecked[];
  /** Undefined where there was nothing to do. */
  readonly job: Job | undefined;
}

type Known = Extract<Step, { readonly kind: 'known' }>;

/** More than these are not marked by one move of the head. */
const marksMax = 5000;

/** Throws `conflict` where another one runs, and the signal's reason. */
export async function verifyResults(options: VerifyOptions): Promise<Verified> {
  const { project, spec, place, experiment, executor, signal } = options;
  await using begun = await project.begin();
  const { snapshot, upload } = begun;
  await mustBeFree(snapshot, spec.name);
  const draft = await draftOf(project, begun, spec, { reprocess: false, branch: experiment?.branch, signal });
  const pipeline = await options.prepare(draft);
  const inputs = await inputsOf(
    { branch: experiment?.branch, pinned: new Map() },
    snapshot,
    pipeline,
    experiment?.pipelines ?? [],
  );
  const recipe = await recipeFor({ project, pipeline, executor });
  const everything = spec.reprocess === 'every_job';
  const plan = await planJob({ snapshot, spec, recipe, inputs, base: undefined, everything });
  const { elsewhere, chosen } = await choose(plan, options);
  if (chosen.length === 0) return { elsewhere, compared: [], job: undefined };
  const [specRef, recipeRef] = await upload.data.add([{ hash: draft.specRef.hash, bytes: specBytes(spec) }, recipe]);
  if (!specRef || !recipeRef) throw new Error('a spec was not stored');
  const holder = leaseHolder(project.options.author);
  using _ = { [Symbol.dispose]: () => endRun(holder) };
  const job = await project.update(
    byEngine(`verify results of ${spec.name}`),
    async (change) => {
      await takeLease(change, { pipeline: spec.name, branch }, holder);
      const { job: newest } = await newestJob(change.snapshot, spec.name, branch);
      const { executor: ranBy, engine } = { executor: executor.name, engine: holder.holder };
      const refs = { spec: specRef, recipe: recipeRef, inputs: inputCommits(inputs) };
      const next: Job = {
        ...newJob(draft, newest),
        id: newCommitId(),
        branch,
        executor: ranBy,
        engine,
        place,
        ...refs,
      };
      setJob(change, next);
      await enterJob(change, next);
      // What one before it has left says nothing any more.
      await dropOldJobs(change, next, 1);
      return next;
    },
    begun,
  );
  using watch = new JobWatch({ project, job, inputs, holder });
  const run = { ...options, pipeline, inputs, job, watch, chosen };
  try {
    return await compareAll(run, elsewhere);
  } catch (error) {
    const state = signal.aborted || watch.isStopped ? 'killed' : 'failure';
    const reason = error instanceof Error ? error.message : String(error);
    const of = { options: { project, pipeline }, start: { job }, watch };
    if (!watch.isLost) await abandonJob(of, { state, reason, counts: job.counts }).catch(() => undefined);
    throw error;
  }
}

/** Throws `conflict` where somebody's own branch has the name: its jobs would give way to this one. */
async function mustBeFree(snapshot: Snapshot, pipeline: string): Promise<void> {
  if (!(await snapshot.maybeBranch(pipeline, branch))) return;
  const why = 'the job that makes results again needs this name, and none of its outputs goes there';
  throw new PachError('conflict', {
    what: `branch ${pipeline}@${branch}`,
    why,
    next: `pach rename branch ${pipeline}@${branch} NEW`,
  });
}

/**
 * The results that were made elsewhere, and which of them to make again: those with the lowest keys. Keys are
 * hashes, so these are spread over all, and the same ones when it is done again.
 */
async function choose(
  plan: JobPlan,
  { place, count }: Pick<VerifyOptions, 'place' | 'count'>,
): Promise<{ elsewhere: number; chosen: readonly Known[] }> {
  const byKey = (a: Known, b: Known): number => a.planned.key.compare(b.planned.key);
  let elsewhere = 0;
  let chosen: Known[] = [];
  for await (const step of plan.steps()) {
    if (step.kind !== 'known' || step.result.outcome.place === place) continue;
    elsewhere += 1;
    chosen.push(step);
    if (chosen.length > 2 * count) chosen = chosen.sort(byKey).slice(0, count);
  }
  return { elsewhere, chosen: chosen.sort(byKey).slice(0, count) };
}

interface Run extends VerifyOptions {
  readonly pipeline: Pipeline;
  readonly inputs: JobInputs;
  readonly job: Job;
  readonly watch: JobWatch;
  readonly chosen: readonly Known[];
}

async function compareAll(run: Run, elsewhere: number): Promise<Verified> {
  const { project, job, watch, chosen, place } = run;
  const edits = new DatumEdits();
  const recheck = new Recheck(project.reader, chosen.length);
  await runAll(run, (planned, before, after) => {
    edits.set(planned, after);
    recheck.compare(planned, before, after);
  });
  await recheck.end();
  const { compared } = recheck;
  const same = new Set(compared.filter(({ now }) => now === 'same').map(({ id }) => id));
  const marked = chosen.filter(({ planned }) => same.has(planned.datum.id));
  for (let at = 0; at < marked.length; at += marksMax) {
    await project.update(byEngine(`results of ${job.pipeline} are verified`), async (change) => {
      await watch.hold(change);
      for (const { planned, result } of marked.slice(at, at + marksMax)) {
        const now = await maybeResult(change.snapshot, planned.key);
        if (!now?.tree.hash.equals(result.tree.hash)) continue;
        const value = encodeOutcome({ ...now.outcome, place });
        change.set({ key: resultKey(planned.key), value, refs: [now.tree] });
      }
    });
  }
  await using begun = await project.begin();
  const { ref: datums, entries: total } = await edits.store(undefined, project.reader, begun.upload);
  const failed = compared.filter(({ now }) => now === 'failed').length;
  const others = compared.length - same.size;
  const ended: Job = {
    ...job,
    state: others > 0 ? 'failure' : 'success',
    reason: others > 0 ? `${others} of ${total} results are not what was made before` : '',
    counts: { total, processed: total - failed, skipped: 0, failed, recovered: 0 },
    finished: Date.now(),
    datums,
  };
  await project.update(
    byEngine(`verify results of ${job.pipeline}`),
    async (change) => {
      await watch.hold(change);
      setJob(change, ended);
      watch.end(change);
    },
    begun,
  );
  return { elsewhere, compared, job: ended };
}

/** Runs the datums; resolves when what they wrote can be read. */
async function runAll(
  { project, pipeline, inputs, job, watch, chosen, tell: told, ...run }: Run,
  done: (planned: PlannedDatum, before: Result, after: Result) => void,
): Promise<void> {
  const { spec, specRef } = pipeline;
  const broken = new AbortController();
  const signal = AbortSignal.any([run.signal, watch.signal, broken.signal]);
  const tell = tellOf(told, job);
  await using publisher = new Publisher({
    project,
    what: byEngine(`verify results of ${spec.name}`),
    also: (change) => watch.hold(change),
    failed: (error) => broken.abort(error),
  });
  const before = new Map(chosen.map(({ planned, result }) => [planned.datum.id, result]));
  const queue = new Queue<PlannedDatum>(chosen.length);
  for (const { planned } of chosen) await queue.add({ ...planned, isRecheck: true });
  queue.end();
  try {
    const pool = await run.pool(pipeline, inputs);
    await pool.run({
      spec,
      job: job.id,
      env: jobVariables(spec, {
        job: job.id,
        project: project.options.name,
        specHash: specRef.hash.toString('hex'),
      }),
      queue,
      reader: project.reader,
      isCommitted: true,
      mayRefer: inputs.some(({ commit }) => commit?.references),
      publisher,
      logs: await run.logs(job.id),
      signal,
      tell,
      done: (planned, after) => done(planned, before.get(planned.datum.id) as Result, after),
    });
    signal.throwIfAborted();
    await publisher.flush();
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  }
}
