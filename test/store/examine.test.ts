import { expect, test } from 'vitest';
import { PachError } from '../../src/base/errors.ts';
import type { Check } from '../../src/store/check.ts';
import { examineStore } from '../../src/store/examine.ts';
import { limitStore } from '../../src/store/limit.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import type { Store } from '../../src/store/store.ts';
import { listAll } from './contract.ts';

const prefix = '.probe/here/';

/** The checks that are not well, of a store that is a memory store but for `faults`. */
async function examined(faults: (memory: Store) => Partial<Store>): Promise<{ bad: Check[]; memory: Store }> {
  const memory = limitStore(new MemoryStore(), 100);
  await memory.writeIfAbsent('kept', [Buffer.from('x')]);
  const bad: Check[] = [];
  const signal = new AbortController().signal;
  for await (const check of examineStore({ ...memory, ...faults(memory) }, { prefix, signal })) {
    if (check.state !== 'ok') bad.push(check);
  }
  return { bad, memory };
}

async function isClean(memory: Store): Promise<void> {
  expect(await listAll(memory, prefix)).toEqual([]);
  expect((await listAll(memory, '')).map(({ key }) => key)).toEqual(['kept']);
}

test('a good store has nothing wrong, and nothing is left in it', async () => {
  const { bad, memory } = await examined(() => ({}));
  expect(bad).toEqual([]);
  await isClean(memory);
});

test('a store that looks first and writes then lets more than one racer win', async () => {
  const later = () => new Promise((resolve) => setTimeout(resolve, 20));
  const { bad, memory } = await examined((inner) => ({
    async writeIfAbsent(key, parts) {
      if ((await inner.readWithToken(key)) !== undefined) return false;
      if (key.endsWith('race')) await later();
      await inner.writeIfAbsent(key, parts);
      return true;
    },
    async writeIfUnchanged(key, bytes, token) {
      const now = (await inner.readWithToken(key))?.token;
      if (now !== token) return undefined;
      await later();
      for (;;) {
        const written = await inner.writeIfUnchanged(key, bytes, (await inner.readWithToken(key))?.token);
        if (written !== undefined) return written;
      }
    },
  }));
  expect(bad.map(({ check, state }) => [check, state])).toEqual([
    ['write if absent', 'fail'],
    ['write if unchanged', 'fail'],
  ]);
  expect(bad[0]?.value).toBe('20 racing writers, 20 won');
  await isClean(memory);
});

test.each<[string, string, (inner: Store) => Partial<Store>]>([
  [
    'write and read back',
    'other bytes',
    (inner) => ({ read: async (...of) => (await inner.read(...of)).map((byte) => byte ^ 1) }),
  ],
  ['ranged reads', 'other bytes', (inner) => ({ read: (key, _, length) => inner.read(key, 0, length) })],
  [
    'ranged reads',
    'not what was asked',
    (inner) => ({
      async readTail() {
        throw new PachError('damaged', { what: inner.url, why: 'not what was asked' });
      },
    }),
  ],
  [
    'listing',
    '1 of 1010 objects are missing',
    (inner) => ({
      async *list(below) {
        for await (const info of inner.list(below)) if (!info.key.endsWith('00777')) yield info;
      },
    }),
  ],
  [
    'clock',
    "the store's clock is 3",
    (inner) => ({
      async *list(below) {
        for await (const info of inner.list(below)) yield { ...info, modified: new Date(Date.now() + 3_600_000) };
      },
    }),
  ],
])('%s: %s', async (name, value, faults) => {
  const { bad } = await examined(faults);
  expect(bad.map(({ check }) => check)).toEqual([name]);
  expect(bad[0]?.value).toContain(value);
  expect(bad[0]?.advice).toMatch(/./);
});

test('what stops answering is thrown, and what was written is deleted', async () => {
  let answers = 5;
  const memory = new MemoryStore();
  const broken: Store = {
    ...limitStore(memory, 100),
    async writeIfAbsent(key, parts) {
      if ((answers -= 1) < 0) throw new PachError('unreachable', { what: 'memory', why: 'gone' });
      return memory.writeIfAbsent(key, parts);
    },
  };
  const found: string[] = [];
  const run = async (signal: AbortSignal): Promise<void> => {
    for await (const { check } of examineStore(broken, { prefix, signal })) found.push(check);
  };
  await expect(run(new AbortController().signal)).rejects.toThrow('gone');
  expect(found).toEqual(['list', 'write and read back', 'ranged reads']);
  answers = 1000;
  await expect(run(AbortSignal.abort(new Error('stopped')))).rejects.toThrow('stopped');
  expect(await listAll(memory, prefix)).toEqual([]);
});
