/**
 * Ticks by a clock that the test moves: each time of a schedule once, whoever ticks, and whatever
 * happens to engines and clocks.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { tick, tickNow } from '../../src/engine/ticks.ts';
import { parseSchedule } from '../../src/model/schedule.ts';
import { stretchesMax } from '../../src/model/records/ticks.ts';
import { stopPipeline } from '../../src/pipelines/editing/edit-pipelines.ts';
import { findPipeline } from '../../src/pipelines/pipelines.ts';
import { cronInputs, nextTicks } from '../../src/pipelines/ticks.ts';
import type { Project } from '../../src/versions/project.ts';
import { isLong } from '../support/long.ts';
import { check, errors } from '../versions/fsck-store.ts';
import { openTestProject } from '../versions/project.ts';
import { copy, EngineWorld } from './world.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const at = (text: string): number => Date.parse(`${text}:00Z`);

interface Night {
  readonly name?: string;
  readonly spec: string;
  readonly start?: string | undefined;
  readonly timezone?: string;
  readonly missed?: string;
  readonly overwrite?: boolean;
  readonly repo?: string;
}

async function set(world: EngineWorld, { name = 'p', spec, start, timezone, missed, ...cron }: Night): Promise<void> {
  const since = start === undefined ? {} : { start: `${start}:00Z` };
  const dev = { timezone: timezone ?? 'UTC', missed_ticks: missed ?? 'one' };
  await world.set({ name, input: { cron: { name: 'tick', spec, ...since, ...cron } }, dev });
}

/** The ticks of a pipeline, as `2026-03-29T01:00`; each is a commit of its own. */
async function ticks(world: EngineWorld, repo = 'p_tick'): Promise<string[]> {
  const snapshot = await world.project.snapshot();
  const head = (await snapshot.maybeBranch(repo, 'master'))?.head;
  let commits = 0;
  if (head) for await (const _ of snapshot.history(head)) commits += 1;
  const files = Object.keys((await world.files(repo)) ?? {});
  expect(files.length).toBe(commits);
  return files.map((name) => name.replace(/:00Z$/, ''));
}

/** What an engine does from one time to another: it ticks, and waits until there is more to do. */
async function live(project: Project, from: number, until: number): Promise<number> {
  let calls = 0;
  for (let now = from; now <= until; calls += 1) now = Math.max(now, (await tick(project, { now })) ?? Infinity);
  return calls;
}

test('so many ticks stay as the spec says, the newest, and other files', async () => {
  await using world = await EngineWorld.make(copy);
  const input = { cron: { name: 'tick', spec: '@hourly', start: '2026-03-01T00:00:00Z' } };
  const dev = { missed_ticks: 'all', keep: { ticks: 2 } };
  await world.set({ name: 'p', input, dev });
  await live(world.project, at('2026-03-01T00:30'), at('2026-03-01T02:30'));
  await world.commit('p_tick', { notes: 'of somebody' });
  await live(world.project, at('2026-03-01T02:30'), at('2026-03-01T05:30'));
  expect(Object.keys((await world.files('p_tick')) ?? {})).toEqual([
    '2026-03-01T04:00:00Z',
    '2026-03-01T05:00:00Z',
    'notes',
  ]);
  // None comes twice, though its file is gone.
  await live(world.project, at('2026-03-01T00:30'), at('2026-03-01T05:30'));
  expect(Object.keys((await world.files('p_tick')) ?? {})).toHaveLength(3);
  expect(errors(await check(world.store))).toEqual([]);
});

test.each([
  [
    'spring',
    '2026-03-23T00:00',
    ['2026-03-27T02:30', '2026-03-28T02:30', '2026-03-29T02:30'],
    ['2026-03-28T01:30', '2026-03-29T01:00', '2026-03-30T00:30'],
  ],
  [
    'autumn',
    '2026-10-19T00:00',
    ['2026-10-24T02:30', '2026-10-25T02:30'],
    ['2026-10-24T00:30', '2026-10-25T00:30', '2026-10-26T01:30'],
  ],
])('a week with a day on which clocks are set, in three zones: %s', async (_, start, inUtc, inBerlin) => {
  await using world = await EngineWorld.make(copy);
  for (const [name, timezone] of [
    ['utc', 'UTC'],
    ['berlin', 'Europe/Berlin'],
    ['york', 'America/New_York'],
  ] as const) {
    await set(world, { name, spec: '30 2 * * *', start, timezone });
  }
  const end = at(start) + 8 * dayMs;
  const calls = await live(world.project, at(start), end);
  expect(await ticks(world, 'utc_tick')).toEqual(expect.arrayContaining(inUtc));
  expect(await ticks(world, 'berlin_tick')).toEqual(expect.arrayContaining(inBerlin));
  for (const name of ['utc', 'berlin', 'york']) {
    expect(await ticks(world, `${name}_tick`)).toHaveLength(8);
  }
  // It is told when there is more to do, and is not called in vain.
  expect(calls).toBeLessThan(3 * 8 + 2);
});

test('what is hourly goes by the hours that pass, and is made up for where clocks were set', async () => {
  await using world = await EngineWorld.make(copy);
  const [spring, autumn] = ['2026-03-29T00:00', '2026-10-25T00:00'];
  await set(world, { name: 'spring', spec: '@hourly', start: spring, timezone: 'Europe/Berlin' });
  await set(world, { name: 'autumn', spec: '@hourly', start: autumn, timezone: 'Europe/Berlin', missed: 'all' });
  await live(world.project, at(spring), at(spring) + 4 * hourMs);
  expect(await ticks(world, 'spring_tick')).toEqual([1, 2, 3, 4].map((hour) => `2026-03-29T0${hour}:00`));
  await tick(world.project, { now: at(autumn) + 4 * hourMs });
  expect(await ticks(world, 'autumn_tick')).toEqual([1, 2, 3, 4].map((hour) => `2026-10-25T0${hour}:00`));
});

test('two engines tick each time once', async () => {
  await using world = await EngineWorld.make(copy);
  await set(world, { spec: '* * * * *', start: '2026-03-01T00:00', missed: 'all' });
  const engines = [world.project, openTestProject(world.store), openTestProject(world.store)];
  for (let now = at('2026-03-01T00:00'); now <= at('2026-03-01T00:10'); now += minuteMs) {
    await Promise.all(engines.map((project) => tick(project, { now })));
  }
  expect(await ticks(world)).toHaveLength(10);
  // All that was missed meanwhile, by all of them at once.
  const now = at('2026-03-01T00:20');
  const next = await Promise.all(engines.map((project) => tick(project, { now })));
  expect(next).toEqual(engines.map(() => now + minuteMs));
  expect(await ticks(world)).toHaveLength(20);
  expect(errors(await check(world.store, 1))).toEqual([]);
});

test('after a time without an engine the last tick is made up for, or all, or none', async () => {
  await using world = await EngineWorld.make(copy);
  for (const missed of ['one', 'all', 'none'])
    await set(world, { name: missed, spec: '0 2 * * *', start: '2026-03-01T12:00', missed });
  const [first, last] = ['2026-03-02T02:00', '2026-03-06T02:00'];
  await tick(world.project, { now: at(first) });
  const next = await tick(world.project, { now: at('2026-03-06T09:00') });
  expect(next).toBe(at('2026-03-07T02:00'));
  expect(await ticks(world, 'one_tick')).toEqual([first, last]);
  expect(await ticks(world, 'all_tick')).toEqual([first, ...[3, 4, 5].map((day) => `2026-03-0${day}T02:00`), last]);
  expect(await ticks(world, 'none_tick')).toEqual([first]);
  // A little late is not missed.
  await tick(world.project, { now: at('2026-03-07T02:00') + 40_000 });
  expect(await ticks(world, 'none_tick')).toEqual([first, '2026-03-07T02:00']);
});

test('very many missed ticks are made in several calls', async () => {
  await using world = await EngineWorld.make(copy);
  await set(world, { spec: '@every 1s', start: '2026-03-01T00:00', missed: 'all' });
  const now = at('2026-03-01T00:01');
  for (const next of [now, now, now + 1000]) expect(await tick(world.project, { now })).toBe(next);
  const snapshot = await world.project.snapshot();
  expect(Object.keys((await world.files('p_tick')) ?? {})).toHaveLength(60);
  expect(await tick(world.project, { now })).toBe(now + 1000);
  expect((await world.project.snapshot()).head.operation.id).toBe(snapshot.head.operation.id);
});

test('a changed expression begins when it is changed, and what did not change goes on', async () => {
  await using world = await EngineWorld.make(copy);
  const inputs = (spec: string, start?: string) => ({
    union: [
      { cron: { name: 'a', spec, ...(start !== undefined && { start }) } },
      { cron: { name: 'b', spec: '0 4 * * *', start: '2026-03-01T00:00:00Z' } },
    ],
  });
  const since = async (): Promise<number[]> => {
    return (await findPipeline(await world.project.snapshot(), 'p')).ticksSince?.map((each) => each.since) ?? [];
  };
  await world.set({ name: 'p', input: inputs('0 2 * * *', '2026-03-01T00:00:00Z') });
  const begun = at('2026-03-01T00:00');
  expect(await since()).toEqual([begun, begun]);
  const before = Date.now();
  await world.set({ name: 'p', input: inputs('0 3 * * *', '2026-03-01T00:00:00Z') });
  const [changed, same] = await since();
  expect(changed).toBeGreaterThanOrEqual(before);
  expect(same).toBe(begun);
  // Nothing of the past is ticked by the new expression, and the other input makes up for its own.
  await tick(world.project, { now: before });
  expect(await ticks(world, 'p_a')).toEqual([]);
  expect(await ticks(world, 'p_b')).toHaveLength(1);
  // So it is with another time zone; with a new start it begins there.
  await world.set({ name: 'p', input: inputs('0 3 * * *', '2026-03-01T00:00:00Z'), dev: { timezone: 'Asia/Tokyo' } });
  expect(((await since())[1] ?? 0) >= before).toBe(true);
  await world.set({ name: 'p', input: inputs('0 3 * * *', '2027-01-01T00:00:00Z'), dev: { timezone: 'Asia/Tokyo' } });
  expect((await since())[0]).toBe(at('2027-01-01T00:00'));
  // A change of something else is none.
  const now = await since();
  await world.set({
    name: 'p',
    cmd: ['g'],
    input: inputs('0 3 * * *', '2027-01-01T00:00:00Z'),
    dev: { timezone: 'Asia/Tokyo' },
  });
  expect(await since()).toEqual(now);
});

test('what was due while a pipeline was stopped is not made up for', async () => {
  await using world = await EngineWorld.make(copy);
  await set(world, { spec: '0 2 * * *', start: '2026-03-01T00:00', missed: 'all' });
  await tick(world.project, { now: at('2026-03-01T02:00') });
  await stopPipeline(world.project, 'p', true);
  expect(await tick(world.project, { now: at('2026-03-05T12:00') })).toBeUndefined();
  await expect(tickNow(world.project, 'p', at('2026-03-05T12:00'))).rejects.toThrow('it is stopped');
  const started = Date.now();
  await stopPipeline(world.project, 'p', false);
  expect(await tick(world.project, { now: started })).toBeGreaterThan(started);
  expect(await ticks(world)).toEqual(['2026-03-01T02:00']);
  const pipeline = await findPipeline(await world.project.snapshot(), 'p');
  const [input] = cronInputs(pipeline.spec);
  const [next = 0] = input ? nextTicks(pipeline, input, started, 1) : [];
  await tick(world.project, { now: next });
  expect(await ticks(world)).toHaveLength(2);
});

test('a clock that steps back a day doubles nothing, and one that jumps ahead floods nobody', async () => {
  await using world = await EngineWorld.make(copy);
  await set(world, { spec: '@hourly', start: '2026-03-01T00:00' });
  const { project } = world;
  await live(project, at('2026-03-01T00:00'), at('2026-03-03T00:00'));
  expect(await ticks(world)).toHaveLength(48);
  await live(project, at('2026-03-02T00:00'), at('2026-03-02T23:59'));
  expect(await ticks(world)).toHaveLength(48);
  // It waits until there is something that was not done.
  expect(await tick(project, { now: at('2026-03-02T00:00') })).toBe(at('2026-03-03T01:00'));
  // A year ahead: one tick. And when it is right again, ticks go on as if that had not been.
  await tick(project, { now: at('2027-03-03T00:30') });
  expect((await ticks(world)).slice(48)).toEqual(['2027-03-03T00:00']);
  await live(project, at('2026-03-03T00:30'), at('2026-03-03T03:00'));
  expect((await ticks(world)).slice(48)).toEqual([
    '2026-03-03T01:00',
    '2026-03-03T02:00',
    '2026-03-03T03:00',
    '2027-03-03T00:00',
  ]);
});

test('what an engine has done is remembered in few bytes', async () => {
  await using world = await EngineWorld.make(copy);
  await set(world, { spec: '* * * * *', start: '2026-03-01T00:00' });
  // Each time without an engine ends a stretch.
  for (let hour = 1; hour < stretchesMax + 20; hour += 1)
    await tick(world.project, { now: at('2026-03-01T00:00') + hour * hourMs });
  expect(await ticks(world)).toHaveLength(stretchesMax + 19);
  // What is not known any more is not done again.
  expect(await tick(world.project, { now: at('2026-03-01T02:30') })).toBeGreaterThan(at('2026-03-01T02:30'));
  expect(await ticks(world)).toHaveLength(stretchesMax + 19);
});

test('a tick by hand comes at once, and keeps none of the schedule away', async () => {
  await using world = await EngineWorld.make(copy);
  await set(world, { spec: '0 2 * * *', start: '2026-03-01T00:00', overwrite: true });
  const now = at('2026-03-01T01:30');
  const [made] = await tickNow(world.project, 'p', now);
  expect(made).toMatchObject({ pipeline: 'p', name: 'tick', repo: 'p_tick', file: '/2026-03-01T01:30:00Z' });
  expect(await world.files('p_tick')).toEqual({ '2026-03-01T01:30:00Z': '' });
  // Twice in a second is the same tick.
  expect((await tickNow(world.project, 'p', now + 400))[0]?.commit).toBe(made?.commit);
  await tick(world.project, { now: at('2026-03-01T02:00') });
  expect(await world.files('p_tick')).toEqual({ '2026-03-01T02:00:00Z': '' });
  await world.set({ name: 'q', input: { pfs: { repo: 'data', glob: '/*' } } });
  await expect(tickNow(world.project, 'q', now)).rejects.toThrow('it has no cron input');
});

test('an engine of some pipelines ticks for those alone', async () => {
  await using world = await EngineWorld.make(copy);
  for (const name of ['p', 'q']) await set(world, { name, spec: '@hourly', start: '2026-03-01T00:00' });
  await tick(world.project, { now: at('2026-03-01T01:00'), only: new Set(['q']) });
  expect([await ticks(world, 'p_tick'), await ticks(world, 'q_tick')]).toEqual([[], ['2026-03-01T01:00']]);
});

/** Two engines that tick at the same time wait for each other: hundreds of ticks take minutes. */
const goneMs = isLong ? dayMs : 6 * hourMs;

/** One thing that happens: time passes, with an engine there or without one, or the clock is set. */
const happenings = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('runs' as const), ms: fc.integer({ min: 0, max: 3 * hourMs }) }),
    fc.record({ kind: fc.constant('gone' as const), ms: fc.integer({ min: 0, max: goneMs }) }),
    fc.record({ kind: fc.constant('back' as const), ms: fc.integer({ min: 0, max: dayMs }) }),
  ),
  { minLength: 1, maxLength: isLong ? 8 : 5 },
);

test('any course of days: each time at most once, and all that is to be made up for', async () => {
  const specs = fc.constantFrom('*/20 * * * *', '@hourly', '30 2 * * *', '@every 25m', '0 */3 * * *');
  const zones = fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York');
  const starts = fc.constantFrom('2026-03-28T20:00', '2026-10-24T20:00', '2026-03-08T02:00', '2026-06-01T00:00');
  await fc.assert(
    fc.asyncProperty(specs, zones, starts, happenings, async (spec, timezone, start, course) => {
      await using world = await EngineWorld.make(copy);
      await set(world, { spec, start, timezone, missed: 'all' });
      const schedule = parseSchedule(spec, timezone);
      const begun = at(start);
      const expected = new Set<string>();
      const answers: (number | undefined)[][] = [];
      const engines = [world.project, openTestProject(world.store)];
      let now = begun;
      for (const { kind, ms } of course) {
        if (kind === 'back') now -= ms;
        else if (kind === 'gone') now += ms;
        else {
          for (const end = now + ms; now <= end;) {
            const next = await Promise.all(engines.map((project) => tick(project, { now })));
            // All up to now is there, and engines agree on what comes next.
            for (
              let time = schedule.next(begun, begun);
              time !== undefined && time <= now;
              time = schedule.next(time, begun)
            ) {
              expected.add(new Date(time).toISOString().slice(0, 16));
            }
            answers.push(next);
            const [soon = Infinity] = next;
            now = Math.max(now + 1, Math.min(soon, end + 1));
          }
        }
      }
      expect(await ticks(world)).toEqual([...expected].sort());
      for (const [one, other] of answers) expect(one).toBe(other);
    }),
    { numRuns: isLong ? 300 : 8 },
  );
});
