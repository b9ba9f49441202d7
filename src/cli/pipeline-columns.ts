/**
 * Tables of pipelines, jobs and datums for people.
 */
import type { DatumInfo } from '../shown/datums.ts';
import type { JobInfo } from '../shown/jobs.ts';
import type { PipelineInfo } from '../shown/pipelines.ts';
import type { ProfileRow } from '../shown/profile.ts';
import type { Columns } from './output.ts';
import { sizeText, timeText } from './text.ts';

/** Digits of a datum's id that are shown. */
const datumDigits = 16;

export const pipelineColumns: Columns<PipelineInfo> = [
  ['NAME', (row) => row.pipeline],
  ['VERSION', (row) => String(row.version)],
  ['UPDATED', (row) => timeText(row.updated)],
  ['STATE', (row) => row.state],
  ['LAST JOB', (row) => row.lastJob?.state ?? '-'],
];

export const jobColumns: Columns<JobInfo> = [
  ['JOB', (row, { id }) => id(row.job)],
  ['PIPELINE', (row) => row.pipeline],
  ['STARTED', (row) => timeText(row.started)],
  ['SECONDS', (row) => (row.seconds === null ? '-' : row.seconds.toFixed(1))],
  ['DATUMS', ({ datums }) => `${datums.processed + datums.recovered} + ${datums.skipped} / ${datums.total}`],
  ['STATE', (row) => row.state],
];

export const datumColumns: Columns<DatumInfo> = [
  ['DATUM', (row, { id }) => id(datumText(row.id))],
  ['STATE', (row) => row.state],
  ['FILES', (row, { name }) => row.files.map(({ repo, path }) => name(`${repo}:${path}`)).join(' ')],
];

const seconds = (ms: number): string => (ms / 1000).toFixed(3);

export const profileColumns: Columns<ProfileRow> = [
  ['DATUM', (row, { id }) => id(datumText(row.datum))],
  ['STATE', (row) => row.state],
  ['SECONDS', (row) => seconds(row.totalMs)],
  ['INPUT', (row) => seconds(row.downloadMs)],
  ['COMMAND', (row) => seconds(row.processMs)],
  ['OUTPUT', (row) => seconds(row.uploadMs)],
  ['CPU', (row) => seconds(row.cpuMs)],
  ['IN', (row) => sizeText(row.inputBytes)],
  ['OUT', (row) => sizeText(row.outputBytes)],
  ['MEMORY', (row) => sizeText(row.memoryBytesPeak)],
];

/** A datum's id as people are shown it. */
export function datumText(id: string): string {
  return id.slice(0, datumDigits);
}
