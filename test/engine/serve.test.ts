/**
 * The engine that stays up: what becomes a job, in which order, and what happens when something is in
 * the way.
 */
import { expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { PachError } from '../../src/base/errors.ts';
import { WorkTable } from '../../src/engine/work-table.ts';
import { deletePipeline, setPipelines } from '../../src/pipelines/editing/edit-pipelines.ts';
import { listJobs, type Job } from '../../src/pipelines/jobs/jobs.ts';
import { parseSpec } from '../../src/pipelines/spec/parse.ts';
import { statusInfo } from '../../src/shown/status.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import type { Store } from '../../src/store/store.ts';
import { createRepo, deleteRepo } from '../../src/versions/refs.ts';
import { TestClock } from '../support/clock.ts';
import { isLong } from '../support/long.ts';
import { openTestProject } from '../versions/project.ts';
import { Serving } from './serving.ts';
import { copy, EngineWorld, type Command } from './world.ts';

const reads = (...repos: string[]): object => {
  const inputs = repos.map((repo) => ({ pfs: { repo, glob: '/' } }));
  return inputs.length === 1 ? inputs[0]! : { cross: inputs };
};

const puts = isLong ? 1000 : 30;

const image = (name: string): object => ({ cmd: [name], image: name });

/** The jobs of these pipelines, once all of them are done. */
async function settled(world: EngineWorld, names: readonly string[]): Promise<Job[]> {
  const done = async (): Promise<boolean> => {
    const { pipelines } = await statusInfo(world.project, Date.now());
    return pipelines.every(({ name, state }) => !names.includes(name) || state === 'idle');
  };
  await expect.poll(done).toBe(true);
  return (await listJobs(await world.project.snapshot())).filter(({ pipeline }) => names.includes(pipeline));
}

/** A store in memory that nobody reaches now and then: only those that watch it are told. */
function faulty(isAway: () => boolean): Store {
  const store = new MemoryStore();
  const look = store.readIfChanged.bind(store);
  store.readIfChanged = (...of) => {
    if (isAway()) throw new PachError('unreachable', { what: 'memory:', why: 'it does not answer' });
    return look(...of);
  };
  return store;
}

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
  // A job of the year after may end before that of this tick.
  for (let done: string[] = []; !done.includes(`tick/${third}`);) done = await job();
});

test('two engines with one store share the work: each job is run once', async () => {
  await using world = await diamond();
  await using _ = new Serving(world, { project: openTestProject(world.store) });
  await using serving = new Serving(world);
  for (let number = 1; number <= 20; number += 1) await world.commit('data', { x: String(number) });
  const jobs = await settled(world, ['a', 'b', 'c']);
  // One job for each set of inputs, and none twice.
  const inputs = jobs.map((job) => JSON.stringify([job.pipeline, job.inputs]));
  expect(new Set(inputs).size).toBe(inputs.length);
  expect(jobs.filter(({ state }) => state !== 'success')).toEqual([]);
  expect(await world.files('c')).toEqual({ 'a/data/x': '20', 'b/data/x': '20', 'data/x': '20' });
  expect(serving.events.filter(({ kind }) => kind === 'trouble')).toEqual([]);
});

test('what reads one pipeline alone goes on with what that has made, also while commits come without end', async () => {
  const gates: (() => void)[] = [];
  await using world = await EngineWorld.make(async (seen, [name]) => {
    if (name === 'a') await new Promise<void>((go) => gates.push(go));
    return { out: seen };
  });
  await world.set({ name: 'a', cmd: ['a'], input: reads('data') });
  await world.set({ name: 'b', cmd: ['b'], input: reads('a') });
  await using serving = new Serving(world);
  const open = (): void => gates.shift()?.();
  for (const text of ['1', '2', '3']) {
    await world.commit('data', { x: text });
    await expect.poll(() => gates.length).toBe(1);
    // The next one is there before the job of the last one ends.
    await world.commit('data', { x: `${text} and more` });
    open();
    await serving.next('job-ended', 'b');
    await expect.poll(() => gates.length).toBe(1);
    open();
    await serving.next('job-ended', 'b');
  }
  expect(await world.files('b')).toEqual({ 'a/data/x': '3 and more' });
});

test('a pipeline with many datums does not keep a small one from its turn', async () => {
  const order: string[] = [];
  await using world = await EngineWorld.make(async (seen, [name = '']) => {
    order.push(name);
    await new Promise((later) => setTimeout(later, 5));
    return { out: seen };
  });
  const many = Object.fromEntries(Array.from({ length: 120 }, (_, number) => [`f${number}`, String(number)]));
  const parallelism_spec = { constant: 4 };
  await world.set({ name: 'big', cmd: ['big'], input: { pfs: { repo: 'data', glob: '/*' } }, parallelism_spec });
  await world.set({ name: 'small', cmd: ['small'], input: { pfs: { repo: 'more', glob: '/*' } } });
  await world.commit('data', many);
  await using serving = new Serving(world, { workers: 2 });
  await serving.next('datum-ended', 'big');
  expect(world.executor.workers).toBeLessThanOrEqual(2);
  await world.commit('more', { x: '1', y: '2' });
  await serving.next('job-ended', 'small');
  // It has come to its end while most of the big one still waits.
  expect(order.filter((name) => name === 'big').length).toBeLessThan(110);
  expect(serving.jobs).toEqual(['small success']);
  await serving.next('job-ended', 'big');
  // Two at a time, and those that wait for the next job.
  expect(world.executor.workers).toBeLessThanOrEqual(4);
});

test('a job is not run again by an engine that has not seen it yet, or not its end', async () => {
  await using world = await EngineWorld.make(copy);
  await world.set({ name: 'a', input: reads('data') });
  await world.commit('data', { x: '1' });
  const { job } = await world.run('a', { after: null });
  const message = 'pipeline a: another engine has just run it';
  await expect(world.run('a', { after: null })).rejects.toThrow(message);
  await expect(world.run('a', { after: { ...job, state: 'running' } })).rejects.toThrow(message);
  expect(await listJobs(await world.project.snapshot())).toHaveLength(1);
  await world.run('a', { after: job });
});

test('an engine for some pipelines leaves the others alone, and waits for what they make', async () => {
  await using world = await diamond();
  await using serving = new Serving(world, { only: ['b', 'c'] });
  await world.commit('data', { x: '1' });
  expect((await serving.next('due', 'c')).waitsFor).toBe('a');
  await serving.next('job-ended', 'b');
  expect(serving.jobs).toEqual(['b success']);
  await using _ = new Serving(world, { only: ['a'], project: openTestProject(world.store) });
  await serving.next('job-ended', 'c');
  expect(await world.files('c')).toEqual({ 'a/data/x': '1', 'b/data/x': '1', 'data/x': '1' });
});

test('what is wrong with one pipeline is told once, keeps no other from running, and is tried again', async () => {
  await using world = await EngineWorld.make(copy);
  for (const name of ['bad', 'good'])
    await world.set({ name, cmd: [name], input: reads('data'), transform: image(name) });
  const { executor } = world;
  const fingerprint = executor.fingerprint.bind(executor);
  let asked = 0;
  executor.fingerprint = (name?: string) => {
    if (name !== 'bad') return fingerprint();
    asked += 1;
    throw new PachError('not-found', { what: 'image bad', why: 'it is not to be had' });
  };
  const clock = new TestClock();
  await using serving = new Serving(world, { clock });
  await world.commit('data', { x: '1' });
  expect(await serving.next('trouble', 'bad')).toMatchObject({ error: { message: 'image bad: it is not to be had' } });
  await world.commit('data', { x: '2' });
  await serving.next('job-ended', 'good');
  // New input is a reason to try at once; nothing but time comes after that.
  await expect.poll(() => asked).toBeGreaterThan(1);
  executor.fingerprint = fingerprint;
  await expect.poll(() => (clock.pass(60_000), serving.jobs)).toContain('bad success');
  await serving.next('trouble-over', 'bad');
  expect(serving.events.filter(({ kind }) => kind === 'trouble')).toHaveLength(1);
});

test('a newer input replaces what waits, and not what runs', async () => {
  const gates: (() => void)[] = [];
  await using world = await EngineWorld.make(async (seen) => {
    await new Promise<void>((go) => gates.push(go));
    return { out: seen };
  });
  await world.set({ name: 'a', input: reads('data') });
  await using serving = new Serving(world);
  await world.commit('data', { x: '0' });
  await serving.next('datum-begun');
  for (let number = 1; number <= puts; number += 1) await world.commit('data', { x: String(number) });
  await expect.poll(() => gates.shift()?.()).toBeUndefined();
  await serving.next('job-ended');
  await expect.poll(() => (gates.shift()?.(), serving.jobs)).toHaveLength(2);
  expect(world.executor.ran).toEqual([{ 'data/x': '0' }, { 'data/x': String(puts) }]);
});

test('a spec that is updated while its job runs is run after it; a repo that is gone is waited for', async () => {
  const gates: (() => void)[] = [];
  await using world = await EngineWorld.make(async (seen, [name = '']) => {
    if (name === 'old') await new Promise<void>((go) => gates.push(go));
    return { out: { [name]: Object.values(seen).join('') } };
  });
  await world.set({ name: 'a', cmd: ['old'], input: reads('data') });
  await using serving = new Serving(world);
  await world.commit('data', { x: '1' });
  await serving.next('datum-begun');
  await world.set({ name: 'a', cmd: ['new'], input: reads('data') });
  await expect.poll(() => gates.length).toBe(1);
  gates.shift()?.();
  await serving.next('job-ended');
  expect((await serving.next('due', 'a')).cause).toBe('spec');
  await serving.next('job-ended');
  expect(await world.files('a')).toEqual({ new: '1' });
  await deleteRepo(world.project, 'data', { force: true });
  const waits = async (): Promise<unknown> => (await statusInfo(world.project, Date.now())).pipelines[0]?.waitingFor;
  expect(await waits()).toBe('repo data');
  await createRepo(world.project, 'data', '');
  expect(await waits()).toBe('a commit in data@master');
  await world.commit('data', { x: '2' });
  await serving.next('job-ended');
  expect(await world.files('a')).toEqual({ new: '2' });
  // Deleted: nothing of it is left, and nothing runs.
  await deletePipeline(world.project, 'a', { force: false, keepRepo: false });
  await world.commit('data', { x: '3' });
  await world.set({ name: 'b', cmd: ['new'], input: reads('data') });
  await serving.next('job-ended', 'b');
  expect(serving.jobs).toEqual(['a success', 'a success', 'a success', 'b success']);
});

test('a store that is away for an hour is told of once, and then what came meanwhile is run', async () => {
  let isAway = false;
  const store = faulty(() => isAway);
  await using world = await EngineWorld.make(copy, store);
  await world.set({ name: 'a', input: reads('data') });
  const clock = new TestClock();
  await using serving = new Serving(world, { clock, project: openTestProject(store) });
  await world.commit('data', { x: '1' });
  await serving.next('job-ended');
  isAway = true;
  expect(await serving.next('trouble')).toMatchObject({ pipeline: null, error: { code: 'unreachable' } });
  clock.pass(3_600_000);
  isAway = false;
  for (const text of ['2', '3']) await world.commit('data', { x: text });
  await serving.next('trouble-over');
  await serving.next('job-ended');
  expect(world.executor.ran).toEqual([{ 'data/x': '1' }, { 'data/x': '3' }]);
  expect(serving.events.filter(({ kind }) => kind === 'trouble')).toHaveLength(1);
});

test('of 500 pipelines only those are looked at that a commit reaches', async () => {
  await using world = await EngineWorld.make(copy);
  const specs = Array.from({ length: 500 }, (_, number) => {
    const repo = number === 7 ? 'more' : 'data';
    const document = { pipeline: { name: `p${number}` }, transform: { cmd: ['f'] }, input: reads(repo) };
    return parseSpec(document, { file: 'spec', folder: world.dir, project: 'default' });
  });
  const { signal } = new AbortController();
  const skipped = (): void => undefined;
  await setPipelines(world.project, specs, { update: true, reprocess: false, signal, skipped });
  const table = new WorkTable();
  expect((await table.update(await world.project.snapshot())).looked.size).toBe(500);
  await world.commit('more', { x: '1' });
  const snapshot = await world.project.snapshot();
  let nodes = 0;
  const { reader } = world.project;
  const node = reader.node.bind(reader);
  reader.node = (...of) => ((nodes += 1), node(...of));
  expect([...(await table.update(snapshot)).looked]).toEqual(['p7']);
  expect(nodes).toBeLessThan(60);
  nodes = 0;
  expect((await table.update(snapshot)).looked.size).toBe(0);
  expect(nodes).toBe(0);
});

test('status says how pipelines stand without an engine, and which engines there are', async () => {
  const ending = { kind: 'exit', code: 1 } as const;
  await using world = await diamond((seen, [name]) =>
    name === 'a' && seen['data/x'] === 'bad' ? { ending } : { out: seen },
  );
  const now = Date.now();
  const status = async (): Promise<unknown> => {
    const { pipelines } = await statusInfo(world.project, now + 3_600_000);
    return pipelines.map(({ name, state, waitingFor, lag }) => [name, state, waitingFor, lag > 3000]);
  };
  expect(await status()).toEqual([
    ['a', 'waiting', 'a commit in data@master', false],
    ['b', 'waiting', 'a commit in data@master', false],
    ['c', 'waiting', 'a commit in a@master', false],
  ]);
  await world.commit('data', { x: 'bad' });
  expect(await status()).toEqual([
    ['a', 'waiting', 'an engine', true],
    ['b', 'waiting', 'an engine', true],
    ['c', 'waiting', 'a', true],
  ]);
  const serving = new Serving(world, { only: ['a', 'b', 'c'], clock: systemClock });
  await serving.next('job-ended', 'b');
  await expect
    .poll(async () => (await statusInfo(world.project, Date.now())).engines)
    .toMatchObject([{ only: ['a', 'b', 'c'], version: '0' }]);
  await expect.poll(() => serving.jobs).toHaveLength(2);
  await serving.end();
  expect(await status()).toEqual([
    ['a', 'failed', null, true],
    ['b', 'idle', null, false],
    ['c', 'waiting', 'a', true],
  ]);
  expect((await statusInfo(world.project, Date.now())).engines).toEqual([]);
});
