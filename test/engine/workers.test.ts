/**
 * Workers that break: another takes their place, and their datum runs again.
 */
import { expect, test } from 'vitest';
import { PachError } from '../../src/base/errors.ts';
import type { Task, Worker, WorkerOptions } from '../../src/execution/executor.ts';
import { copy, EngineWorld, type Command } from './world.ts';

const input = { pfs: { repo: 'data', glob: '/*' } };
const good = { total: 4, processed: 4, skipped: 0, failed: 0, recovered: 0 };
const held = (): Promise<boolean> => Promise.resolve(true);
const gone = (): never => {
  throw new PachError('failed', { what: 'worker', why: 'it was ended from outside' });
};

async function worldWith(command: Command, transform: object = {}): Promise<EngineWorld> {
  const world = await EngineWorld.make(command);
  await world.commit('data', { a: '1', b: '2', c: '3', d: '4' });
  await world.set({ name: 'p', input, transform: { cmd: ['f'], ...transform } });
  return world;
}

test('a worker that breaks twice at a datum is replaced', async () => {
  let runs = 0;
  await using world = await worldWith((seen) => {
    runs += 1;
    return runs === 2 || runs === 3 ? gone() : { out: seen };
  });
  const { job } = await world.run('p');
  expect(job).toMatchObject({ state: 'success', counts: good });
  expect(runs).toBe(6);
  expect(world.executor.workers).toBe(0);
});

test('one that always breaks ends the job, with what it said, and what was published stays', async () => {
  let runs = 0;
  await using world = await worldWith((seen) => {
    runs += 1;
    return runs > 2 ? gone() : { out: seen };
  });
  await expect(world.run('p')).rejects.toMatchObject({ code: 'failed', why: 'it was ended from outside' });
  expect(runs).toBe(5);
  world.executor.command = copy;
  expect((await world.run('p')).job.counts).toMatchObject({ processed: 2, skipped: 2 });
});

test('a worker that breaks in a batch is replaced too', async () => {
  await using world = await worldWith(copy, { datum_batching: true });
  const { executor } = world;
  const open = executor.open.bind(executor);
  let broken = 0;
  executor.open = async (options: WorkerOptions): Promise<Worker> => {
    const worker = await open(options);
    const run = async (task: Task) => {
      const env = await task.nextDatum?.(false, held);
      if (env && broken < 2 && executor.ran.length > 0) {
        broken += 1;
        return gone();
      }
      // All datums: the fake worker runs its function for each.
      expect(executor.workers).toBe(1);
      for (let next = env; next; next = await task.nextDatum?.(false, held)) await worker.run(task);
      return { ending: { kind: 'exit' as const, code: 0 }, wallMs: 1, cpuMs: 1, memoryBytesPeak: 1 };
    };
    return { ...worker, run, [Symbol.asyncDispose]: () => worker[Symbol.asyncDispose]() };
  };
  executor.command = (seen) => {
    if (executor.ran.length !== 2 || broken > 0) return { out: seen };
    broken += 1;
    return gone();
  };
  const { job } = await world.run('p');
  expect(job).toMatchObject({ state: 'success', counts: good });
  expect(broken).toBe(2);
  expect(await world.files('p')).toEqual({ 'data/a': '1', 'data/b': '2', 'data/c': '3', 'data/d': '4' });
});

test('executors of one class find the results of each other, another class does not', async () => {
  await using world = await worldWith(copy);
  const { executor } = world;
  executor.resultsClass = 'docker';
  const kinds = async (): Promise<object> => {
    const { job } = await world.run('p');
    return { executor: job.executor, processed: job.counts.processed, skipped: job.counts.skipped };
  };
  expect(await kinds()).toEqual({ executor: 'function', processed: 4, skipped: 0 });
  executor.name = 'cluster';
  expect(await kinds()).toEqual({ executor: 'cluster', processed: 0, skipped: 4 });
  executor.resultsClass = 'process';
  expect(await kinds()).toEqual({ executor: 'cluster', processed: 4, skipped: 0 });
});
