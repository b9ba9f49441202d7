/**
 * One job: a pipeline's command over all datums of its inputs' versions, and the commit that comes
 * of it. Whatever dies in the middle, the same job goes on when it is run again, and what was
 * published of it is not computed twice.
 *
 * The states of its entry in the store:
 *
 *   running ─┬─▶ success     its output is committed to its branch
 *            ├─▶ rejected    its output does not meet an expectation; it is committed aside
 *            ├─▶ failure     datums failed, or two wrote the same file; its output is committed aside
 *            │               the engine itself failed: the error is thrown too
 *            ├─▶ killed      it was stopped or took too long: there is no output
 *            │               it was interrupted, or another one replaces it: the error is thrown too
 *            └─▶ running     garbage was collected that it relied on: it starts again
 *                            another engine has its lease, the store is away, or this engine ends
 *                            and leaves it to the next one: the error is thrown, and whoever runs it
 *                            next goes on with it
 *   unrunnable               it never ran, since what it reads did not succeed (unrunnable.ts)
 */
import { timerMsMax } from '../base/async.ts';
import { PachError } from '../base/errors.ts';
import type { JobId } from '../model/records/pipelines.ts';
import type { Job } from '../pipelines/jobs/jobs.ts';
import { endRun, leaseHolder, type Holder } from '../pipelines/jobs/lease.ts';
import { baseOf } from '../pipelines/jobs/plan.ts';
import { Publisher } from '../results/publisher.ts';
import { byEngine } from '../versions/publish.ts';
import { CollectedError, collectedOr } from '../versions/renew.ts';
import { tellOf } from './events.ts';
import { abandonJob, finishJob, leaveJob, type EndOptions, type JobResult } from './job-end.ts';
import { JobRun, type JobOptions } from './job-run.ts';
import { startJob, type Started } from './job-start.ts';
import { JobWatch } from './job-watch.ts';
import { outcomeOf, type JobEnd } from './outcome.ts';
import { outputChanges } from './output-changes.ts';
import { HandedOverError, ReplacedError } from './replaced.ts';

/** A job goes on after so many collections of garbage that took away what it relied on. */
const collectionsMax = 3;

/**
 * Runs a job to its end. A datum that fails makes a failed job, and one that takes too long a
 * killed one: both are results. Throws `conflict` when another engine runs the pipeline, the
 * signal's reason when it was stopped, and what keeps the engine itself from working.
 */
export async function runJob(options: JobOptions): Promise<JobResult> {
  const holder = leaseHolder(options.project.options.author);
  using _ = { [Symbol.dispose]: () => endRun(holder) };
  for (let left = collectionsMax; ; left -= 1) {
    try {
      return await runOnce(options, holder, left > 0);
    } catch (error) {
      if (left === 0 || !(error instanceof CollectedError) || options.signal.aborted) throw error;
    }
  }
}

/** Starts it, or goes on with it, and tells how it ended. `CollectedError` leaves it as it is where it `mayGoOn`. */
async function runOnce(options: JobOptions, holder: Holder, mayGoOn: boolean): Promise<JobResult> {
  const started = await startJob(options, holder);
  const tell = tellOf(options.tell, started.job);
  tell({ kind: 'job-started', executor: started.job.executor });
  const end = await runStarted(options, started, { holder, mayGoOn })
    .then((ran) => compared(options, ran))
    .catch((error: unknown) => ({ error }));
  tell({ kind: 'job-ended', outcome: outcomeOf(end, mayGoOn && !options.signal.aborted) });
  if ('error' in end) throw end.error;
  return end.result;
}

/** How a started job came to its end, before its output is compared with the one before. */
type Ran = { readonly result: JobResult } | Extract<JobEnd, { error: unknown }>;

/** Finds out what a job changed in its output. */
async function compared({ project }: JobOptions, ran: Ran): Promise<JobEnd> {
  if ('error' in ran) return ran;
  const { result } = ran;
  try {
    return { result, output: await outputChanges(project, result) };
  } catch (error) {
    return { error, job: result.job };
  }
}

/** Runs the datums, and writes down how the job ended. Rejects where not even that could begin. */
async function runStarted(
  options: JobOptions,
  started: Started,
  { holder, mayGoOn }: { readonly holder: Holder; readonly mayGoOn: boolean },
): Promise<Ran> {
  const { project, pipeline, inputs } = options;
  const { job } = started;
  await using begun = started.begun;
  const base = await baseOf(begun.snapshot, pipeline.name, options.branch);
  using watch = new JobWatch({ project, job, inputs, holder });
  const stop = new AbortController();
  const { jobTimeoutMs } = pipeline.spec;
  const timer = jobTimeoutMs && setTimeout(() => stop.abort(tooLong(job.id)), Math.min(jobTimeoutMs, timerMsMax));
  const broken = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal, watch.signal, broken.signal]);
  const ends: EndOptions = { options: { ...options, signal }, start: { ...started, base }, watch };
  using run = new JobRun(ends.options, ends.start);
  await using publisher = new Publisher({
    project,
    what: byEngine(`results of ${pipeline.name}`),
    also: (change) => watch.hold(change),
    published: (results) => run.tell({ kind: 'published', results }),
    failed: (error) => broken.abort(error),
    place: options.place,
  });
  try {
    return { result: await finishJob(ends, await run.run(publisher), publisher) };
  } catch (thrown) {
    const isKept = await publisher.flush().then(
      () => true,
      () => false, // the error before says more
    );
    const error = await collectedOr(project, begun.upload, signal.aborted ? signal.reason : thrown);
    if (watch.isLost || (mayGoOn && error instanceof CollectedError)) return { error };
    if (options.signal.reason instanceof HandedOverError) {
      await leaveJob(ends).catch(() => undefined);
      return { error: options.signal.reason };
    }
    const isStopped = options.signal.aborted || stop.signal.aborted || watch.isStopped;
    const reason = options.signal.aborted ? interruption(options.signal) : reasonOf(error, isStopped);
    const state = isStopped ? 'killed' : 'failure';
    const ended = await abandonJob(ends, { state, reason, counts: run.counts }).catch(() => undefined);
    if (ended && isKept && options.signal.aborted) return { error: interrupted(options, ended), job: ended };
    if (!ended || !isStopped || options.signal.aborted) return { error, job: ended };
    const result = { job: ended, before: base?.output, after: undefined, recomputed: undefined, outside: undefined };
    return { result };
  } finally {
    clearTimeout(timer || undefined);
  }
}

/** What is left of a job that was broken off from outside. */
function interrupted({ pipeline, branch, signal }: JobOptions, { id, counts }: Job): PachError {
  const { processed, skipped } = counts;
  const datums = `${processed} ${processed === 1 ? 'datum' : 'datums'}`;
  const kept = processed === 0 ? 'it had computed nothing yet' : `the results of ${datums} that it computed are kept`;
  const taken = skipped === 0 ? '' : `, as are ${skipped} that were computed before`;
  return new PachError('interrupted', {
    what: `job ${id} of ${pipeline.name}`,
    why: `${interruption(signal)}: ${kept}${taken}; its output branch is unchanged`,
    next: `pach run pipeline ${pipeline.name}${branch === pipeline.spec.outputBranch ? '' : ` --branch ${branch}`}`,
  });
}

/** Why a job was broken off from outside. */
function interruption({ reason }: AbortSignal): string {
  return reason instanceof ReplacedError ? reason.why : 'it was interrupted';
}

/** Why a job came to no end, for people who know which job it is. */
function reasonOf(error: unknown, isStopped: boolean): string {
  if (error instanceof PachError) return isStopped ? error.why : error.message;
  return `the engine failed: ${error instanceof Error ? error.message : String(error)}`;
}

/** The reason of a job that ended so. */
export const tookTooLong = 'it took longer than job_timeout allows';

function tooLong(job: JobId): PachError {
  return new PachError('failed', { what: `job ${job}`, why: tookTooLong });
}
