/**
 * What a datum of a store pool waits for between two commands: as little as in the engine's own process.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { WorkObjects } from '../../src/execution/store/work-objects.ts';
import { leasedJobs } from '../../src/pipelines/jobs/running.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { traceStore } from '../../src/store/trace.ts';
import { commitMany, expectNoWork, quick, storePool, withWorkers, workIn } from './store-workers.ts';
import { EngineWorld } from './world.ts';

/** Nothing is delivered before the end: shards stay as they are at first, of one datum each. */
const unknown = { ...quick, claimMs: 600_000, askMs: 60_000, beatMs: 60_000, deliverMs: 60_000, deliverMsMax: 60_000 };

/** Shards that lie in the store, of the job that runs. */
async function shardsOf({ project }: EngineWorld): Promise<number> {
  for await (const { job } of leasedJobs(await project.snapshot())) {
    return (await new WorkObjects(project, job.id).list()).shards.size;
  }
  return 0;
}

test('a worker has the next shard before its command has ended', async () => {
  const inner = new MemoryStore();
  const { store, counts } = traceStore(inner);
  const of = (verb: string, part: string): number =>
    counts.requests.filter((each) => each.verb === verb && each.key.includes(part)).length;
  const waits: number[] = [];
  let ran = 0;
  await using world = await EngineWorld.make(async (seen) => {
    ran += 1;
    // How long they take is unknown at the first one; the last one is left to others.
    const isAhead = ran > 1 && ran < 13;
    const isLate = (): boolean => isAhead && of('readTail', '/shard-') <= ran;
    for (const until = performance.now() + 20_000; isLate() && performance.now() < until;) await sleep(1);
    if (isLate()) waits.push(ran);
    return { out: seen };
  }, inner);
  await commitMany(world.project, 14);
  await world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } } });
  const running = world.run('p', { pool: storePool(world.project, unknown) });
  await expect.poll(() => shardsOf(world)).toBe(14);
  const stop = new AbortController();
  const working = workIn(world, stop.signal, { store, times: unknown });
  const { job } = await running;
  stop.abort();
  await working;
  expect(job.counts).toMatchObject({ total: 14, processed: 14 });
  expect(waits).toEqual([]);
  // A claim and a read for each.
  expect([of('writeIfUnchanged', '/claim-'), of('readTail', '/shard-')]).toEqual([14, 14]);
  await expectNoWork(inner);
});

test('the last shard is for a worker that has none', async () => {
  const runs = { now: 0 };
  await using world = await EngineWorld.make(async (seen) => {
    runs.now += 1;
    // The fifth runs until the sixth does. Those before it were quick, so that their worker would take more.
    while (runs.now === 5) await sleep(1);
    return { out: seen };
  });
  await commitMany(world.project, 6);
  await world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } } });
  const run = world.run('p', { pool: storePool(world.project, unknown) });
  await expect.poll(() => shardsOf(world)).toBe(6);
  const stop = new AbortController();
  const working = [workIn(world, stop.signal, { times: unknown })];
  while (runs.now < 5) await sleep(1);
  working.push(workIn(world, stop.signal, { times: unknown }));
  const { job } = await run;
  stop.abort();
  expect(await Promise.all(working)).toEqual([5, 1]);
  expect(job.counts).toMatchObject({ total: 6, processed: 6 });
});

test('an engine has a shard ready for each worker that its pipeline asks for', async () => {
  await using world = await EngineWorld.make((seen) => ({ out: seen }));
  await commitMany(world.project, 90);
  await world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } }, parallelism_spec: { constant: 80 } });
  const running = world.run('p', { pool: storePool(world.project, unknown) });
  await expect.poll(() => shardsOf(world)).toBe(80);
  const { result } = await withWorkers(world, 4, () => running);
  expect(result.job.counts).toMatchObject({ total: 90, processed: 90 });
});
