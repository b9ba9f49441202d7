/**
 * Chunks around which nothing is fetched: by native threads, and by the store what those can't bring.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Addresses } from '../../src/cache/addresses.ts';
import { DiskCache } from '../../src/cache/disk.ts';
import { ExtentCache } from '../../src/cache/extents.ts';
import { Ranges } from '../../src/cache/ranges.ts';
import { DiskSpace } from '../../src/cache/space.ts';
import { Transfers } from '../../src/cache/transfers.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import type { Store } from '../../src/store/store.ts';
import { traceStore } from '../../src/store/trace.ts';

const key = 'projects/p/data/aa/aa0000000000000000000000000000aa';
const object = Buffer.from(Array.from({ length: 1_000_000 }, (_, i) => (i * 7 + (i >> 8)) % 251));
const longKey = key.replace(/aa$/, 'ab');
const long = Buffer.alloc(9_000_000, 'long');
const length = 100_000;
const isPart = (bytes: Buffer | undefined, offset: number): boolean =>
  bytes?.equals(object.subarray(offset, offset + length)) ?? false;

let dir: string;
let server: Server;
/** What was asked for; what it answers, by the address; how much of it comes before the connection is cut. */
let asked: string[];
let status: Record<string, number>;
let sent: number;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pach-ranges-'));
  asked = [];
  status = {};
  sent = Infinity;
  server = createServer(({ url = '', headers: { range = '' } }, answer) => {
    asked.push(`${url} ${range}`);
    const [from = 0, to = 0] = /(\d+)-(\d+)/.exec(range)?.slice(1).map(Number) ?? [];
    const bytes = object.subarray(from, to + 1);
    answer.writeHead(status[url] ?? 206, { 'content-length': bytes.length });
    if (sent >= bytes.length) answer.end(bytes);
    else answer.write(bytes.subarray(0, sent), () => answer.destroy());
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
  await rm(dir, { recursive: true });
});

/** Reads that the store answers are counted by `reads`. A second address is given when the first is refused. */
async function open(): Promise<{ extents: ExtentCache; transfers: Transfers; reads: () => number }> {
  const { store, counts } = traceStore(new MemoryStore());
  await store.writeIfAbsent(key, [object]);
  await store.writeIfAbsent(longKey, [long]);
  const { port } = server.address() as AddressInfo;
  let given = 0;
  const direct: Store = {
    ...store,
    direct: async () => ({
      url: `http://127.0.0.1:${port}/${(given += 1)}`,
      proxy: '',
      certificates: '',
      refused: async () => given === 1,
    }),
  };
  const transfers = new Transfers(10_000, 1 << 20, () => undefined);
  const disk = new DiskCache(new DiskSpace(dir, 1 << 30));
  const ranges = new Ranges(transfers, new Addresses(direct));
  const extents = new ExtentCache(store, { memoryBytesMax: 1 << 20, disk, ranges, readAroundBytes: 1 << 17 });
  return { extents, transfers, reads: () => counts.count('read') };
}

test('exactly what is read comes, by a request of its own, past the client of the store', async () => {
  const { extents, transfers, reads } = await open();
  // Whose neighbours may be wanted, the store reads, with them.
  expect(isPart(await extents.read(key, 500_000, length), 500_000)).toBe(true);
  expect(reads()).toBe(1);
  await extents.fetchNothingAround(key);
  const offsets = Array.from({ length: 20 }, (_, n) => n * 17_000);
  const got = await Promise.all(offsets.map((offset) => extents.read(key, offset, length)));
  for (const [index, offset] of offsets.entries()) expect(isPart(got[index], offset)).toBe(true);
  expect(reads()).toBe(1);
  expect(asked.toSorted()).toEqual(offsets.map((at) => `/1 bytes=${at}-${at + length - 1}`).toSorted());
  expect(transfers.counters).toMatchObject({ requests: 20, bytes: 20 * length, failures: 0 });
  await extents.settle();
  const again = new ExtentCache(new MemoryStore(), {
    memoryBytesMax: 0,
    disk: new DiskCache(new DiskSpace(dir, 1 << 30)),
    readAroundBytes: 0,
  });
  expect(isPart(await again.read(key, 17_000, length), 17_000)).toBe(true);
});

test('what is longer than any chunk, the store reads', async () => {
  const { extents, transfers, reads } = await open();
  await extents.fetchNothingAround(longKey);
  expect(await extents.read(longKey, 0, long.length).then((got) => got.equals(long))).toBe(true);
  expect([reads(), transfers.counters.requests, asked]).toEqual([1, 0, []]);
});

test('an address that is refused is asked for anew', async () => {
  status['/1'] = 403;
  const { extents, reads } = await open();
  await extents.fetchNothingAround(key);
  expect(isPart(await extents.read(key, 0, length), 0)).toBe(true);
  expect(asked.map((each) => each.split(' ')[0])).toEqual(['/1', '/2']);
  expect(reads()).toBe(0);
});

test('what does not come that way, or is cut, the store reads; after three in a row, all of it', async () => {
  sent = 50_000;
  const { extents, transfers, reads } = await open();
  await extents.fetchNothingAround(key);
  for (const n of [0, 1, 2]) {
    expect(transfers.areFailing).toBe(false);
    expect(isPart(await extents.read(key, n * length, length), n * length)).toBe(true);
    expect(reads()).toBe(n + 1);
  }
  expect(transfers.areFailing).toBe(true);
  expect(asked).toHaveLength(3);
});
