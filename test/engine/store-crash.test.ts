/**
 * Workers and engines of a store pool as processes, killed in the middle. More rounds are in
 * test/long/store-crash.test.ts.
 */
import { expect, test } from 'vitest';
import { CrashPlace, expectDone } from './crash-place.ts';
import { killElsewhere } from './store-rounds.ts';

test('the result of workers and engines that were killed is that of an engine that was not', async () => {
  await using calm = await CrashPlace.make(12);
  await expectDone(calm.start());
  await using place = await CrashPlace.make(12);
  const killed = await killElsewhere(place, 7, { engines: 1, workers: 2 });
  expect(killed.engines + killed.workers).toBeGreaterThan(0);
  expect((await place.head()).contentHash).toEqual((await calm.head()).contentHash);
});
