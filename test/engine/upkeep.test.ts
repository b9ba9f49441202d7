/**
 * What engines collect by themselves: once a day, whoever does it, and nothing that a job still reads.
 */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { statusInfo } from '../../src/shown/status.ts';
import { setLease, leaseHolder } from '../../src/pipelines/jobs/lease.ts';
import { enterJob, setJob } from '../../src/pipelines/jobs/jobs.ts';
import { newCommitId } from '../../src/versions/change.ts';
import { deleteRepo } from '../../src/versions/refs.ts';
import { upkeep } from '../../src/engine/upkeep.ts';
import { TestClock } from '../support/clock.ts';
import { flip, packKeys, put } from '../versions/fsck-store.ts';
import { openTestProject } from '../versions/project.ts';
import { operations } from '../versions/undo-world.ts';
import { Serving } from './serving.ts';
import { copy, EngineWorld } from './world.ts';

const day = 24 * 3_600_000;
const start = Date.parse('2026-03-02T00:00:00Z');
const { signal } = new AbortController();

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: start });
});
afterEach(() => {
  vi.useRealTimers();
});

test('two engines collect once a day between them, also where a clock was ahead', async () => {
  await using world = await EngineWorld.make(copy);
  const engines = [world.project, openTestProject(world.store)];
  const collections = async (): Promise<number> =>
    (await operations(world.project)).filter(({ what }) => what === 'collect garbage').length;
  for (const [after, expected] of [
    [0, 1],
    [day - 1, 1],
    [day, 2],
    [3 * day, 3],
    // It was yesterday all the time.
    [day, 4],
  ] as const) {
    const now = start + after;
    const found = await Promise.all(engines.map((project) => upkeep(project, { now, signal })));
    expect([after, await collections()]).toEqual([after, expected]);
    expect(found.filter((result) => result !== undefined).length).toBeLessThanOrEqual(1);
  }
});

test('what a job reads stays though its repo was deleted days ago; without the job it goes', async () => {
  await using world = await EngineWorld.make(copy);
  const { project } = world;
  await world.commit('more', { x: 'read by the job' });
  await world.set({ name: 'p', input: { pfs: { repo: 'more', glob: '/' } } });
  const { job } = await world.run('p');
  const commit = (await (await project.snapshot()).maybeBranch('more', 'master'))!.head!.commit;
  const of = { pipeline: 'p', branch: 'master' };
  const running = { ...job, id: newCommitId(), state: 'running', started: start + 1, finished: undefined } as const;
  await project.update('a job that runs for days', async (change) => {
    setLease(change, of, leaseHolder('tester'));
    setJob(change, running);
    await enterJob(change, running);
  });
  await deleteRepo(project, 'more', { force: true });
  const later = async (days: number): Promise<boolean> => {
    // The job's engine has a clock of its own.
    vi.setSystemTime(start + days * day - day / 24);
    await project.update('it runs on', (change) => {
      if (days < 8) setLease(change, of, leaseHolder('tester'));
      return Promise.resolve();
    });
    vi.setSystemTime(start + days * day);
    await upkeep(project, { now: start + days * day, signal });
    const reader = openTestProject(world.store);
    return reader.snapshot().then((snapshot) =>
      snapshot.commitAt(commit).then(
        () => true,
        () => false,
      ),
    );
  };
  for (const days of [2, 4, 6]) expect([days, await later(days)]).toEqual([days, true]);
  // Condemned, and a day later deleted.
  for (const days of [9, 11, 13]) await later(days);
  expect(await later(15)).toBe(false);
});

test('an engine that stays up collects after a day, and tells it', async () => {
  await using world = await EngineWorld.make(copy);
  const clock = new TestClock(Date.now());
  await using serving = new Serving(world, { clock });
  await serving.next('serving');
  await world.commit('data', { x: '1' });
  for (let collected = 0; collected < 2; collected += 1) {
    await clock.waited();
    clock.set(clock.now() + day + 60_000);
    vi.setSystemTime(clock.now());
    expect(await serving.next('collected')).toMatchObject({ kind: 'collected' });
  }
});

test('where no engine has collected, one that begins later than a day after the store does', async () => {
  await using world = await EngineWorld.make(copy);
  vi.setSystemTime(start + day + 60_000);
  for (let started = 0; started < 2; started += 1) {
    const clock = new TestClock(Date.now());
    await using serving = new Serving(world, { clock });
    expect(await serving.next('collected')).toMatchObject({ kind: 'collected' });
    vi.setSystemTime(Date.now() + day + 60_000);
  }
});

test('an engine that stays up reads a part of the data each day, and says what is damaged', async () => {
  await using world = await EngineWorld.make(copy);
  await put(world.project, '/x', randomBytes(200_000));
  const [key = ''] = await packKeys(world.project, 'data');
  await flip(world.store, key, 100_000);
  const clock = new TestClock(Date.now());
  await using serving = new Serving(world, { clock, scrubShare: 1 });
  await serving.next('serving');
  await clock.waited();
  clock.set(clock.now() + day + 60_000);
  vi.setSystemTime(clock.now());
  const { bytes: read, damage } = await serving.next('checked');
  expect({ read, damage }).toMatchObject({ damage: [expect.stringContaining(`${key}: its bytes`)] });
  expect(read).toBeGreaterThan(200_000);
  expect((await serving.next('trouble')).error.message).toContain(key);
  expect((await statusInfo(world.project, clock.now())).damage).toEqual(damage);
});
