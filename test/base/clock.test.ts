/**
 * Waiting for a time of day, by the system's clock and by one that tests move.
 */
import { expect, test } from 'vitest';
import { systemClock, type Clock } from '../../src/base/clock.ts';
import { TestClock } from '../support/clock.ts';

const never = new AbortController().signal;

test('the system clock is waited for, and a time that has passed is not', async () => {
  const clock: Clock = systemClock;
  const time = clock.now() + 20;
  await clock.until(time, never);
  expect(clock.now()).toBeGreaterThanOrEqual(time);
  await clock.until(time, never);
});

test.each<[string, Clock]>([
  ['system', systemClock],
  ['test', new TestClock()],
])('an aborted signal ends the wait (%s)', async (_, clock) => {
  const abort = new AbortController();
  const waiting = clock.until(clock.now() + 1e9, abort.signal);
  abort.abort();
  await expect(waiting).resolves.toBeUndefined();
  await expect(clock.until(clock.now() + 1e9, abort.signal)).resolves.toBeUndefined();
});

test('a moved clock wakes those whose time has come, and no others', async () => {
  const clock = new TestClock('2026-03-29T00:00:00Z');
  const woken: string[] = [];
  const wait = (name: string, at: string): Promise<unknown> =>
    clock.until(Date.parse(at), never).then(() => woken.push(name));
  const first = wait('first', '2026-03-29T01:00:00Z');
  const second = wait('second', '2026-03-29T02:00:00Z');
  expect(await clock.waited()).toBe(Date.parse('2026-03-29T01:00:00Z'));
  clock.set('2026-03-29T01:30:00Z');
  await first;
  expect(woken).toEqual(['first']);
  clock.pass(3_600_000);
  await second;
  expect(woken).toEqual(['first', 'second']);
  // Whoever waits looks again when it is set back.
  const third = wait('third', '2026-03-29T04:00:00Z');
  clock.set('2026-03-28T00:00:00Z');
  await third;
});
