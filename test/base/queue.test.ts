/**
 * The queue: in the order of the items, or of their ranks, with a bound.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Queue } from '../../src/base/queue.ts';

interface Item {
  readonly size: number;
  readonly number: number;
}

const bySize = (held: number) => ({ held, rank: ({ size }: Item) => size });

async function takeAll(queue: Queue<Item>): Promise<Item[]> {
  const taken: Item[] = [];
  for (let item = await queue.take(); item; item = await queue.take()) taken.push(item);
  return taken;
}

test('without an order what came first is taken first', async () => {
  const queue = new Queue<Item>(10);
  const items = [3, 1, 2].map((size, number) => ({ size, number }));
  for (const item of items) await queue.add(item);
  queue.end();
  expect(await takeAll(queue)).toEqual(items);
});

test('by rank, equal ones as they came', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(9), { maxLength: 60 }), async (sizes) => {
      const queue = new Queue<Item>(100, bySize(sizes.length + 1));
      const items = sizes.map((size, number) => ({ size, number }));
      for (const item of items) await queue.add(item);
      queue.end();
      expect(await takeAll(queue)).toEqual(items.toSorted((a, b) => a.size - b.size || a.number - b.number));
    }),
  );
});

test('the first one waits for as many as are held, and a smaller one that comes later goes before others', async () => {
  const queue = new Queue<Item>(3, bySize(2));
  const sizes: number[] = [];
  const taking = queue.take().then((item) => sizes.push(item?.size ?? 0));
  await queue.add({ size: 5, number: 0 });
  await Promise.resolve();
  expect(sizes).toEqual([]);
  await queue.add({ size: 4, number: 1 });
  await taking;
  expect(sizes).toEqual([4]);
  for (const size of [3, 1]) await queue.add({ size, number: size });
  // Full: whoever adds waits until one is taken.
  const adding = queue.add({ size: 2, number: 2 }).then(() => queue.end());
  expect((await queue.take())?.size).toBe(1);
  await adding;
  expect((await takeAll(queue)).map(({ size }) => size)).toEqual([2, 3, 5]);
});
