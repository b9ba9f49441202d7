/** Streams that share the event loop with others. */
import { expect, test } from 'vitest';
import { abortable } from '../../src/base/async.ts';

function busy(ms: number): void {
  for (const until = performance.now() + ms; performance.now() < until;);
}

async function* numbers(): AsyncGenerator<number> {
  for (let n = 0; ; n += 1) yield n;
}

test('beside others who have much to do a stream has its share of the time', async () => {
  let turns = 0;
  let isOver = false;
  const others = (): void => {
    busy(20);
    turns += 1;
    if (!isOver) setImmediate(others);
  };
  setImmediate(others);
  let pieces = 0;
  for await (const _ of abortable(numbers(), undefined, 0.5)) {
    busy(0.5);
    pieces += 1;
    if (turns >= 10) break;
  }
  isOver = true;
  // Two a turn would be all that half a millisecond has room for.
  expect(pieces).toBeGreaterThan(60);
});

test('where the thread stood still for long a stream does not take half of that', async () => {
  let turns = 0;
  let isOver = false;
  const others = (): void => {
    if (turns === 0) busy(2000);
    turns += 1;
    if (!isOver) setImmediate(others);
  };
  setImmediate(others);
  let pieces = 0;
  for await (const _ of abortable(numbers(), undefined, 0.5)) {
    busy(0.5);
    pieces += 1;
    if (turns >= 3) break;
  }
  isOver = true;
  // A second would have room for two thousand.
  expect(pieces).toBeLessThan(500);
});
