/**
 * The engine that stays up: what becomes a job, in which order, and what happens when something is in
 * the way.
 */
import { expect, test } from 'vitest';
import { listJobs } from '../../src/pipelines/jobs/jobs.ts';
import { TestClock } from '../support/clock.ts';
import { Serving } from './serving.ts';
import { copy, EngineWorld, type Command } from './world.ts';

const reads = (...repos: string[]): object => {
  const inputs = repos.map((repo) => ({ pfs: { repo, glob: '/' } }));
  return inputs.length === 1 ? inputs[0]! : { cross: inputs };
};

async function aborted(signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted === false) await new Promise((resolve) => signal.addEventListener('abort', resolve));
}

/** `a` and `b` read `data`, and `c` reads both and `data`. */
async function diamond(command: Command = copy): Promise<EngineWorld> {
  const world = await EngineWorld.make(command);
  for (const name of ['a', 'b']) await world.set({ name, cmd: [name], input: reads('data') });
  await world.set({ name: 'c', cmd: ['c'], input: reads('a', 'b', 'data') });
  return world;
}

test('a commit becomes a job of each pipeline that it reaches, one of each', async () => {
  await using world = await diamond();
  await using serving = new Serving(world);
  await serving.next('serving');
  for (const text of ['1', '2']) {
    await world.commit('data', { x: text });
    await serving.next('job-ended', 'c');
  }
  expect(serving.jobs).toHaveLength(6);
  expect(serving.jobs.filter((job) => job === 'c success')).toHaveLength(2);
  expect(await world.files('c')).toEqual({ 'a/data/x': '2', 'b/data/x': '2', 'data/x': '2' });
  // One that begins anew finds nothing to do but what is new.
  await serving.end();
  await using another = new Serving(world);
  await world.commit('data', { x: '3' });
  await another.next('job-ended', 'c');
  expect(another.jobs).toHaveLength(3);
});

test('what failed is not run again by itself, and what reads it waits', async () => {
  const ending = { kind: 'exit', code: 1 } as const;
  await using world = await diamond((seen, [name]) =>
    name === 'a' && seen['data/x'] === 'bad' ? { ending } : { out: seen },
  );
  await using serving = new Serving(world);
  await world.commit('data', { x: 'bad' });
  expect((await serving.next('job-ended', 'a')).outcome).toMatchObject({ state: 'failure' });
  // A move of the head that changes nothing for it.
  await world.commit('more', { x: '1' });
  await world.commit('data', { x: 'good' });
  await serving.next('job-ended', 'c');
  expect(serving.jobs.filter((job) => job.startsWith('a'))).toEqual(['a failure', 'a success']);
  expect(serving.jobs.filter((job) => job.startsWith('c'))).toEqual(['c success']);
});

test('an engine that is ended leaves its job to the next one, which goes on under its id', async () => {
  let isHeld = true;
  await using world = await EngineWorld.make(async (seen, _, { signal }) => {
    if (isHeld && world.executor.ran.length > 1) {
      await aborted(signal);
      return { ending: { kind: 'aborted' } };
    }
    return { out: seen };
  });
  await world.set({ name: 'a', input: { pfs: { repo: 'data', glob: '/*' } } });
  await world.commit('data', { x: '1', y: '2' });
  const first = new Serving(world, { workers: 1, graceMs: 0 });
  await first.next('datum-ended');
  await first.next('datum-begun');
  await first.end();
  const [left] = await listJobs(await world.project.snapshot(), 'a');
  expect(left).toMatchObject({ state: 'running' });
  isHeld = false;
  await using second = new Serving(world);
  const { job, outcome } = await second.next('job-ended');
  expect(job).toBe(left?.id);
  expect(outcome).toMatchObject({ state: 'success', counts: { total: 2, processed: 2 } });
  expect(await listJobs(await world.project.snapshot(), 'a')).toHaveLength(1);
  expect(world.executor.ran).toHaveLength(3);
});

test('ticks come when their time has come, and become jobs; after the clock was set back, too', async () => {
  await using world = await EngineWorld.make(copy);
  const clock = new TestClock('2026-03-28T00:30:00Z');
  const cron = { name: 'tick', spec: '30 2 * * *', start: '2026-03-28T00:30:00Z' };
  await world.set({ name: 'a', input: { cron }, dev: { timezone: 'Europe/Berlin' } });
  await using serving = new Serving(world, { clock });
  const job = async (): Promise<string[]> => {
    await serving.next('job-ended', 'a');
    return Object.keys((await world.files('a')) ?? {});
  };
  // Through the night in which there is no 02:30.
  const [first, second, third] = ['2026-03-28T01:30:00Z', '2026-03-29T01:00:00Z', '2026-03-30T00:30:00Z'] as const;
  for (const time of [first, second]) {
    await clock.waitedFor(time);
    clock.set(time);
    expect(await job()).toContain(`tick/${time}`);
  }
  // A pipeline that is made meanwhile ticks from then on.
  await world.set({ name: 'b', input: { cron: { ...cron, spec: '@hourly', start: '2026-03-29T01:15:00Z' } } });
  await clock.waitedFor('2026-03-29T02:00:00Z');
  // The clock jumps ahead by a year, and back.
  clock.set('2027-03-29T12:00:00Z');
  await serving.next('job-ended', 'b');
  clock.set('2026-03-29T01:20:00Z');
  await clock.waitedFor('2026-03-29T02:00:00Z');
  clock.set(third);
  expect(await job()).toContain(`tick/${third}`);
});
