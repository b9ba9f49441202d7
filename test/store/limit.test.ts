import { expect, test, vi } from 'vitest';
import { limitStore } from '../../src/store/limit.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import type { Store } from '../../src/store/store.ts';

/** A store of one object, and how many reads of it are under way and were made; `next` says what becomes of each. */
async function watched(next: (read: number) => Promise<void>) {
  const store = new MemoryStore();
  await store.writeIfAbsent('a', [Buffer.from('bytes')]);
  const counts = { made: 0, underWay: 0, most: 0 };
  const read: Store['read'] = async (key, offset, length) => {
    counts.made += 1;
    counts.underWay += 1;
    counts.most = Math.max(counts.most, counts.underWay);
    try {
      await next(counts.made);
      return await store.read(key, offset, length);
    } finally {
      counts.underWay -= 1;
    }
  };
  return { store: limitStore(Object.assign(Object.create(store) as Store, { read }), 4), counts };
}

test('so many requests at a time', async () => {
  const { store, counts } = await watched(() => new Promise((resolve) => setImmediate(resolve)));
  await Promise.all(Array.from({ length: 50 }, () => store.read('a', 0, 5)));
  expect(counts).toEqual({ made: 50, underWay: 0, most: 4 });
});

test('a read that takes far longer than those before is made once more, and only then', async () => {
  const never = new Promise<void>(() => undefined);
  const { store, counts } = await watched((read) => (read === 1 || read === 12 ? never : Promise.resolve()));
  // Before anything is known of the others, none is slow.
  void store.read('a', 0, 5);
  vi.useFakeTimers();
  await vi.advanceTimersByTimeAsync(600_000);
  vi.useRealTimers();
  expect(counts.made).toBe(1);
  for (let read = 0; read < 10; read += 1) await store.read('a', 0, 5);
  expect(counts.made).toBe(11);
  expect(Buffer.from(await store.read('a', 0, 5)).toString()).toBe('bytes');
  expect(counts.made).toBe(13);
});

test('an error is told once, as the store told it', async () => {
  const failure = new Error('broken');
  const { store, counts } = await watched((read) => (read > 8 ? Promise.reject(failure) : Promise.resolve()));
  for (let read = 0; read < 8; read += 1) await store.read('a', 0, 5);
  await expect(store.read('a', 0, 5)).rejects.toBe(failure);
  expect(counts.made).toBe(9);
});
