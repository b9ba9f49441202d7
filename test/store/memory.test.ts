import { expect, test } from 'vitest';
import { MemoryStore } from '../../src/store/memory.ts';
import { runAll } from './contract.ts';

runAll('memory', async () => {
  const store = new MemoryStore();
  return { store, other: store };
});

test('no key can be a folder of another, as in a file system', async () => {
  const store = new MemoryStore();
  await store.writeIfAbsent('a/b', []);
  await expect(store.writeIfAbsent('a', [])).rejects.toThrow('cannot both be files');
  await expect(store.writeIfAbsent('a/b/c', [])).rejects.toThrow('cannot both be files');
});

test('what was handed over is a copy', async () => {
  const store = new MemoryStore();
  const bytes = Buffer.from('abc');
  const written = store.writeIfAbsent('key', [bytes]);
  bytes.fill(0);
  await written;
  const read = await store.read('key', 0, 3);
  read.fill(0);
  expect(Buffer.from(await store.read('key', 0, 3)).toString()).toBe('abc');
});

test('after close nothing works', async () => {
  const store = new MemoryStore();
  await store.close();
  await expect(store.read('key', 0, 1)).rejects.toThrow('open');
});
