/**
 * Very many datums and workers of a store pool in one process, at the pace of real ones: how often the
 * head moves, what is asked of the store, and what is left in it.
 */
import { expect, test } from 'vitest';
import { workTimes } from '../../src/execution/store/times.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { traceStore } from '../../src/store/trace.ts';
import { collectGarbage } from '../../src/versions/upkeep/gc.ts';
import { commitMany, expectNoWork, resultsOf, storePool, withWorkers } from '../engine/store-workers.ts';
import { EngineWorld } from '../engine/world.ts';

const datums = Number(process.env['DATUMS'] ?? 10_000);
const workers = Number(process.env['WORKERS'] ?? 20);

test('very many datums and workers', async () => {
  const { store, counts } = traceStore(new MemoryStore());
  await using world = await EngineWorld.make((seen) => ({ out: seen }), store);
  await commitMany(world.project, datums);
  await world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } } });
  counts.reset();
  const begun = performance.now();
  const run = () => world.run('p', { pool: storePool(world.project, workTimes) });
  const { result } = await withWorkers(world, workers, run, workTimes);
  const seconds = (performance.now() - begun) / 1000;
  expect(result.job.counts).toMatchObject({ total: datums, processed: datums });
  expect(world.executor.ran.length).toBe(datums);
  expect((await resultsOf(store)).size).toBe(datums);
  await expectNoWork(store);
  const of = (verb: string, part: string): number =>
    counts.requests.filter((each) => each.verb === verb && each.key.includes(part)).length;
  const moves = of('writeIfUnchanged', '/head');
  const deliveries = of('writeIfAbsent', '/delivery-');
  const requests = counts.requests.length / datums;
  const shown = { seconds, moves, deliveries, shards: of('writeIfAbsent', '/shard-'), lists: of('list', '/work/') };
  console.log({ datums, workers, ...shown, requestsPerDatum: requests, mib: process.memoryUsage().rss / 2 ** 20 });
  // It makes its branch, begins, ends, and renews its lease; else at most one in ten seconds.
  expect(moves).toBeLessThanOrEqual(5 + seconds / 10);
  let before = 0;
  for await (const _ of store.list('projects/')) before += 1;
  await collectGarbage(world.project, { grace: 0, dryRun: false, progress: () => undefined });
  let after = 0;
  for await (const _ of store.list('projects/')) after += 1;
  console.log({ objectsBefore: before, objectsAfter: after });
  expect(after).toBeLessThan(2 * deliveries);
});
