/**
 * Pushes, pulls and clones that are killed: a few, of hundreds in test/long.
 */
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';
import { killTransfers } from '../support/transfer-kills.ts';

const seed = Number(process.env['SEED'] ?? randomInt(2 ** 31));

test(
  'a transfer that is killed shows all of it or nothing, and the next one brings the rest',
  { timeout: 600_000 },
  async () => {
    await using place = await Place.make('root');
    const [here, there] = ['here', 'there'].map((name) => join(place.dir, name)) as [string, string];
    const { kills } = await killTransfers({ place, here, there, env: {}, seed, kills: 8 });
    expect(kills).toBeGreaterThanOrEqual(8);
  },
);
