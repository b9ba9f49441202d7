/**
 * Workers that an engine brings for its own job, as it does in a cluster.
 */
import { expect, test } from 'vitest';
import { PachError } from '../../src/base/errors.ts';
import { LostLauncher } from '../../src/execution/executor.ts';
import type { Crew, CrewJob, LostBy } from '../../src/execution/store/crew.ts';
import { StorePool } from '../../src/execution/store/store-pool.ts';
import { podHolder, podUidOf, thisEngine } from '../../src/pipelines/jobs/lease.ts';
import { connection, expectNoWork, quick, workIn } from './store-workers.ts';
import { EngineWorld, type Command } from './world.ts';

const spec = { name: 'copy', input: { pfs: { repo: 'data', glob: '/*' } } };
const data = { a: 'one', b: 'two', c: 'three' };

const copy: Command = (seen) => ({ out: seen });

async function copying(): Promise<EngineWorld> {
  const world = await EngineWorld.make(copy);
  await world.set(spec);
  await world.commit('data', data);
  return world;
}

test('the pod of a worker is known by the worker’s name', () => {
  const name = podHolder({ name: 'pach-edges-0-x7', uid: '3f2a-b' });
  expect({ name, uid: podUidOf(name) }).toEqual({ name: 'pod pach-edges-0-x7, 3f2a-b', uid: '3f2a-b' });
  expect(podUidOf(thisEngine('pod a, b').holder)).toBeUndefined();
});

test('a crew comes when there is something to run, is told how much, and has gone when the job has ended', async () => {
  await using world = await copying();
  const told: { open: number; bytes: number }[] = [];
  let isThere = false;
  const crew: Crew = {
    async run(job: CrewJob, signal) {
      isThere = true;
      while (!job.isPlanned()) await new Promise((go) => setTimeout(go, 1));
      told.push({ open: job.open(), bytes: job.datumBytesMax() });
      await workIn(world, signal);
      expect(job.open()).toBe(0);
      isThere = false;
    },
    isGone: () => false,
  };
  const run = async () => world.run('copy', { pool: new StorePool(world.project, quick, crew) });
  expect((await run()).job).toMatchObject({ state: 'success', counts: { processed: 3 } });
  expect({ told, isThere }).toEqual({ told: [{ open: 3, bytes: 5 }], isThere: false });
  // All of it has results: nobody is brought.
  expect((await run()).job).toMatchObject({ state: 'success', counts: { processed: 0, skipped: 3 } });
  expect(told).toHaveLength(1);
  await expectNoWork(world.store);
});

test('a crew that can bring nobody ends the job with what it says', async () => {
  await using world = await copying();
  const crew: Crew = {
    run: () => Promise.reject(new PachError('failed', { what: 'pods of copy', why: 'no node takes them' })),
    isGone: () => false,
  };
  const running = world.run('copy', { pool: new StorePool(world.project, quick, crew) });
  await expect(running).rejects.toThrow('pods of copy: no node takes them');
  await expectNoWork(world.store);
});

test('what a worker had that is known to be gone is free at once, long before its claim would lapse', async () => {
  await using world = await copying();
  const dying = connection(world.store);
  const dead = new AbortController();
  const begun = new Promise<void>((go) => {
    world.executor.command = (seen) => {
      world.executor.command = copy;
      // It has a shard, and nothing is heard of it any more.
      dying.cut();
      go();
      return { out: seen };
    };
  });
  const crew: Crew = {
    async run(_, signal) {
      workIn(world, dead.signal, { store: dying.store }).catch(() => undefined);
      await begun;
      await workIn(world, signal);
    },
    isGone: () => dying.isCut,
  };
  const times = { ...quick, claimMs: 600_000 };
  const { job } = await world.run('copy', { pool: new StorePool(world.project, times, crew) });
  expect(job).toMatchObject({ state: 'success', counts: { processed: 3 } });
  dead.abort();
});

/** Workers that lose their launcher at `b`, so often, for this reason; each of them is followed by another one. */
function losing(world: EngineWorld, times: number, why: LostBy): { crew: Crew; asked: string[] } {
  const asked: string[] = [];
  let left = times;
  world.executor.command = (seen) => {
    if (!('data/b' in seen) || left <= 0) return Promise.resolve({ out: seen });
    throw new LostLauncher('failed', { what: 'the launcher', why: 'it has gone' });
  };
  const crew: Crew = {
    async run(_, signal) {
      while (!signal.aborted) {
        await workIn(world, signal).catch((error: unknown) => {
          if (!(error instanceof LostLauncher)) throw error;
          left -= 1;
        });
      }
    },
    isGone: () => false,
    whyLost(worker) {
      asked.push(worker);
      return Promise.resolve(why);
    },
  };
  return { crew, asked };
}

test('a datum at which launchers are lost for lack of memory fails, after its tries', async () => {
  await using world = await EngineWorld.make(copy);
  await world.set({ ...spec, datum_tries: 2 });
  await world.commit('data', data);
  const { crew, asked } = losing(world, Infinity, 'out-of-memory');
  const { job } = await world.run('copy', { pool: new StorePool(world.project, quick, crew) });
  expect(job).toMatchObject({ state: 'failure', counts: { processed: 2, failed: 1 } });
  // Another worker may come before the engine has drawn its conclusion.
  expect(asked.length).toBeGreaterThanOrEqual(2);
  expect(asked.every((worker) => worker.startsWith('worker '))).toBe(true);
  await expectNoWork(world.store);
});

test('a datum is run again as often as machines are taken away, and three times where nobody knows', async () => {
  await using world = await copying();
  const often = losing(world, 5, 'disrupted');
  const { job } = await world.run('copy', { pool: new StorePool(world.project, quick, often.crew) });
  expect(job).toMatchObject({ state: 'success', counts: { processed: 3 } });
  expect(often.asked).toHaveLength(5);
  await world.commit('data', { ...data, b: 'other' });
  const { crew, asked } = losing(world, Infinity, 'unknown');
  const running = world.run('copy', { pool: new StorePool(world.project, quick, crew) });
  await expect(running).rejects.toThrow('workers broke at it 3 times: the launcher: it has gone');
  expect(asked.length).toBeGreaterThanOrEqual(3);
  await expectNoWork(world.store);
});
