/**
 * Where a job's time went: a row for each datum that it ran, longest first, and a timeline.
 */
import type { BlobReader } from '../cache/blobs.ts';
import type { DatumStats } from '../model/records/pipelines.ts';
import { datumsOf, type Job } from '../pipelines/jobs/jobs.ts';
import { datumState } from './datums.ts';
import { svgText } from './svg.ts';

export interface ProfileRow extends DatumStats {
  readonly datum: string;
  readonly state: string;
  readonly totalMs: number;
}

export const profileJson =
  '{datum, state, totalMs, startedMs, downloadMs, processMs, uploadMs, cpuMs, inputBytes, outputBytes, memoryBytesPeak} a datum, longest first';

/** The datums that a job ran itself, longest first. */
export async function profileOf(reader: BlobReader, job: Job): Promise<ProfileRow[]> {
  const rows: ProfileRow[] = [];
  for await (const datum of datumsOf(reader, job)) {
    if (datum.outcome.job !== job.id) continue;
    const { stats } = datum.outcome;
    const totalMs = stats.downloadMs + stats.processMs + stats.uploadMs;
    rows.push({ datum: datum.id, state: datumState(job, datum), totalMs, ...stats });
  }
  return rows.sort((a, b) => b.totalMs - a.totalMs);
}

const rowHeight = 18;
const left = 170;
const width = 760;
/** More rows would not be looked at. */
const rowsDrawnMax = 200;
const phases = [
  ['downloadMs', 'input', '#7aa6da'],
  ['processMs', 'command', '#70a95c'],
  ['uploadMs', 'output', '#d99a4e'],
] as const;

/** The longest datums of a job as bars over the time since it started, in milliseconds since 1970. */
export function timelineSvg(title: string, started: number, rows: readonly ProfileRow[]): string {
  const drawn = rows.slice(0, rowsDrawnMax);
  const end = Math.max(1, ...drawn.map(({ startedMs, totalMs }) => startedMs - started + totalMs));
  const x = (ms: number): number => left + (Math.max(0, ms) / end) * width;
  const bars = drawn.flatMap(({ datum, startedMs, ...row }, index) => {
    const y = 40 + index * rowHeight;
    const label = `<text x="4" y="${y + 12}">${svgText(datum.slice(0, 16))}</text>`;
    let at = startedMs - started;
    const parts = phases.map(([name, shown, color]) => {
      const from = x(at);
      at += row[name];
      const size = Math.max(0.5, x(at) - from).toFixed(1);
      const hint = `<title>${shown}: ${(row[name] / 1000).toFixed(3)} s</title>`;
      return `<rect x="${from.toFixed(1)}" y="${y}" width="${size}" height="14" fill="${color}">${hint}</rect>`;
    });
    return [label, ...parts];
  });
  const legend = phases.map(([, shown, color], index) => {
    const at = left + index * 110;
    return `<rect x="${at}" y="20" width="10" height="10" fill="${color}"/><text x="${at + 14}" y="29">${shown}</text>`;
  });
  const height = 60 + drawn.length * rowHeight;
  const total = `<text x="${left + width}" y="29" text-anchor="end">${(end / 1000).toFixed(2)} s</text>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${left + width + 20}" height="${height}" font-family="sans-serif" font-size="11">`,
    `<rect width="100%" height="100%" fill="white"/><text x="4" y="14" font-size="13">${svgText(title)}</text>`,
    ...legend,
    total,
    ...bars,
    '</svg>\n',
  ].join('\n');
}
