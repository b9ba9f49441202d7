/** How many transfers there are at a time, on lines that give what they give. */
import { expect, test } from 'vitest';
import { InFlight } from '../../src/cache/in-flight.ts';

const transferBytes = 8e6;

/** Bytes a millisecond of a line with so many transfers at a time. */
type Line = (count: number) => number;

/** Runs transfers one after another; the mean of the limit and of the rate, of the second half. */
function run(line: Line, transfers: number, noise = 0): { limit: number; share: number } {
  let now = 0;
  let seed = 7;
  const inFlight = new InFlight(() => now);
  const limits: number[] = [];
  const rates: number[] = [];
  for (let index = 0; index < transfers; index += 1) {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    const rate = line(inFlight.limit) * (1 + noise * (seed / 1_073_741_824 - 1));
    now += transferBytes / rate;
    inFlight.note(transferBytes, true);
    limits.push(inFlight.limit);
    rates.push(line(inFlight.limit));
  }
  const mean = (of: number[]): number => of.slice(of.length / 2).reduce((sum, each) => sum + each, 0) / (of.length / 2);
  return { limit: mean(limits), share: mean(rates) / Math.max(...[2, 3, 4, 6, 8, 12, 16].map(line)) };
}

test.for([0, 0.05])('a line that a few fill gets a few (noise %f)', (noise) => {
  const { limit, share } = run(() => 400_000, 2000, noise);
  expect(limit).toBeLessThan(5);
  expect(share).toBe(1);
});

test('a line that many slow down gets few', () => {
  const { limit, share } = run((count) => 400_000 / (1 + count / 50), 2000, 0.03);
  expect(limit).toBeLessThan(5);
  expect(share).toBeGreaterThan(0.95);
});

test.for([0, 0.05])('a server that holds back each connection gets as many as fill the line (noise %f)', (noise) => {
  const { share } = run((count) => Math.min(1_000_000, count * 90_000), 4000, noise);
  expect(share).toBeGreaterThan(0.85);
});

test('a store far away gets as many as are on their way', () => {
  const line: Line = (count) => Math.min(400_000, (count * transferBytes) / (100 + transferBytes / 400_000));
  expect(run(line, 4000, 0.03).share).toBeGreaterThan(0.9);
});

test('who reads so slowly that nothing waits changes nothing', () => {
  let now = 0;
  const inFlight = new InFlight(() => now);
  const first = inFlight.limit;
  for (let index = 0; index < 1000; index += 1) {
    now += 10;
    expect(inFlight.note(transferBytes, index % 3 === 0)).toBe(false);
  }
  expect(inFlight.limit).toBe(first);
});
