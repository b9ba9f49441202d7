import { expect, test } from 'vitest';
import { Walk } from '../../src/mount/walk.ts';

test('who goes from folder to folder has more and more of them fetched ahead', () => {
  const walk = new Walk();
  expect(walk.enter(1, 0)).toBe(0);
  expect(walk.enter(1, 1)).toBe(4);
  walk.fetched(1, 5);
  // One that is on its way is asked for.
  expect(walk.enter(1, 3)).toBe(0);
  expect(walk.enter(1, 6)).toBe(8);
  for (let at = 7; at < 12; at += 1) walk.enter(1, at);
  expect(walk.enter(1, 12)).toBe(64);
});

test('going back, far ahead, or elsewhere is no walk', () => {
  const walk = new Walk();
  walk.enter(1, 100);
  expect(walk.enter(1, 100)).toBe(0);
  expect(walk.enter(1, 99)).toBe(0);
  expect(walk.enter(1, 500)).toBe(0);
  expect(walk.enter(2, 501)).toBe(0);
  expect(walk.enter(1, 502)).toBe(4);
  // Who begins anew further back walks from there.
  walk.enter(3, 50);
  expect(walk.enter(3, 10)).toBe(0);
  expect(walk.enter(3, 11)).toBe(4);
});
