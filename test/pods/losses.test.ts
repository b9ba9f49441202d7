/**
 * How soon pods that were lost are replaced.
 */
import { expect, test } from 'vitest';
import { Losses } from '../../src/kubernetes/losses.ts';

test('lost pods are replaced at once, and those that go on being lost while nothing gets done after pauses', () => {
  const losses = new Losses();
  losses.add();
  losses.add();
  expect(losses.due(0)).toBe(2);
  losses.add();
  expect(losses.due(0)).toBe(3);
  losses.add();
  expect(losses.due(999)).toBe(3);
  expect(losses.due(1000)).toBe(4);
  losses.add();
  expect(losses.due(2999)).toBe(4);
  expect(losses.due(3000)).toBe(5);
  losses.progress();
  losses.add();
  expect(losses.due(3000)).toBe(6);
});
