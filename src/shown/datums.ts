/**
 * Datums of a job as programs are shown them.
 */
import type { BlobReader } from '../cache/blobs.ts';
import type { DatumStats } from '../model/records/pipelines.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { maybeFailed } from '../pipelines/jobs/beside.ts';
import { datumsOf, readResult, rowsOf, type Job, type JobDatum } from '../pipelines/jobs/jobs.ts';

/** A file that a datum reads. */
export interface DatumFile {
  readonly repo: string;
  readonly commit: string;
  readonly path: string;
}

export interface DatumInfo {
  readonly id: string;
  readonly state: string;
  readonly files: readonly DatumFile[];
  readonly why: string;
}

export const datumJson =
  '{id, state, files: [{repo, commit, path}], why}; state: success, skipped, failed, recovered, or new (not computed yet)';

/** How an id reads in a sentence: whole, or its beginning. */
export type IdText = (id: string) => string;

async function datumInfo(reader: BlobReader, job: Job, datum: JobDatum, id: IdText): Promise<DatumInfo> {
  const state = datumState(job, datum);
  const { outcome } = datum;
  const why =
    outcome.reason ||
    (state === 'skipped' ? `job ${id(outcome.job)} already computed it with the same key` : 'this job computed it');
  return { id: datum.id, state, files: await datumFiles(reader, job, datum), why };
}

/** All datums of a job, in the order of their ids. */
export async function* datumInfos(reader: BlobReader, job: Job, id: IdText): AsyncGenerator<DatumInfo> {
  for await (const datum of datumsOf(reader, job)) yield await datumInfo(reader, job, datum, id);
}

/** Those of them that failed, in the same order: at the cost of these where the job's commit was made without them. */
export async function* failedInfos(snapshot: Snapshot, job: Job, id: IdText): AsyncGenerator<DatumInfo> {
  if (job.counts.failed === 0) return;
  const { reader } = snapshot;
  const failed = await maybeFailed(snapshot, { repo: job.pipeline, id: job.id });
  for await (const datum of datumsOf(reader, { datums: failed ?? job.datums })) {
    if (datum.outcome.state === 'failed') yield await datumInfo(reader, job, datum, id);
  }
}

/** What became of a datum in a job: what an earlier one had computed was skipped by this one. */
export function datumState(job: Job, { outcome }: Pick<JobDatum, 'outcome'>): string {
  return outcome.state === 'success' && outcome.job !== job.id ? 'skipped' : outcome.state;
}

export async function datumFiles(reader: BlobReader, job: Job, datum: JobDatum): Promise<readonly DatumFile[]> {
  const rows = await rowsOf(reader, datum);
  return rows.map(({ input, path }) => {
    const { repo = '', commit = '' } = job.inputs[input] ?? {};
    return { repo, commit, path };
  });
}

export interface DatumDetails extends DatumInfo {
  /** The one that ran it. */
  readonly job: string;
  readonly key: string;
  readonly stats: DatumStats;
  readonly output: { readonly files: number; readonly bytes: number; readonly hash: string } | null;
}

export const datumDetailsJson =
  '{id, state, files, why, job, key, stats: {startedMs, downloadMs, processMs, uploadMs, cpuMs, inputBytes, outputBytes, memoryBytesPeak}, output: {files, bytes, hash} or null}; job: the one that ran it';

export async function datumDetails(reader: BlobReader, job: Job, datum: JobDatum, id: IdText): Promise<DatumDetails> {
  const { out } = await readResult(reader, datum.result);
  return {
    ...(await datumInfo(reader, job, datum, id)),
    job: datum.outcome.job,
    key: datum.key.toString('hex'),
    stats: datum.outcome.stats,
    output: out ? { files: out.files, bytes: out.bytes, hash: out.contentHash.toString('hex') } : null,
  };
}
