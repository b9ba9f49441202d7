import { expect, test } from 'vitest';
import { Walk } from '../../src/mount/walk.ts';

const upTo = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, n) => from + n);

test('who goes from name to name has more and more of them fetched ahead, before he needs them', () => {
  const walk = new Walk(64);
  expect(walk.enter(1, 0)).toBeUndefined();
  const first = { after: 1, count: 4 };
  expect(walk.enter(1, 1)).toEqual(first);
  expect(walk.fetched(1, first, upTo(2, 5))).toBe(2);
  // Who comes to the first of these has those after the last fetched, once.
  const second = { after: 5, count: 8 };
  expect(walk.enter(1, 2)).toEqual(second);
  expect(walk.enter(1, 3)).toBeUndefined();
  expect(walk.fetched(1, second, upTo(6, 13))).toBe(6);
  for (const at of [4, 5]) expect(walk.enter(1, at)).toBeUndefined();
  // One that native threads did not answer for, though it was fetched.
  expect(walk.enter(1, 9)).toEqual({ after: 13, count: 16 });
  for (let at = 14; at < 17; at += 1) walk.enter(1, at);
  expect(walk.enter(1, 17)).toEqual({ after: 17, count: 64 });
});

test('what comes late for who has gone on is nobody’s turn', () => {
  const walk = new Walk(64);
  walk.enter(1, 0);
  const first = walk.enter(1, 1);
  const second = walk.enter(1, 2);
  if (!first || !second) throw new Error('no walk');
  expect(walk.fetched(1, first, upTo(2, 5))).toBeUndefined();
  expect(walk.fetched(1, second, upTo(3, 10))).toBe(3);
  expect(walk.fetched(1, second, [])).toBeUndefined();
  expect(walk.fetched(2, second, upTo(3, 10))).toBeUndefined();
});

test('going back, far ahead, or elsewhere is no walk', () => {
  const walk = new Walk(64);
  walk.enter(1, 100);
  for (const at of [100, 99, 500]) expect(walk.enter(1, at)).toBeUndefined();
  expect(walk.enter(2, 501)).toBeUndefined();
  expect(walk.enter(1, 502)?.count).toBe(4);
  // Who begins anew further back walks from there.
  walk.enter(3, 50);
  expect(walk.enter(3, 10)).toBeUndefined();
  expect(walk.enter(3, 11)?.count).toBe(4);
});
