/**
 * What many workers of a store pool ask of the store: one request tells each what is there, and all of
 * them together ask hardly more than some.
 */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { PachError } from '../../src/base/errors.ts';
import { ShardsAhead } from '../../src/execution/store/ahead.ts';
import { FreeShards } from '../../src/execution/store/free-shards.ts';
import { Offering } from '../../src/execution/store/offering.ts';
import { ShardSize } from '../../src/execution/store/shard-size.ts';
import { timesFor, workTimes } from '../../src/execution/store/times.ts';
import { WorkObjects } from '../../src/execution/store/work-objects.ts';
import type { JobId } from '../../src/model/records/pipelines.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { traceStore } from '../../src/store/trace.ts';

import { leasedJobs } from '../../src/pipelines/jobs/running.ts';
import { makeTestProject, openTestProject } from '../versions/project.ts';
import { commitMany, connection, expectNoWork, quick, storePool, workIn } from './store-workers.ts';
import { EngineWorld } from './world.ts';

const hex = (n: number): string => createHash('sha256').update(`${n}`).digest('hex');

test('one request tells a worker which of very many shards are free', async () => {
  const { store, counts } = traceStore(new MemoryStore());
  const { project } = await makeTestProject(store);
  const job = 'a'.repeat(32) as JobId;
  const objects = new WorkObjects(project, job);
  const names = Array.from({ length: 800 }, (_, n) => hex(n));
  const offer = { job, holder: 'engine', beat: 1, ended: false, free: names, claims: 200 };
  let token = await objects.writeOffer(offer, undefined);
  const free = new FreeShards(objects);

  counts.reset();
  expect(await free.look()).toBe('news');
  expect([free.left, free.claims]).toEqual([800, 200]);
  const tried = new Set(Array.from({ length: 300 }, () => free.next()));
  // What it has tried does not come back with the same offer, nor with one that was made before that was seen.
  expect(await free.look()).toBe('unchanged');
  expect(free.left).toBe(500);
  token = await objects.writeOffer({ ...offer, beat: 2 }, token);
  expect(await free.look()).toBe('news');
  const left = Array.from({ length: free.left }, () => free.next() ?? '');
  expect(left.toSorted()).toEqual(names.filter((name) => !tried.has(name)).toSorted());
  expect(free.next()).toBeUndefined();
  // Of two workers each has an order of its own.
  expect(left).not.toEqual(names.filter((name) => !tried.has(name)));
  expect(counts.requests.filter(({ verb }) => verb !== 'writeIfUnchanged').map(({ verb }) => verb)).toEqual([
    'readIfChanged',
    'readIfChanged',
    'readIfChanged',
  ]);

  token = await objects.writeOffer({ ...offer, beat: 3, ended: true }, token);
  expect([await free.look(), free.left]).toEqual(['ended', 0]);
  await store.delete(objects.offerKey);
  expect(free.isGone).toBe(false);
  expect([await free.look(), free.left, free.isGone]).toEqual(['gone', 0, true]);
});

test('workers hear of shards before the engine looks again', async () => {
  const inner = new MemoryStore();
  const { store, counts } = traceStore(inner);
  await using world = await EngineWorld.make((seen) => ({ out: seen }), store);
  await commitMany(world.project, 40);
  await world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } } });
  const times = { ...quick, lookMs: 600_000 };
  const stop = new AbortController();
  const running = world.run('p', { pool: storePool(world.project, times), signal: stop.signal });
  const offered = async (): Promise<number> => {
    for await (const { job } of leasedJobs(await openTestProject(inner).snapshot())) {
      const found = await new WorkObjects(world.project, job.id).readOffer(undefined);
      if (found && found !== 'unchanged') return found.offer.free.length;
    }
    return 0;
  };
  // The last ones are told at the next look: each time there are twice as many.
  await expect.poll(offered).toBeGreaterThan(16);
  const tells = counts.requests.filter(({ verb, key }) => verb === 'writeIfUnchanged' && key.endsWith('/offer'));
  expect(tells.length).toBeLessThan(9);
  stop.abort();
  await expect(running).rejects.toBeDefined();
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
  const size = new ShardSize(workTimes, 1);
  const of = (workers: number, left: number | undefined, ready = left ?? 10_000): number =>
    size.datumsFor(workers, { left, ready });
  // Unless there is one for each of them many times over.
  expect([of(1, 1000), of(1, 10_000), of(1, undefined), of(1000, 10_000), of(1000, 100_000)]).toEqual([1, 9, 9, 1, 6]);
  for (let n = 0; n < 10; n += 1) size.took(1000);
  expect([1, 100, 1000, 2000].map((workers) => of(workers, 1_000_000))).toEqual([10, 18, 180, 180]);
  expect([1, 100, 1000, 2000].map((workers) => of(workers, undefined))).toEqual([10, 10, 45, 45]);
  // At the end there is something for all.
  expect(of(1000, 40_000)).toBe(20);
  expect(of(1000, 1000)).toBe(10);
});

test('what the store did not take is told again, though nothing has changed', async () => {
  const inner = new MemoryStore();
  await makeTestProject(inner);
  let isAway = false;
  const store = Object.assign(Object.create(inner) as MemoryStore, {
    async writeIfUnchanged(...args: Parameters<MemoryStore['writeIfUnchanged']>) {
      if (isAway) throw new PachError('unreachable', { what: 'the store', why: 'it is away' });
      return inner.writeIfUnchanged(...args);
    },
  });
  const project = openTestProject(store);
  const job = 'a'.repeat(32) as JobId;
  const objects = new WorkObjects(project, job);
  const offering = new Offering(project, objects, job);
  await offering.renew(600_000);
  const told = { free: [hex(1)], claims: 0 };
  isAway = true;
  await expect(offering.renew(600_000, told)).rejects.toThrow('away');
  isAway = false;
  await offering.renew(600_000, told);
  expect(await objects.readOffer(undefined)).toMatchObject({ offer: told });
});

test('where there are many workers they leave the store a rest', async () => {
  const inner = new MemoryStore();
  const { project } = await makeTestProject(inner);
  const job = 'a'.repeat(32) as JobId;
  const offer = { job, holder: 'engine', beat: 1, ended: false, free: [], claims: 0 };
  const rest = async (claims: number): Promise<number> => {
    await inner.delete(new WorkObjects(project, job).offerKey);
    await new WorkObjects(project, job).writeOffer({ ...offer, claims }, undefined);
    const connected = connection(inner);
    const free = new FreeShards(new WorkObjects(openTestProject(connected.store), job));
    setTimeout(connected.hold(), 100);
    await free.look();
    expect(free.pauseMs(600_000)).toBe(600_000);
    return free.pauseMs(0);
  };
  expect(await rest(0)).toBe(0);
  expect(await rest(100)).toBeGreaterThan(900);
  expect(await rest(1000)).toBeGreaterThan(4900);
});

test('shards become longer while workers take more than an engine can write, and shorter afterwards', () => {
  const ahead = new ShardsAhead(500);
  const names = Array.from({ length: 2000 }, (_, n) => `${n}`);
  const claimed = (count: number) => new Map(names.slice(0, count).map((name) => [name, '']));
  const after = (count: number, isKnown = true): readonly number[] => {
    ahead.grow(names, claimed(count), isKnown);
    return [ahead.max, ahead.longer];
  };
  expect([ahead.max, ahead.longer]).toEqual([500, 1]);
  // A worker for each shard and none beside: nothing is short.
  expect(after(1000, false)).toEqual([500, 1]);
  // While nobody knows how long datums take there are more shards at first.
  expect(after(2000, false)).toEqual([1000, 1]);
  expect(after(2000, false)).toEqual([1024, 1]);
  expect(after(1900, false)).toEqual([1024, 2]);
  expect(after(1900)).toEqual([1024, 4]);
  expect(after(1600)).toEqual([1024, 4]);
  expect(after(500)).toEqual([1024, 2]);
  expect(after(500)).toEqual([1024, 1]);
  expect(after(500)).toEqual([1024, 1]);

  const size = new ShardSize(workTimes, 1);
  for (let n = 0; n < 10; n += 1) size.took(10_000);
  const of = (left: number, longer: number): number => size.datumsFor(10, { left, ready: left }, longer);
  expect([of(10_000, 1), of(10_000, 8)]).toEqual([1, 8]);
  // But not at the end.
  expect(of(80, 8)).toBe(4);
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
  const shards = of('readTail', '/shard-');
  const deliveries = of('writeIfAbsent', '/delivery-');
  // Hardly two want the same one.
  expect(of('writeIfUnchanged', '/claim-')).toBeLessThan(2 * shards + 60);
  expect(of('writeIfAbsent', '/meta/')).toBe(deliveries);
  // Those who find nothing to do look a few times a second.
  expect(counts.requests.length).toBeLessThan(8 * (shards + deliveries) + 1000);
});
