/**
 * As test/transfer/kills.test.ts, 500 of them.
 */
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';
import { s3ForTests } from '../support/s3.ts';
import { killTransfers } from '../support/transfer-kills.ts';

const seed = Number(process.env['SEED'] ?? randomInt(2 ** 31));

test.for(Array.from({ length: 8 }, (_, n) => seed + n))('50 kills between folders, SEED=%i', async (each) => {
  await using place = await Place.make('root');
  const [here, there] = ['here', 'there'].map((name) => join(place.dir, name)) as [string, string];
  const { kills } = await killTransfers({ place, here, there, env: {}, seed: each, kills: 50 });
  expect(kills).toBeGreaterThanOrEqual(50);
});

test.for(Array.from({ length: 2 }, (_, n) => seed + n))('50 kills with S3 on one side, SEED=%i', async (each) => {
  await using place = await Place.make('root');
  const { url, env } = await s3ForTests();
  const { kills } = await killTransfers({
    place,
    here: join(place.dir, 'here'),
    there: url,
    env,
    seed: each,
    kills: 50,
  });
  expect(kills).toBeGreaterThanOrEqual(50);
});
