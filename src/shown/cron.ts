/**
 * Cron inputs and ticks as programs are shown them.
 */
import type { Tick } from '../engine/ticks.ts';
import { cronInputs, lastTick, nextTicks } from '../pipelines/ticks.ts';
import { listPipelines } from '../pipelines/pipelines.ts';
import type { Snapshot } from '../versions/snapshot.ts';

/** Times are RFC 3339. */
export interface CronInfo {
  readonly pipeline: string;
  readonly name: string;
  readonly repo: string;
  readonly spec: string;
  readonly timezone: string;
  readonly start: string | null;
  readonly overwrite: boolean;
  readonly missedTicks: string;
  readonly state: 'running' | 'stopped';
  /** The newest time of the schedule that was ticked. */
  readonly lastTick: string | null;
  /** None of a pipeline that is stopped. */
  readonly next: readonly string[];
}

export const cronJson =
  '{pipeline, name, repo, spec, timezone, start or null, overwrite, missedTicks, state, lastTick or null, next: [time]} an input; state: running or stopped; next: up to three times';

const nextMax = 3;

/** The cron inputs of a project's pipelines, in the order of these. */
export async function cronInfos(snapshot: Snapshot, now: number): Promise<CronInfo[]> {
  const infos: CronInfo[] = [];
  for (const pipeline of await listPipelines(snapshot)) {
    const { name: of, spec, stopped } = pipeline;
    for (const input of cronInputs(spec)) {
      const { name, repo, cron } = input;
      const last = await lastTick(snapshot, of, repo);
      infos.push({
        pipeline: of,
        name,
        repo,
        spec: cron.spec,
        timezone: spec.timezone,
        start: cron.start === undefined ? null : timeOf(cron.start),
        overwrite: cron.overwrite,
        missedTicks: spec.missedTicks,
        state: stopped ? 'stopped' : 'running',
        lastTick: last === undefined ? null : timeOf(last),
        next: stopped ? [] : nextTicks(pipeline, input, now, nextMax).map(timeOf),
      });
    }
  }
  return infos;
}

export const tickJson = '{pipeline, name, repo, commit, path} an input: the file of its tick';

export function tickInfo({ file, ...tick }: Tick): object {
  return { ...tick, path: file };
}

function timeOf(time: number): string {
  return `${new Date(time).toISOString().slice(0, 19)}Z`;
}
