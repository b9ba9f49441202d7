import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { simulateMany } from '../versions/simulation-run.ts';

test('simulated runs that stay the same', async () => {
  expect(await simulateMany(251, 750)).toBeGreaterThan(0);
});

test('simulated runs that nobody has seen yet', async () => {
  expect(await simulateMany(randomInt(2 ** 30), 2_000)).toBeGreaterThan(0);
});
