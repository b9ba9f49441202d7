/**
 * As test/cli/kills.test.ts, 2,000 of them.
 */
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { killAndCheck } from '../support/kills.ts';
import { Place } from '../support/place.ts';
import { s3ForTests } from '../support/s3.ts';

const seed = Number(process.env['SEED'] ?? randomInt(2 ** 31));

test.for(Array.from({ length: 15 }, (_, n) => seed + n))('100 kills on a folder, SEED=%i', async (each) => {
  await using place = await Place.make('root');
  const { kills } = await killAndCheck({ place, url: join(place.dir, 'store'), env: {}, seed: each, kills: 100 });
  expect(kills).toBeGreaterThanOrEqual(100);
});

test.for(Array.from({ length: 5 }, (_, n) => seed + n))('100 kills on an S3 bucket, SEED=%i', async (each) => {
  await using place = await Place.make('root');
  const { kills } = await killAndCheck({ place, ...(await s3ForTests()), seed: each, kills: 100 });
  expect(kills).toBeGreaterThanOrEqual(100);
});
