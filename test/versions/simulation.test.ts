import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { simulate } from './simulation-run.ts';

const runs = Number(process.env['RUNS'] ?? 500);

test('a seed decides all that happens', async () => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const first = await simulate(seed);
    expect((await simulate(seed)).log, `SEED=${seed}`).toEqual(first.log);
  }
});

test(`${runs} simulated runs`, async () => {
  const first = Number(process.env['SEED'] ?? randomInt(2 ** 30));
  const sums = { acknowledged: 0, collected: 0, crashed: 0, epochs: 0, steps: 0 };
  for (let seed = first; seed < first + runs; seed += 1) {
    const outcomes = await simulate(seed).catch((error: unknown) => {
      throw new Error(`SEED=${seed} RUNS=1 repeats this`, { cause: error });
    });
    sums.acknowledged += outcomes.acknowledged;
    sums.collected += outcomes.collected;
    sums.crashed += outcomes.crashed;
    sums.epochs += outcomes.epochs;
    sums.steps += outcomes.log.length;
  }
  console.log(`SEED=${first} RUNS=${runs}: ${JSON.stringify(sums)}`);
});
