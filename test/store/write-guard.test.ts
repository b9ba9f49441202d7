import { afterAll, beforeAll, expect, test } from 'vitest';
import { Deadline } from '../../src/base/deadline.ts';
import { PachError } from '../../src/base/errors.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store, Token } from '../../src/store/store.ts';
import { guardWrites } from '../../src/store/write-guard.ts';
import { plainS3, type PlainS3 } from '../support/plain-s3.ts';
import { listAll, runAll } from './contract.ts';

runAll('memory behind a guard', async () => {
  const memory = new MemoryStore();
  return { store: guardWrites(memory, async () => memory), other: memory };
});

test('the first write asks, once; reads never do', async () => {
  const memory = new MemoryStore();
  let asked = 0;
  const store = guardWrites(memory, async () => {
    asked += 1;
    return memory;
  });
  await store.readWithToken('a');
  expect(await listAll(store, '')).toEqual([]);
  expect(asked).toBe(0);
  await Promise.all(['a', 'b', 'c'].map((key) => store.writeIfAbsent(key, [Buffer.from(key)])));
  await store.writeIfUnchanged('d', Buffer.from('d'), undefined);
  await store.delete('a');
  expect(asked).toBe(1);
  expect((await listAll(memory, '')).map(({ key }) => key)).toEqual(['b', 'c', 'd']);
});

test('reads keep the deadline that they are given', async () => {
  const given: unknown[] = [];
  class Noting extends MemoryStore {
    override read(key: string, offset: number, length: number, deadline?: Deadline): Promise<Uint8Array> {
      given.push(deadline);
      return super.read(key, offset, length);
    }
  }
  const memory = new Noting();
  await memory.writeIfAbsent('a', [Buffer.from('x')]);
  const deadline = new Deadline();
  await guardWrites(memory, async () => memory).read('a', 0, 1, deadline);
  expect(given).toEqual([deadline]);
});

test('a refusal stops every kind of write, and is asked for again', async () => {
  const memory = new MemoryStore();
  await memory.writeIfAbsent('there', [Buffer.from('x')]);
  let refusals = 3;
  const store = guardWrites(memory, async () => {
    if ((refusals -= 1) >= 0) throw new PachError('unsupported', { what: 'x', why: 'not here' });
    return memory;
  });
  await expect(store.writeIfAbsent('new', [])).rejects.toThrow('not here');
  await expect(store.writeIfUnchanged('new', Buffer.alloc(0), undefined)).rejects.toThrow('not here');
  await expect(store.delete('there')).rejects.toThrow('not here');
  expect((await listAll(memory, '')).map(({ key }) => key)).toEqual(['there']);
  expect(await store.writeIfAbsent('new', [])).toBe(true);
});

test('writes go to the store that was answered, and both are closed', async () => {
  const [near, far] = [new MemoryStore(), new MemoryStore()];
  const store = guardWrites(near, async () => far);
  await store.writeIfAbsent('a', []);
  expect(await near.readWithToken('a')).toBeUndefined();
  expect(await far.readWithToken('a')).toBeDefined();
  await store.close();
  await expect(near.readWithToken('a')).rejects.toThrow('open');
  await expect(far.readWithToken('a')).rejects.toThrow('open');
});

const before = { ...process.env };
let plain: PlainS3;
let store: Store;
beforeAll(async () => {
  plain = await plainS3('refused');
  Object.assign(process.env, plain.env);
  store = await openStore(plain.url, { singleWriter: true });
});
afterAll(async () => {
  await store.close();
  await plain[Symbol.asyncDispose]();
  process.env = before;
});

test('a single writer keeps its own promises on a server without conditions', async () => {
  expect(await store.writeIfAbsent('a', [Buffer.from('one')])).toBe(true);
  expect(await store.writeIfAbsent('a', [Buffer.from('two')])).toBe(false);
  const first = await store.writeIfUnchanged('head', Buffer.from('one'), undefined);
  expect(await store.writeIfUnchanged('head', Buffer.from('no'), undefined)).toBeUndefined();
  const second = await store.writeIfUnchanged('head', Buffer.from('two'), first);
  expect(second).toBeDefined();
  expect(await store.writeIfUnchanged('head', Buffer.from('no'), first)).toBeUndefined();
  expect(await store.writeIfUnchanged('none', Buffer.from('no'), 'made-up' as Token)).toBeUndefined();
  expect(Buffer.from((await store.readWithToken('head'))?.bytes ?? []).toString()).toBe('two');
  expect((await listAll(store, '')).map(({ key }) => key)).toEqual(['a', 'head']);
});
