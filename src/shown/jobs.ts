/**
 * Jobs as programs are shown them.
 */
import { isNone, type Job } from '../pipelines/jobs/jobs.ts';

export interface JobInfo {
  readonly job: string;
  readonly pipeline: string;
  readonly version: number;
  readonly branch: string;
  readonly state: string;
  readonly reason: string;
  readonly started: string;
  /** Null, as `seconds`, while it runs. */
  readonly finished: string | null;
  readonly seconds: number | null;
  readonly executor: string;
  readonly commit: string | null;
  readonly datums: Job['counts'];
  readonly inputs: readonly { readonly repo: string; readonly branch: string; readonly commit: string | null }[];
  readonly code: string | null;
}

export const jobJson =
  '{job, pipeline, version, branch, state, reason, started, finished, seconds, executor, commit, datums: {total, processed, skipped, failed, recovered}, inputs, code}; state: running, success, failure, killed, rejected (its output did not meet dev.expect) or unrunnable';

export function jobInfo(job: Job): JobInfo {
  const { finished, started } = job;
  return {
    job: job.id,
    pipeline: job.pipeline,
    version: job.pipelineVersion,
    branch: job.branch,
    state: job.state,
    reason: job.reason,
    started: new Date(started).toISOString(),
    finished: finished === undefined ? null : new Date(finished).toISOString(),
    seconds: secondsOf(job),
    executor: job.executor,
    commit: job.output ?? null,
    datums: job.counts,
    inputs: job.inputs.map(({ repo, branch, commit }) => ({ repo, branch, commit: isNone(commit) ? null : commit })),
    code: job.codeOrigin || null,
  };
}

/** How long a job took; null while it runs. */
export function secondsOf({ started, finished }: Pick<Job, 'started' | 'finished'>): number | null {
  return finished === undefined ? null : (finished - started) / 1000;
}
