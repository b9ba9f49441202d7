/**
 * Branches that move because a time has come: the time is the tests'. TRIGGER_SEED runs one seed.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { fireTriggers } from '../../src/engine/triggers.ts';
import { parseAddress } from '../../src/model/address.ts';
import type { TriggerConditions } from '../../src/model/records/refs.ts';
import type { Project } from '../../src/versions/project.ts';
import { createBranch } from '../../src/versions/refs.ts';
import { numbers } from '../support/numbers.ts';
import { makeTestProject, openTestProject } from '../versions/project.ts';
import { put } from '../versions/simulation-edits.ts';
import { operations } from '../versions/undo-world.ts';

const given = process.env['TRIGGER_SEED'];
const seeds = given === undefined ? Array.from({ length: 2 }, () => Math.floor(Math.random() * 1e9)) : [Number(given)];
const minute = 60_000;
const midnight = Date.parse('2026-03-02T00:00:00Z');

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: midnight });
});
afterEach(() => {
  vi.useRealTimers();
});

async function headOf(project: Project, name: string): Promise<string | undefined> {
  return (await (await project.snapshot()).maybeBranch('data', name))?.head?.id;
}

async function triggered(conditions: Omit<TriggerConditions, 'all'> & { readonly all?: boolean }) {
  const made = await makeTestProject();
  const trigger = { branch: 'staging', all: false, ...conditions };
  await createBranch(made.project, 'data', 'master', undefined, { trigger });
  return made;
}

let files = 0;
function commit(project: Project, at: number): Promise<string> {
  vi.setSystemTime(at);
  files += 1;
  return put(project, 'data', 'staging', { [`/${files}`]: 1 });
}

describe.each(seeds)('TRIGGER_SEED=%i', (seed) => {
  test('a cron trigger gives what was there at its times, however late an engine looks', async () => {
    const random = numbers(seed);
    const { project } = await triggered({ cron: '*/10 * * * *' });
    const commits: { readonly id: string; readonly at: number }[] = [];
    let looks = 0;
    for (let now = midnight, turn = 0; turn < 60; turn += 1) {
      now += Math.ceil(random() * 9 * minute);
      if (random() < 0.6) {
        commits.push({ id: await commit(project, now), at: now });
        continue;
      }
      vi.setSystemTime(now);
      const { moved, next } = await fireTriggers(project, { now });
      const time = Math.floor(now / (10 * minute)) * 10 * minute;
      const expected = commits.findLast(({ at }) => at <= time)?.id;
      expect({ seed, turn, head: await headOf(project, 'master') }).toEqual({ seed, turn, head: expected });
      looks += moved.length;
      // It is looked at again only while something waits.
      const waits = commits.at(-1)?.id !== expected;
      expect({ seed, turn, next }).toEqual({ seed, turn, next: waits ? time + 10 * minute : undefined });
    }
    expect(looks).toBeGreaterThan(2);
  });

  test('all conditions: at a time of the cron expression, what was there then must have enough commits', async () => {
    const random = numbers(seed);
    const { project } = await triggered({ cron: '*/10 * * * *', commits: 3, all: true });
    const commits: string[] = [];
    let [taken, now] = [0, midnight];
    for (let time = midnight + 10 * minute; time < midnight + 300 * minute; time += 10 * minute) {
      for (let n = Math.floor(random() * 4); n > 0; n -= 1) {
        now += Math.ceil(random() * 3 * minute);
        if (now <= time) commits.push(await commit(project, now));
      }
      if (commits.length - taken >= 3) taken = commits.length;
      now = time + Math.floor(random() * 9 * minute);
      // What comes between the time and the look counts for the next time.
      const late = random() < 0.5 ? await commit(project, now) : undefined;
      await fireTriggers(project, { now });
      expect({ seed, time, head: await headOf(project, 'master') }).toEqual({ seed, time, head: commits[taken - 1] });
      if (late !== undefined) commits.push(late);
    }
    expect(taken).toBeGreaterThan(0);
  });
});

test('a rate limit: the first commit moves at once when the time is over, later ones wait for an engine', async () => {
  const { project } = await triggered({ rateLimit: '0 * * * *' });
  await commit(project, midnight + 10 * minute);
  expect(await headOf(project, 'master')).toBeUndefined();
  const second = await commit(project, midnight + 61 * minute);
  // No engine was needed.
  expect(await headOf(project, 'master')).toBe(second);
  const third = await commit(project, midnight + 70 * minute);
  expect(await fireTriggers(project, { now: midnight + 119 * minute })).toEqual({
    moved: [],
    next: midnight + 120 * minute,
    faults: [],
  });
  const { moved } = await fireTriggers(project, { now: midnight + 120 * minute });
  expect(moved).toEqual([{ repo: 'data', branch: 'master', commit: third }]);
});

test('two engines that look at the same times move a branch once for each', async () => {
  const { project, store } = await triggered({ cron: '@hourly' });
  const other = openTestProject(store);
  for (let hour = 1; hour <= 10; hour += 1) {
    await commit(project, midnight + (hour * 60 - 5) * minute);
    const now = midnight + hour * 60 * minute;
    await Promise.all([fireTriggers(project, { now }), fireTriggers(other, { now })]);
    expect(await headOf(project, 'master')).toBe(await headOf(project, 'staging'));
  }
  const moves = (await operations(project)).filter(({ what }) => what === 'move data@master by its trigger');
  expect(moves).toHaveLength(10);
});

test('a clock that steps back a day stops no trigger, and moves nothing twice', async () => {
  const { project } = await triggered({ cron: '@hourly' });
  const day = 24 * 60 * minute;
  await commit(project, midnight + day + 30 * minute);
  await fireTriggers(project, { now: midnight + day + 60 * minute });
  // It was yesterday all the time. Commits keep their order by times that are to come.
  const now = midnight + 90 * minute;
  const late = await commit(project, now);
  expect(await fireTriggers(project, { now })).toMatchObject({ moved: [] });
  const { moved } = await fireTriggers(project, { now: midnight + 120 * minute });
  expect(moved).toEqual([{ repo: 'data', branch: 'master', commit: late }]);
  expect((await fireTriggers(project, { now: midnight + 121 * minute })).moved).toEqual([]);
});

test('a move triggers other branches in turn; a branch that was moved by hand stays until something new comes', async () => {
  const { project } = await triggered({ cron: '@daily' });
  await createBranch(project, 'data', 'prod', undefined, { trigger: { branch: 'master', all: false, commits: 2 } });
  await createBranch(project, 'data', 'late', undefined, { trigger: { branch: 'prod', all: false, cron: '@daily' } });
  await commit(project, midnight + minute);
  const second = await commit(project, midnight + 2 * minute);
  const day = 24 * 60 * minute;
  vi.setSystemTime(midnight + day);
  await fireTriggers(project, { now: midnight + day });
  for (const name of ['master', 'prod', 'late']) expect([name, await headOf(project, name)]).toEqual([name, second]);
  vi.setSystemTime(midnight + day + minute);
  await createBranch(project, 'data', 'master', parseAddress('data@staging^'));
  expect((await fireTriggers(project, { now: midnight + day + 2 * minute })).moved).toEqual([]);
  expect(await headOf(project, 'prod')).toBe(second);
});

test('a trigger that this program cannot read is told, and stops no other', async () => {
  const { project } = await triggered({ cron: '@hourly' });
  await project.update('newer', async (change) => {
    const branch = { repo: 'data', name: 'newer', provenance: [] };
    const trigger = { branch: 'staging', all: false, cron: '@fortnightly', since: 0 };
    change.setBranch({ ...branch, trigger });
    change.setBranch({
      ...branch,
      name: 'newest',
      trigger: { ...trigger, cron: undefined, rateLimit: '@fortnightly' },
    });
  });
  const id = await commit(project, midnight + minute);
  const { moved, faults } = await fireTriggers(project, { now: midnight + 60 * minute });
  expect(moved).toEqual([{ repo: 'data', branch: 'master', commit: id }]);
  expect(faults.map(({ message }) => message)).toEqual([
    expect.stringContaining('"@fortnightly"'),
    expect.stringContaining('"@fortnightly"'),
  ]);
});
