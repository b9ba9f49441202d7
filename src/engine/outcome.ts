/**
 * How a job ended, from what the engine knows of it to what it tells.
 */
import { isPachError } from '../base/errors.ts';
import { isNone, type Job } from '../pipelines/jobs/jobs.ts';
import type { Rechecked } from '../results/recheck.ts';
import { CollectedError } from '../versions/renew.ts';
import type { EndedJob, ErrorData, JobOutcome, RecomputedDatum } from './events.ts';
import type { JobResult } from './job-end.ts';
import type { OutputChanges } from './output-changes.ts';

/** How a started job came to its end: with a result, or with an error that ends the run too. */
export type JobEnd =
  | { readonly result: JobResult; readonly output: OutputChanges | undefined }
  /** `job`: as it was written down, if that could be done. */
  | { readonly error: unknown; readonly job?: Job | undefined };

/** `startsAgain`: where garbage was collected that the job relied on. */
export function outcomeOf(end: JobEnd, startsAgain: boolean): JobOutcome {
  if (!('error' in end)) return endedJob(end.result.job, end);
  if (startsAgain && end.error instanceof CollectedError) return { state: 'again' };
  const error = errorData(end.error);
  return end.job ? { ...endedJob(end.job), error } : { state: 'unfinished', error };
}

export function endedJob(job: Job, end?: Extract<JobEnd, { result: unknown }>): EndedJob {
  const { state, reason, counts, started, finished = started, inputs, output } = job;
  if (state === 'running') throw new Error(`job ${job.id} has not ended`);
  return {
    state,
    reason,
    error: null,
    counts,
    started,
    finished,
    inputs: inputs.map(({ repo, branch, commit }) => ({ repo, branch, commit: isNone(commit) ? null : commit })),
    commit: output ?? null,
    output: end?.output ?? null,
    recomputed: end?.result.recomputed?.map(recomputedDatum) ?? null,
    outside: end?.result.outside ?? null,
  };
}

function recomputedDatum({ id, files, now }: Rechecked): RecomputedDatum {
  return { id, files: files.map(({ input, commit, path }) => ({ repo: input.repo, commit, path })), now };
}

export function errorData(error: unknown): ErrorData {
  const message = error instanceof Error ? error.message : String(error);
  return { code: isPachError(error) ? error.code : 'unexpected', message };
}
