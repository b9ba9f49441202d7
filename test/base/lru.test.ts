import { expect, test } from 'vitest';
import { Budget, Lru } from '../../src/base/lru.ts';

test('the least recently used goes, and what has just come stays whatever its size', () => {
  const gone: string[] = [];
  const map = new Lru<string>(10, (value) => gone.push(value));
  for (const key of ['a', 'b', 'c']) map.set(key, key.toUpperCase(), 3);
  map.get('a');
  map.set('d', 'D', 4);
  expect([gone, map.values(), map.bytes]).toEqual([['B'], ['C', 'A', 'D'], 10]);
  map.set('huge', 'H', 100);
  expect([map.values(), map.bytes]).toEqual([['H'], 100]);
  map.set('e', 'E', 1);
  expect([map.values(), map.bytes]).toEqual([['E'], 1]);
});

test('of maps with one budget, the one that holds most gives way', () => {
  const budget = new Budget(100);
  const [quiet, busy, third] = [new Lru<number>(budget), new Lru<number>(budget), new Lru<number>(budget)];
  for (let key = 0; key < 50; key += 1) busy.set(`${key}`, key, 10);
  expect(busy.bytes).toBe(100);
  for (let key = 0; key < 3; key += 1) quiet.set(`${key}`, key, 10);
  expect([busy.bytes, quiet.bytes]).toEqual([70, 30]);
  expect(busy.get('43')).toBe(43);
  expect(busy.get('42')).toBeUndefined();
  for (let key = 50; key < 90; key += 1) busy.set(`${key}`, key, 10);
  expect([busy.bytes, quiet.bytes]).toEqual([70, 30]);
  // What is given back is free for all.
  busy.clear();
  quiet.delete('0');
  third.set('a', 1, 80);
  expect([busy.bytes, quiet.bytes, third.bytes]).toEqual([0, 20, 80]);
  // The largest has nothing but what has just come: others give way.
  third.set('a', 1, 90);
  expect([quiet.bytes, third.bytes]).toEqual([10, 90]);
});
