/**
 * Engines and workers of a store pool that are cut off the store at random moments, as if they had
 * been killed, until an engine comes to the job's end: nothing is lost and nothing published twice.
 */
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { runGraph, type GraphStep } from '../../src/engine/run-graph.ts';
import { encodeLease } from '../../src/model/records/pipelines.ts';
import { leasedJobs } from '../../src/pipelines/jobs/running.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import type { Store } from '../../src/store/store.ts';
import { leaseKey } from '../../src/versions/ref-keys.ts';
import { numbers } from '../support/numbers.ts';
import { openTestProject } from '../versions/project.ts';
import { connection, expectNoWork, quick, resultsOf, storePool, workIn } from './store-workers.ts';
import { EngineWorld } from './world.ts';

/** A claim of who was cut off is free soon. */
const killed = { ...quick, claimMs: 400 };
const datums = 24;
const workers = 3;
const requestsMax = 150;

/** A store that keeps every head that it had. */
export function keepingHeads(store: Store): { readonly store: Store; readonly heads: Buffer[] } {
  const heads: Buffer[] = [];
  const keeping = new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (name !== 'writeIfUnchanged') return typeof value === 'function' ? value.bind(target) : value;
      return async (key: string, bytes: Uint8Array, token: never) => {
        const written = await target.writeIfUnchanged(key, bytes, token);
        if (written !== undefined && key.endsWith('/head')) heads.push(Buffer.from(bytes));
        return written;
      };
    },
  });
  return { store: keeping, heads };
}

/** One engine of a job, from a connection of its own. */
export async function runFrom(world: EngineWorld, store: Store, times = killed): Promise<GraphStep> {
  const project = openTestProject(store);
  const logs = await mkdtemp(join(world.dir, 'logs-'));
  const { signal } = new AbortController();
  let last: GraphStep | undefined;
  const graph = runGraph({
    project,
    names: ['p'],
    branch: undefined,
    pinned: new Map(),
    tell: () => undefined,
    jobOptions: () => {
      const pool = storePool(project, times);
      return Promise.resolve({
        executor: world.executor,
        pool,
        logs: () => Promise.resolve(logs),
        recompute: 0,
        signal,
      });
    },
  });
  for await (const step of graph) last = step;
  return last as GraphStep;
}

/** As if the time of all leases were up. */
export async function endLeases(store: Store): Promise<void> {
  const project = openTestProject(store);
  await project.update('test', async (change) => {
    for await (const { lease, job } of leasedJobs(change.snapshot)) {
      const key = leaseKey(job.pipeline, job.branch);
      change.set({ key, value: encodeLease({ ...lease, until: 1 }), refs: [] });
    }
  });
}

/** Keeps so many workers at it, of which each is cut off after some requests but for the last ones. */
async function keepWorking(
  world: EngineWorld,
  next: () => number,
  signal: AbortSignal,
  killsMax: number,
): Promise<number> {
  let kills = 0;
  const one = async (): Promise<void> => {
    while (!signal.aborted) {
      const own = connection(world.store);
      const isKilled = kills < killsMax;
      if (isKilled) own.cut(5 + Math.floor(next() * requestsMax));
      const working = workIn(world, signal, { store: own.store });
      const cut = (async () => {
        while (!own.isCut && !signal.aborted) await sleep(5);
      })();
      await Promise.race([working, cut]);
      if (own.isCut) kills += 1;
    }
  };
  await Promise.all(Array.from({ length: workers }, one));
  return kills;
}

/** Runs a job to its end, killing engines and workers on the way. Resolves to how many of each. */
export async function killAtRandom(
  seed: number,
  inner: Store = new MemoryStore(),
): Promise<{ engines: number; workers: number }> {
  const next = numbers(seed);
  const { store, heads } = keepingHeads(inner);
  await using world = await EngineWorld.make(async (seen) => {
    await sleep(10);
    return { out: seen, log: 'seen\n' };
  }, store);
  const files = Object.fromEntries(Array.from({ length: datums }, (_, n) => [`f${n}`, `text ${n}`]));
  await world.commit('data', files);
  await world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } } });
  const stop = new AbortController();
  const working = keepWorking(world, next, stop.signal, 4);
  let engines = 0;
  let step: GraphStep | undefined;
  for (let killsLeft = 3; !step; killsLeft -= 1) {
    const own = connection(world.store);
    if (killsLeft > 0) own.cut(20 + Math.floor(next() * requestsMax));
    const running = runFrom(world, own.store);
    const cut = (async () => {
      while (!own.isCut && !stop.signal.aborted) await sleep(5);
    })();
    step = await Promise.race([running, cut.then(() => undefined)]);
    if (step) break;
    engines += 1;
    await endLeases(world.store);
  }
  stop.abort();
  const workersKilled = await working;
  expect(step?.job.state).toBe('success');
  expect(step?.job.counts.total).toBe(datums);
  expect(await world.files('p')).toEqual(
    Object.fromEntries(Object.entries(files).map(([name, text]) => [`data/${name}`, text])),
  );
  // What a worker delivered that did not know of the end, the next engine takes away.
  await world.run('p', { pool: storePool(world.project) });
  await expectNoWork(world.store);
  await expectPublishedOnce(world.store, heads, datums);
  return { engines, workers: workersKilled };
}

/** Every result stayed as it was published first. */
export async function expectPublishedOnce(store: Store, heads: readonly Buffer[], count: number): Promise<void> {
  const first = new Map<string, string>();
  for (const head of heads) {
    for (const [key, { run }] of await resultsOf(store, head)) {
      expect(first.get(key) ?? run).toBe(run);
      first.set(key, run);
    }
  }
  expect(first.size).toBe(count);
  expect((await resultsOf(store)).size).toBe(count);
}
