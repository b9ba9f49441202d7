/**
 * Which times of the schedules of pipelines are due, and which are done.
 *
 * A time is done once the store says so, with its tick: stretches of times that lie one after another
 * (model/records/ticks.ts). Nothing is remembered elsewhere, so any engine goes on where another ended.
 * A clock that is set back finds times that are done; one that was wrong for a while leaves a stretch of
 * its own behind, and what lies before that is still due when the clock is right again.
 */
import { lastTime, parseSchedule, type Schedule } from '../model/schedule.ts';
import { decodeTicks, encodeTicks, stretchesMax, type Stretch } from '../model/records/ticks.ts';
import type { Change } from '../versions/change.ts';
import { ticksKey } from '../versions/ref-keys.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import type { Pipeline } from './pipelines.ts';
import { pfsInputs } from './spec/input.ts';
import type { CronInput, MissedTicks, PipelineSpec } from './spec/spec.ts';

/** A tick is late, not missed, for so long. */
const lateMs = 60_000;

export interface Due {
  /** The first time for which a tick is due; undefined: there is none. */
  readonly time: number | undefined;
  /** When the next one is due that is not yet; undefined: never. */
  readonly next: number | undefined;
}

/** The cron inputs of a spec, in its order. */
export function cronInputs(spec: Pick<PipelineSpec, 'input'>): CronInput[] {
  return pfsInputs(spec.input).flatMap((input) => (input.cron ? [{ ...input, cron: input.cron }] : []));
}

/** From when on each of a pipeline's cron inputs ticks: what is new or changed begins `now`. */
export function ticksSince(spec: PipelineSpec, before: Pipeline | undefined, now: number): Pipeline['ticksSince'] {
  const inputs = cronInputs(spec);
  if (inputs.length === 0) return undefined;
  const old = before ? cronInputs(before.spec) : [];
  return inputs.map(({ repo, cron }) => {
    const same = before && old.find((each) => each.repo === repo);
    if (!same || same.cron.start !== cron.start) return { repo, since: cron.start ?? now };
    const isChanged = same.cron.spec !== cron.spec || before.spec.timezone !== spec.timezone;
    return { repo, since: isChanged ? Math.max(now, cron.start ?? 0) : sinceOf(before, repo) };
  });
}

/** The same where a stopped pipeline starts again: what was due meanwhile is not made up for. */
export function resumedTicks({ ticksSince: before }: Pipeline, now: number): Pipeline['ticksSince'] {
  return before?.map(({ repo, since }) => ({ repo, since: Math.max(since, now) }));
}

/** Whether an input of a pipeline is to tick. */
export async function dueTicks(
  snapshot: Pick<Snapshot, 'item'>,
  pipeline: Pipeline,
  input: CronInput,
  now: number,
): Promise<Due> {
  const schedule = scheduleOf(pipeline.spec, input);
  const begun = sinceOf(pipeline, input.repo);
  const after = Math.max(begun, doneUntil(await doneTicks(snapshot, pipeline.name, input.repo), now));
  return {
    time: missed({ schedule, begun, after, now }, pipeline.spec.missedTicks),
    next: schedule.next(Math.max(after, now), begun),
  };
}

/** The next times of an input's schedule. */
export function nextTicks(pipeline: Pipeline, input: CronInput, now: number, count: number): number[] {
  const schedule = scheduleOf(pipeline.spec, input);
  const begun = sinceOf(pipeline, input.repo);
  const times: number[] = [];
  for (let time = schedule.next(Math.max(now, begun), begun); time !== undefined && times.length < count;) {
    times.push(time);
    time = schedule.next(time, begun);
  }
  return times;
}

/** The last time of a schedule that was ticked; undefined: none was. */
export async function lastTick(
  snapshot: Pick<Snapshot, 'item'>,
  pipeline: string,
  repo: string,
): Promise<number | undefined> {
  return (await doneTicks(snapshot, pipeline, repo)).at(-1)?.last;
}

/** Notes, as a part of a change, that a time of an input is done. */
export async function setDone(change: Change, pipeline: Pipeline, input: CronInput, time: number): Promise<void> {
  const { name } = pipeline;
  const { repo } = input;
  const done = await doneTicks(change.snapshot, name, repo);
  const index = done.findLastIndex(({ last }) => last < time);
  const before = done[index];
  const goesOn = before && scheduleOf(pipeline.spec, input).next(before.last, sinceOf(pipeline, repo)) === time;
  const stretch = { first: goesOn ? before.first : time, last: time };
  const next = done.toSpliced(goesOn ? index : index + 1, goesOn ? 1 : 0, stretch);
  change.set({ key: ticksKey(name, repo), value: encodeTicks({ done: next.slice(-stretchesMax) }), refs: [] });
}

interface Waiting {
  readonly schedule: Schedule;
  readonly begun: number;
  /** All up to this time is done. */
  readonly after: number;
  readonly now: number;
}

/** The first time that is due, of those that are not left out. */
function missed({ schedule, begun, after, now }: Waiting, kept: MissedTicks): number | undefined {
  if (kept === 'all') {
    const time = schedule.next(after, begun);
    return time !== undefined && time <= now ? time : undefined;
  }
  return lastTime(schedule, { after: kept === 'none' ? Math.max(after, now - lateMs) : after, until: now, begun });
}

/** Up to where all is done at a time: also later than that, after the clock was set back. */
function doneUntil(done: readonly Stretch[], now: number): number {
  const at = done.findLast(({ first }) => first <= now);
  if (at) return at.last;
  // What was done before the oldest that is kept is not known any more.
  return done.length === stretchesMax ? (done[0] as Stretch).last : 0;
}

function sinceOf({ ticksSince: since, updated }: Pick<Pipeline, 'ticksSince' | 'updated'>, repo: string): number {
  return since?.find((each) => each.repo === repo)?.since ?? updated;
}

async function doneTicks(
  snapshot: Pick<Snapshot, 'item'>,
  pipeline: string,
  repo: string,
): Promise<readonly Stretch[]> {
  const item = await snapshot.item(ticksKey(pipeline, repo));
  return item ? decodeTicks(item.value).done : [];
}

/** Schedules of this process by expression and zone, since reading one takes a while, and it remembers what it found. */
const schedules = new Map<string, Schedule>();
const schedulesMax = 10_000;

function scheduleOf({ timezone }: Pick<PipelineSpec, 'timezone'>, { cron }: CronInput): Schedule {
  const key = `${timezone} ${cron.spec}`;
  let schedule = schedules.get(key);
  if (!schedule) {
    if (schedules.size >= schedulesMax) schedules.clear();
    schedules.set(key, (schedule = parseSchedule(cron.spec, timezone)));
  }
  return schedule;
}
