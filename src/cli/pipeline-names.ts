/**
 * What pipelines, jobs and datums are called and how they are shown.
 */
import { findJob, listJobs, type Job, type JobDatum } from '../pipelines/jobs/jobs.ts';
import { isNone } from '../pipelines/jobs/plan.ts';
import { hasPipeline } from '../pipelines/pipelines.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { timeText } from './text.ts';
import type { Columns } from './output.ts';

export interface JobInfo {
  readonly job: string;
  readonly pipeline: string;
  readonly version: number;
  readonly branch: string;
  readonly state: string;
  readonly reason: string;
  readonly started: string;
  readonly finished: string | null;
  readonly seconds: number | null;
  readonly executor: string;
  readonly commit: string | null;
  readonly datums: Job['counts'];
  readonly inputs: readonly { readonly repo: string; readonly branch: string; readonly commit: string | null }[];
  readonly code: string | null;
}

export const jobJson =
  '{job, pipeline, version, branch, state, reason, started, finished, seconds, executor, commit, datums: {total, processed, skipped, failed, recovered}, inputs, code}; state: running, success, failure, killed or unrunnable';

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

export function secondsOf({ started, finished }: Job): number | null {
  return finished === undefined ? null : (finished - started) / 1000;
}

export const jobColumns: Columns<JobInfo> = [
  ['JOB', (row, { id }) => id(row.job)],
  ['PIPELINE', (row) => row.pipeline],
  ['STARTED', (row) => timeText(row.started)],
  ['SECONDS', (row) => (row.seconds === null ? '-' : row.seconds.toFixed(1))],
  ['DATUMS', ({ datums }) => `${datums.processed + datums.recovered} + ${datums.skipped} / ${datums.total}`],
  ['STATE', (row) => row.state],
];

/** The job that a text names: an id or its beginning; or the newest one of a pipeline. */
export async function jobNamed(snapshot: Snapshot, text: string): Promise<Job> {
  if (await hasPipeline(snapshot, text)) {
    const [newest] = await listJobs(snapshot, text);
    if (newest) return newest;
  }
  return findJob(snapshot, text);
}

export interface DatumInfo {
  readonly id: string;
  readonly state: string;
  readonly files: readonly { readonly repo: string; readonly commit: string; readonly path: string }[];
  readonly why: string;
}

export const datumJson =
  '{id, state, files: [{repo, commit, path}], why}; state: success, skipped, failed, recovered, or new (not computed yet)';

/** What became of a datum in a job: what an earlier one had computed was skipped by this one. */
export function datumState(job: Job, { outcome }: Pick<JobDatum, 'outcome'>): string {
  return outcome.state === 'success' && outcome.job !== job.id ? 'skipped' : outcome.state;
}
