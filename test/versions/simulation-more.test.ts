import { expect, test } from 'vitest';
import { simulateMany } from './simulation-run.ts';

// In a file of its own, so that a second worker runs it.
test('as many simulated runs again', { timeout: 1_800_000 }, async () => {
  expect(await simulateMany(5_001)).toBeGreaterThan(0);
});
