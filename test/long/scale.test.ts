/**
 * Cost grows with what is touched: at the sizes that users reach.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openStore } from '../../src/store/open.ts';
import { firstPut } from '../versions/first-put.ts';
import { checkHistory } from '../versions/history.ts';

const mebibyte = 1024 * 1024;

test('ten thousand commits in a folder', { timeout: 900_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'history-'));
  try {
    expect(await checkHistory(await openStore(folder), 10_000)).toBeLessThan(200);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('the first put of a gigabyte into a project of ten million chunks', { timeout: 900_000 }, async () => {
  const { requests, memoryBytes } = await firstPut(10_000_000, 1024);
  expect(requests).toBeLessThan(100);
  expect(memoryBytes).toBeLessThan(200 * mebibyte);
});
