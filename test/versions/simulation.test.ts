import { expect, test } from 'vitest';
import { simulate, simulateMany } from './simulation-run.ts';

test('a seed decides all that happens', async () => {
  for (let seed = 1; seed <= 8; seed += 1) {
    const first = await simulate(seed);
    expect((await simulate(seed)).log, `SEED=${seed}`).toEqual(first.log);
  }
});

test('simulated runs; more of them, and new ones each time: test/long', { timeout: 1_800_000 }, async () => {
  expect(await simulateMany(1, 250)).toBeGreaterThan(0);
});
