/**
 * Commands killed around every step by which they change a store, and at any time: 30 of them, of 2,000 in test/long.
 */
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { killAndCheck } from '../support/kills.ts';
import { Place } from '../support/place.ts';
import { s3ForTests } from '../support/s3.ts';

const seed = Number(process.env['SEED'] ?? randomInt(2 ** 31));

test('a store in a folder loses nothing when its writers are killed', { timeout: 600_000 }, async () => {
  await using place = await Place.make('root');
  const { kills } = await killAndCheck({ place, url: join(place.dir, 'store'), env: {}, seed, kills: 20 });
  expect(kills).toBeGreaterThanOrEqual(20);
});

test('neither does one in an S3 bucket', { timeout: 600_000 }, async () => {
  await using place = await Place.make('root');
  const { kills } = await killAndCheck({ place, ...(await s3ForTests()), seed, kills: 10 });
  expect(kills).toBeGreaterThanOrEqual(10);
});
