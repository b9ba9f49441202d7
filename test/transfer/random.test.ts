/**
 * Random histories go back and forth between three stores: commits, branches, purges, collections and runs
 * of a pipeline on each, and pushes and pulls between any two, held against a model.
 */
import { expect, test } from 'vitest';
import { EngineWorld } from '../engine/world.ts';
import { randomOf } from '../store/faults.ts';
import { isLong } from '../support/long.ts';
import { expectWhole } from './pushing.ts';
import { Worlds } from './random-worlds.ts';

const seeds = isLong ? Array.from({ length: 30 }, (_, n) => n + 1) : [Number(process.env['SEED'] ?? 7)];
const steps = isLong ? 120 : 45;

test.each(seeds)('random histories between three stores, seed %i', async (seed) => {
  const random = randomOf(seed);
  const measure = (seen: object) => ({ out: { sizes: JSON.stringify(seen) } });
  const worlds = await Promise.all([0, 1, 2].map(() => EngineWorld.make(measure)));
  const all = new Worlds(worlds, random);
  try {
    for (const world of worlds) await world.set({ name: 'sizes', input: { pfs: { repo: 'data', glob: '/' } } });
    for (let n = 0; n < steps; n += 1) await all.step();
    for (const world of worlds) await expectWhole(world.project);
  } catch (error) {
    throw new Error(`seed ${seed}:\n${all.log.join('\n')}`, { cause: error });
  } finally {
    for (const world of worlds) await world[Symbol.asyncDispose]();
  }
  const { moved, refused, nothing } = all.ends;
  expect(Math.min(moved, refused, ...(isLong ? [] : [nothing]))).toBeGreaterThan(0);
});
