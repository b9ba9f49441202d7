import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import { openStore } from '../../src/store/open.ts';
import { traceStore } from '../../src/store/trace.ts';

const base = mkdtempSync(join(tmpdir(), 'pachmount-open-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));

test.each([
  [join(base, 'a'), join(base, 'a')],
  [`file://${base}/with%20blank`, join(base, 'with blank')],
  [`file:${base}/a`, join(base, 'a')],
  ['some-folder/that-is-not', resolve('some-folder/that-is-not')],
  ['strange:name', resolve('strange:name')],
  ['memory:', 'memory:'],
])('%s opens', async (url, identity) => {
  expect((await openStore(url)).url).toBe(identity);
});

test.each(['', 'gs://bucket', 'http://host/x', 'file://host/path', 'S4://x'])('%j does not', async (url) => {
  await expect(openStore(url)).rejects.toSatisfy((error) => isPachError(error, 'usage'));
});

test('opening a folder does not load the SDK', async () => {
  const { execFileSync } = await import('node:child_process');
  const program = `
    const { openStore } = await import(${JSON.stringify(new URL('../../dist/store/open.js', import.meta.url).href)});
    await openStore(${JSON.stringify(base)});
    const { createRequire } = await import('node:module');
    console.log(process.moduleLoadList.some((name) => name === 'NativeModule http'));`;
  expect(execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' })).toBe('false\n');
});

test('a trace counts requests and bytes', async () => {
  const { store, counts } = traceStore(await openStore('memory:'));
  await store.writeIfAbsent('a/b', [Buffer.alloc(10), Buffer.alloc(5)]);
  await store.writeIfUnchanged('head', Buffer.alloc(3), undefined);
  await store.read('a/b', 5, 100);
  await store.readTail('a/b', 4);
  await store.readWithToken('head');
  await store.readWithToken('none');
  await store.read('none', 0, 1).catch(() => undefined);
  for await (const { key } of store.list('a/')) expect(key).toBe('a/b');
  await store.delete('a/b');
  expect(counts.count()).toBe(9);
  expect(counts.count('read', 'readTail')).toBe(3);
  expect(counts.bytesWritten).toBe(18);
  expect(counts.bytesRead).toBe(10 + 4 + 3);
  expect(counts.requests[0]).toEqual({ verb: 'writeIfAbsent', key: 'a/b', amount: 15 });
  expect(counts.requests.at(-2)).toEqual({ verb: 'list', key: 'a/', amount: 1 });
  counts.reset();
  expect(counts.count()).toBe(0);
});
