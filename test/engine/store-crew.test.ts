/**
 * Workers that an engine brings for its own job, as it does in a cluster.
 */
import { expect, test } from 'vitest';
import { PachError } from '../../src/base/errors.ts';
import type { Crew, CrewJob } from '../../src/execution/store/crew.ts';
import { StorePool } from '../../src/execution/store/store-pool.ts';
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
