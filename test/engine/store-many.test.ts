/**
 * What many workers of a store pool ask of the store: each of them looks at a part of what is there, and
 * all of them together ask hardly more than some.
 */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { ShardSize } from '../../src/execution/store/shard-size.ts';
import { timesFor, workTimes } from '../../src/execution/store/times.ts';
import { WorkObjects } from '../../src/execution/store/work-objects.ts';
import type { JobId } from '../../src/model/records/pipelines.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { traceStore } from '../../src/store/trace.ts';

import { makeTestProject } from '../versions/project.ts';
import { commitMany, expectNoWork, quick, storePool, workIn } from './store-workers.ts';
import { EngineWorld } from './world.ts';

const hex = (n: number): string => createHash('sha256').update(`${n}`).digest('hex');

test('a worker looks at a part of very many shards, and comes to see each that is free', async () => {
  const { store, counts } = traceStore(new MemoryStore());
  const { project } = await makeTestProject(store);
  const job = 'a'.repeat(32) as JobId;
  const objects = new WorkObjects(project, job);
  const names = Array.from({ length: 800 }, (_, n) => hex(n));
  const write = async (some: readonly string[]): Promise<void> => {
    for (const name of some) await objects.writeShard(name, { planned: [], isCheck: false });
  };
  await objects.writeOffer({ job, holder: 'engine', beat: 1, ended: false }, undefined);
  await write(names.slice(0, 200));
  counts.reset();
  const few = await objects.free();
  expect([...few.shards.keys()].toSorted()).toEqual(names.slice(0, 200).toSorted());
  expect(counts.requests.length).toBe(1);
  await write(names.slice(200));
  const taken = new Set(names.slice(0, 400));
  for (const datum of taken) await objects.writeClaim({ job, datum, worker: `w ${datum}`, since: 1 }, undefined);
  const free = names.filter((name) => !taken.has(name)).toSorted();

  counts.reset();
  const first = await new WorkObjects(project, job).free();
  expect(typeof first.offer).toBe('string');
  expect(counts.requests.length).toBe(4);
  // It has not gone through all of it to see that there is much.
  expect(counts.requests.reduce((sum, { amount }) => sum + amount, 0)).toBeLessThan(800);
  await objects.free();
  const seen = new Set<string>();
  for (let looks = 0; seen.size < free.length; looks += 1) {
    counts.reset();
    const part = await objects.free();
    // Two listings of a sixteenth, about.
    expect(counts.requests.length).toBe(2);
    expect(counts.requests.reduce((sum, { amount }) => sum + amount, 0)).toBeLessThan(1200 / 8);
    for (const name of part.shards.keys()) seen.add(name);
    expect(part.claims).toBeGreaterThan(100);
    expect(part.claims).toBeLessThan(800);
    expect(looks).toBeLessThan(1000);
  }
  expect([...seen].toSorted()).toEqual(free);
});

test('a thousand workers together ask, look and deliver no more often than a hundred', () => {
  const perSecond = (workers: number) => {
    const { askMs, idleLookMsMax, deliverMsMin } = timesFor(workTimes, workers);
    return {
      asks: (1000 * workers) / askMs,
      looks: (1000 * workers) / idleLookMsMax,
      deliveries: (1000 * workers) / deliverMsMin,
    };
  };
  const { asks, looks, deliveries } = perSecond(1000);
  expect(asks).toBeLessThan(34);
  expect(looks).toBeLessThan(34);
  expect(deliveries).toBe(10);
  // Nor do they take shards more often, of datums of a second.
  const size = new ShardSize(workTimes);
  expect(size.datumsFor(1)).toBe(1);
  for (let n = 0; n < 10; n += 1) size.took(1000);
  expect([1, 100, 1000, 2000].map((workers) => size.datumsFor(workers))).toEqual([10, 18, 180, 180]);
  // At the end there is something for all.
  expect(size.datumsFor(1000, 40_000)).toBe(20);
  expect(size.datumsFor(1000, 1000)).toBe(10);
});

test('thirty workers ask little of the store for a shard and for a delivery', async () => {
  const inner = new MemoryStore();
  const { store, counts } = traceStore(inner);
  await using world = await EngineWorld.make(async (seen) => {
    await new Promise((go) => setTimeout(go, 30));
    return { out: seen };
  }, inner);
  await commitMany(world.project, 200);
  await world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } } });
  // What is asked at times, however little there is to do, is not what is counted here.
  const times = { ...quick, lookMs: 250, beatMs: 60_000, askMs: 60_000, deliverMs: 200 };
  const stop = new AbortController();
  const working = Array.from({ length: 30 }, () => workIn(world, stop.signal, { store, times }));
  const { job } = await world.run('p', { pool: storePool(world.project, { ...times, lookMs: 20, beatMs: 60 }) });
  stop.abort();
  await Promise.all(working);
  expect(job.counts).toMatchObject({ total: 200, processed: 200 });
  await expectNoWork(inner);
  const of = (verb: string, part: string): number =>
    counts.requests.filter((each) => each.verb === verb && each.key.includes(part)).length;
  const shards = of('read', '/shard-');
  const deliveries = of('writeIfAbsent', '/delivery-');
  // Hardly two want the same one.
  expect(of('writeIfUnchanged', '/claim-')).toBeLessThan(2 * shards + 60);
  expect(of('writeIfAbsent', '/meta/')).toBe(deliveries);
  // Those who find nothing to do look a few times a second.
  expect(counts.requests.length).toBeLessThan(8 * (shards + deliveries) + 1000);
});
