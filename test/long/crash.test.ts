/**
 * As test/engine/crash.test.ts, more rounds.
 */
import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { killEngines } from '../engine/crash-rounds.ts';

const seed = Number(process.env['SEED'] ?? randomInt(2 ** 31));

test('the result of engines that were killed is that of one that was not', async () => {
  expect(await killEngines(seed, 12)).toBeGreaterThan(0);
});
