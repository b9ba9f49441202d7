import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { isPachError, PachError } from '../../src/base/errors.ts';
import { limitStore } from '../../src/store/limit.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { conditionalWrites } from '../../src/store/probe.ts';
import { RetryingStore } from '../../src/store/retry.ts';
import type { Store } from '../../src/store/store.ts';
import { listAll, runAll } from './contract.ts';
import { faultyStore, refused, type Outcome } from './faults.ts';

const text = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString();
const retryOf = (store: Store) =>
  new RetryingStore(store, { delayMs: 0.01, timeoutMs: 60_000, mayHaveHappened: (error) => !refused(error) });

/** These outcomes one after another, then all works. */
function scripted(store: Store, ...outcomes: Outcome[]): Store {
  return retryOf(faultyStore(store, () => outcomes.shift() ?? 'works'));
}

runAll('memory behind retry and limit', async () => {
  const memory = new MemoryStore();
  return { store: new RetryingStore(limitStore(memory, 4)), other: memory };
});

test('requests that fail are tried again', async () => {
  const memory = new MemoryStore();
  const store = scripted(memory, 'lost', 'done', 'lost');
  expect(await store.writeIfAbsent('a', [Buffer.from('on'), Buffer.from('ce')])).toBe(true);
  expect(text(await scripted(memory, 'lost', 'done').read('a', 0, 9))).toBe('once');
  expect(text((await scripted(memory, 'refused').readTail('a', 2)).bytes)).toBe('ce');
  await scripted(memory, 'done', 'lost').delete('a');
  expect(await memory.readWithToken('a')).toBeUndefined();
});

test('who asks whether something has changed is told at once that nobody knows', async () => {
  const memory = new MemoryStore();
  const token = (await memory.writeIfUnchanged('head', Buffer.from('one'), undefined))!;
  let requests = 0;
  const store = retryOf(
    faultyStore(memory, () => {
      requests += 1;
      return 'lost';
    }),
  );
  await expect(store.readIfChanged('head', token)).rejects.toSatisfy((error) => isPachError(error, 'unreachable'));
  expect(requests).toBe(1);
});

test('a write of equal bytes by another counts as ours, of other bytes does not', async () => {
  const memory = new MemoryStore();
  await memory.writeIfAbsent('a', [Buffer.from('theirs')]);
  expect(await scripted(memory, 'lost').writeIfAbsent('a', [Buffer.from('ours')])).toBe(false);
  expect(await scripted(memory, 'lost').writeIfAbsent('a', [Buffer.from('their')])).toBe(false);
  expect(await scripted(memory, 'lost').writeIfAbsent('a', [Buffer.from('theirs')])).toBe(true);
  expect(await scripted(memory).writeIfAbsent('a', [Buffer.from('theirs')])).toBe(false);
});

test('a replacement whose answer was lost is found to be done', async () => {
  const memory = new MemoryStore();
  const first = await memory.writeIfUnchanged('head', Buffer.from('one'), undefined);
  const second = await scripted(memory, 'done').writeIfUnchanged('head', Buffer.from('two'), first);
  expect(second).toBe((await memory.readWithToken('head'))?.token);
  expect(await scripted(memory, 'lost').writeIfUnchanged('head', Buffer.from('three'), second)).toBeDefined();
  expect(text((await memory.readWithToken('head'))?.bytes)).toBe('three');
});

test('a replacement that was refused while another came is not done', async () => {
  const memory = new MemoryStore();
  const first = await memory.writeIfUnchanged('head', Buffer.from('one'), undefined);
  await memory.writeIfUnchanged('head', Buffer.from('theirs'), first);
  expect(await scripted(memory, 'refused').writeIfUnchanged('head', Buffer.from('ours'), first)).toBeUndefined();
});

test('a replacement that may have been done before another came is an error, not a guess', async () => {
  const memory = new MemoryStore();
  const first = await memory.writeIfUnchanged('head', Buffer.from('one'), undefined);
  await memory.writeIfUnchanged('head', Buffer.from('theirs'), first);
  const unknown = scripted(memory, 'lost').writeIfUnchanged('head', Buffer.from('ours'), first);
  await expect(unknown).rejects.toSatisfy((error) => isPachError(error, 'failed'));
  await expect(unknown).rejects.toThrow('unknown whether the first write was stored');
});

test('whatever fails, a counter counts each success once', async () => {
  const outcomes = fc.infiniteStream(
    fc.constantFrom<Outcome>('works', 'works', 'works', 'works', 'refused', 'lost', 'done'),
  );
  await fc.assert(
    fc.asyncProperty(outcomes, async (stream) => {
      const memory = new MemoryStore();
      const store = retryOf(faultyStore(memory, () => stream.next().value as Outcome));
      let done = 0;
      let unknown = 0;
      const increment = async () => {
        for (;;) {
          const now = await store.readWithToken('counter');
          // Each writer's bytes are its own, as heads are.
          const next = Buffer.from(`${Number(text(now?.bytes)?.split(' ')[0] ?? 0) + 1} ${Math.random()}`);
          try {
            if ((await store.writeIfUnchanged('counter', next, now?.token)) !== undefined) return (done += 1);
          } catch (error) {
            if (!isPachError(error, 'failed')) throw error;
            return (unknown += 1);
          }
        }
      };
      await Promise.all(Array.from({ length: 8 }, increment));
      const counted = Number(text((await memory.readWithToken('counter'))?.bytes)?.split(' ')[0] ?? 0);
      expect(counted).toBeGreaterThanOrEqual(done);
      expect(counted).toBeLessThanOrEqual(done + unknown);
    }),
    { numRuns: 100 },
  );
});

test('a listing that breaks gives each key once', async () => {
  const memory = new MemoryStore();
  const keys = Array.from({ length: 50 }, (_, n) => `k/${n}`);
  for (const key of keys) await memory.writeIfAbsent(key, []);
  let n = 0;
  const store = retryOf(faultyStore(memory, () => (++n % 60 === 30 ? 'lost' : 'works')));
  expect((await listAll(store, 'k/')).map(({ key }) => key)).toEqual(keys.toSorted());
});

test('gives up after its time, sooner when there never was an answer', async () => {
  let works = false;
  const broken = faultyStore(new MemoryStore(), () => (works ? 'works' : 'lost'));
  const store = new RetryingStore(broken, { timeoutMs: 1_000, firstContactMs: 200, delayMs: 20 });
  const spent = async () => {
    const begin = performance.now();
    await expect(store.read('a', 0, 1)).rejects.toSatisfy((error) => isPachError(error, 'unreachable'));
    return performance.now() - begin;
  };
  expect(await spent()).toBeLessThan(300);
  works = true;
  expect(await store.readWithToken('a')).toBeUndefined();
  works = false;
  const later = await spent();
  expect(later).toBeGreaterThan(300);
  expect(later).toBeLessThan(1_500);
});

test('who is patient waits longer, is told once that the store is away and that it is back, and waits no longer once it is to stop', async () => {
  let works = true;
  const faulty = faultyStore(new MemoryStore(), () => (works ? 'works' : 'refused'));
  const told: (string | undefined)[] = [];
  const stop = new AbortController();
  const patience = {
    ms: 600_000,
    until: stop.signal,
    missedMs: 50,
    away(error: PachError | undefined) {
      told.push(error?.code);
      works = true;
    },
  };
  const store = new RetryingStore(faulty, { timeoutMs: 10, delayMs: 1, patience });
  await store.writeIfAbsent('a', [Buffer.from('text')]);
  works = false;
  const asked = [store.read('a', 0, 4), store.readTail('a', 4), store.delete('b')];
  await Promise.all(asked);
  await store.read('a', 0, 4);
  expect(told).toEqual(['unreachable', undefined]);
  works = false;
  const last = [store.read('a', 0, 4), store.delete('a')];
  stop.abort();
  for (const each of await Promise.allSettled(last)) {
    expect(each.status === 'rejected' && isPachError(each.reason, 'unreachable')).toBe(true);
  }
});

test('a store that is only asked whether an object has changed is missed, too', async () => {
  let works = true;
  const told: (string | undefined)[] = [];
  const away = (error: PachError | undefined): void => void told.push(error?.code);
  const patience = { ms: 600_000, until: new AbortController().signal, missedMs: 5, away };
  const faulty = faultyStore(new MemoryStore(), () => (works ? 'works' : 'refused'));
  const store = new RetryingStore(faulty, { timeoutMs: 10, delayMs: 1, patience });
  const ask = () => store.readIfChanged('a', undefined);
  await ask();
  works = false;
  while (told.length === 0) {
    await expect(ask()).rejects.toMatchObject({ code: 'unreachable' });
    await new Promise((go) => setTimeout(go, 1));
  }
  works = true;
  await ask();
  await ask();
  expect(told).toEqual(['unreachable', undefined]);
});

test('what does not pass by waiting is told at once', async () => {
  let tries = 0;
  const memory = new MemoryStore();
  const store = new RetryingStore({
    ...limitStore(memory, 1),
    read: async () => {
      tries += 1;
      throw new PachError('denied', { what: 'x', why: 'not yours' });
    },
  });
  await expect(store.read('a', 0, 1)).rejects.toThrow('not yours');
  expect(tries).toBe(1);
});

test('no more requests at a time than allowed', async () => {
  const memory = new MemoryStore();
  let now = 0;
  let most = 0;
  const counting: Store = {
    ...limitStore(memory, 100),
    async read() {
      most = Math.max(most, (now += 1));
      await new Promise((resolve) => setTimeout(resolve, 2));
      now -= 1;
      return Buffer.alloc(0);
    },
  };
  const store = limitStore(counting, 3);
  await Promise.all(Array.from({ length: 20 }, () => store.read('a', 0, 1)));
  expect(most).toBe(3);
});

test('the probe sees through a store that ignores conditions', async () => {
  const plain = (): Store => limitStore(new MemoryStore(), 8);
  expect(await conditionalWrites(plain())).toBe(true);

  const overwriting = plain();
  expect(await conditionalWrites({ ...overwriting, writeIfAbsent: async () => true })).toBe(false);

  const inner = plain();
  const replacing: Store = {
    ...inner,
    async writeIfUnchanged(key, bytes) {
      return inner.writeIfUnchanged(key, bytes, (await inner.readWithToken(key))?.token);
    },
  };
  expect(await conditionalWrites(replacing)).toBe(false);
  expect(await listAll(replacing, '.probe/')).toEqual([]);

  const refusing: Store = {
    ...plain(),
    async writeIfAbsent() {
      throw new PachError('unsupported', { what: 'x', why: 'the server does not know it' });
    },
  };
  expect(await conditionalWrites(refusing)).toBe(false);

  const denying: Store = {
    ...plain(),
    async writeIfAbsent() {
      throw new PachError('denied', { what: 'x', why: 'read-only' });
    },
  };
  await expect(conditionalWrites(denying)).rejects.toThrow('read-only');
});
