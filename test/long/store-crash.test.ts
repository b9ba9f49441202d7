/**
 * As test/engine/store-crash.test.ts and store-pool.test.ts, more rounds.
 */
import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { CrashPlace, expectDone } from '../engine/crash-place.ts';
import { killAtRandom } from '../engine/store-kills.ts';
import { killElsewhere } from '../engine/store-rounds.ts';

const seed = Number(process.env['SEED'] ?? randomInt(2 ** 31));

test('the result of workers and engines that were killed is that of an engine that was not', async () => {
  await using calm = await CrashPlace.make(30);
  await expectDone(calm.start());
  const expected = (await calm.head()).contentHash;
  let kills = 0;
  for (let n = 0; n < 8; n += 1) {
    await using place = await CrashPlace.make(30);
    const killed = await killElsewhere(place, seed + n, { engines: 3, workers: 5 });
    console.log(`SEED=${seed + n} killed ${killed.engines} engines, ${killed.workers} workers`);
    kills += killed.engines + killed.workers;
    expect((await place.head()).contentHash).toEqual(expected);
  }
  expect(kills).toBeGreaterThan(0);
});

test('in one process, at any request', async () => {
  let kills = 0;
  for (let n = 0; n < 40; n += 1) {
    const killed = await killAtRandom(seed + n);
    console.log(`SEED=${seed + n} cut off ${killed.engines} engines, ${killed.workers} workers`);
    kills += killed.engines + killed.workers;
  }
  expect(kills).toBeGreaterThan(0);
});
