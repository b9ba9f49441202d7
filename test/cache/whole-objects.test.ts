/**
 * Whole objects on their way to the disk cache: read while they come, once for all processes, and gone
 * on with where a process died.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Addresses } from '../../src/cache/addresses.ts';
import { DiskCache } from '../../src/cache/disk.ts';
import { ExtentCache } from '../../src/cache/extents.ts';
import { DiskSpace } from '../../src/cache/space.ts';
import { Transfers } from '../../src/cache/transfers.ts';
import { WholeObjects } from '../../src/cache/whole-objects.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import type { Store } from '../../src/store/store.ts';
import { traceStore } from '../../src/store/trace.ts';

const mebibyte = 1 << 20;
const key = 'projects/p/data/aa/aa0000000000000000000000000000aa';
const object = Buffer.from(Array.from({ length: 6 * mebibyte + 17 }, (_, i) => (i * 7 + (i >> 8)) % 251));

let dir: string;
let server: Server;
/** What was asked for, and how much of an answer is sent at once; the rest when `more` is called, or never. */
let ranges: string[];
let sent: number;
let more: (() => void)[];
/** What is served, after so long each; how many wait for that, and the most at a time. */
let served: Buffer;
let delayMs: number;
let atOnce: number;
let atOnceMax: number;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pach-whole-'));
  ranges = [];
  sent = Infinity;
  more = [];
  served = object;
  delayMs = atOnce = atOnceMax = 0;
  server = createServer(({ headers }, answer) => void send(headers.range ?? '', answer));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
  await rm(dir, { recursive: true });
});

async function send(range: string, answer: ServerResponse): Promise<void> {
  ranges.push(range);
  atOnce += 1;
  atOnceMax = Math.max(atOnce, atOnceMax);
  await sleep(delayMs);
  atOnce -= 1;
  const from = Number(/^bytes=(\d+)-$/.exec(range)?.[1]);
  if (from >= served.length) return void answer.writeHead(416).end();
  answer.writeHead(206, { 'content-length': served.length - from });
  answer.write(served.subarray(from, from + sent));
  if (from + sent >= served.length) answer.end();
  else more.push(() => answer.end(served.subarray(from + sent)));
}

/** What one process has: its requests go to the server, or, in order to count them, to `counts`. */
async function open(): Promise<{
  whole: WholeObjects;
  extents: ExtentCache;
  transfers: Transfers;
  reads: () => number;
}> {
  const { store, counts } = traceStore(new MemoryStore());
  await store.writeIfAbsent(key, [object]);
  const { port } = server.address() as AddressInfo;
  const source = { url: `http://127.0.0.1:${port}/`, proxy: '', certificates: '', refused: async () => false };
  const direct: Store = { ...store, direct: async () => source };
  const disk = new DiskCache(new DiskSpace(dir, 100 * mebibyte));
  const transfers = new Transfers(10_000, mebibyte, () => undefined);
  const whole = new WholeObjects(disk, transfers, new Addresses(direct));
  const extents = new ExtentCache(store, { memoryBytesMax: mebibyte, disk, whole, readAroundBytes: 0 });
  return { whole, extents, transfers, reads: () => counts.count('read') };
}

const namesOf = async (): Promise<string[]> => readdir(join(dir, key));
const part = (offset: number, length = 1000): Buffer => object.subarray(offset, offset + length);

test('what has come is read before the rest has, and nothing is fetched beside it', async () => {
  sent = 3 * mebibyte;
  const { extents, reads } = await open();
  const done = extents.fetchWhole(key, 1);
  expect(await extents.arrives(key, mebibyte + 1000)).toBe(true);
  expect(await extents.read(key, mebibyte, 1000)).toEqual(part(mebibyte));
  const late = extents.read(key, 5 * mebibyte, 1000);
  expect(more).toHaveLength(1);
  more[0]?.();
  expect(await late).toEqual(part(5 * mebibyte));
  expect(await done).toBe(true);
  expect(await namesOf()).toEqual([`0-${object.length}`]);
  expect((await readFile(join(dir, key, `0-${object.length}`))).equals(object)).toBe(true);
  // Also of what it has only on the disk, it reads no more than it is asked for.
  expect(await extents.read(key, 4 * mebibyte, 1000)).toEqual(part(4 * mebibyte));
  expect([ranges, reads()]).toEqual([['bytes=0-'], 0]);
});

test('of two processes one fetches it, and both read it', async () => {
  sent = 3 * mebibyte;
  const [one, other] = [await open(), await open()];
  const first = one.extents.fetchWhole(key, 1);
  expect(await one.extents.read(key, 0, 1000)).toEqual(part(0));
  const second = other.extents.fetchWhole(key, 1);
  expect(await other.extents.read(key, mebibyte, 1000)).toEqual(part(mebibyte));
  more[0]?.();
  expect(await Promise.all([first, second])).toEqual([true, true]);
  // Whoever has looked before it was there finds it, too.
  const third = await open();
  for (const { extents, reads } of [other, third]) {
    expect(await extents.read(key, 5 * mebibyte, 1000)).toEqual(part(5 * mebibyte));
    expect(reads()).toBe(0);
  }
  expect(ranges).toEqual(['bytes=0-']);
});

test('where a process died the next goes on', async () => {
  sent = 3 * mebibyte;
  const dead = await open();
  void dead.extents.fetchWhole(key, 1);
  expect(await dead.extents.read(key, 2 * mebibyte, 1000)).toEqual(part(2 * mebibyte));
  await dead.whole.stop();
  sent = Infinity;
  const { extents, whole } = await open();
  expect(await extents.fetchWhole(key, 1)).toBe(true);
  expect(ranges).toEqual(['bytes=0-', `bytes=${3 * mebibyte}-`]);
  expect(whole.counters).toEqual({ objects: 1, bytes: object.length - 3 * mebibyte });
  expect((await readFile(join(dir, key, `0-${object.length}`))).equals(object)).toBe(true);
});

test('what is too long to go on with is begun anew, and a failure leaves readers to themselves', async () => {
  const { extents, reads } = await open();
  expect(await extents.fetchWhole(key, 1)).toBe(true);
  await rm(join(dir, key, `0-${object.length}`));
  await writeFile(join(dir, key, `.${'0'.repeat(16)}`), Buffer.alloc(object.length + 32));
  const next = await open();
  const failing = next.extents.fetchWhole(key, object.length);
  const read = next.extents.read(key, object.length - 10, 10);
  expect(await failing).toBe(false);
  // Nobody has compared what is there with anything: who reads it does (BlobReader), and has it read anew.
  expect((await read).length).toBe(10);
  expect(await next.extents.reread(key, 100, 1000)).toEqual(part(100));
  expect(await (await open()).extents.fetchWhole(key, 1)).toBe(true);
  expect([ranges.at(-1), reads()]).toEqual(['bytes=0-', 0]);
});

test('damage in it costs a request for the part that is damaged', async () => {
  const { extents } = await open();
  expect(await extents.fetchWhole(key, 1)).toBe(true);
  const path = join(dir, key, `0-${object.length}`);
  const kept = await readFile(path);
  kept[mebibyte] = 255 - (kept[mebibyte] as number);
  await writeFile(path, kept);
  expect(await extents.read(key, mebibyte, 1000)).not.toEqual(part(mebibyte));
  expect(await extents.reread(key, mebibyte, 1000)).toEqual(part(mebibyte));
  await extents.settle();
  const next = await open();
  for (const at of [mebibyte, 3 * mebibyte]) expect(await next.extents.read(key, at, 1000)).toEqual(part(at));
  expect(next.reads()).toBe(0);
});

test('what a collection drops goes, whole or in part', async () => {
  const { extents } = await open();
  expect(await extents.fetchWhole(key, 1)).toBe(true);
  await writeFile(join(dir, key, `.${'0'.repeat(16)}`), 'a part');
  await extents.enter('p', 1, async () => new Set());
  await extents.enter('p', 2, async () => new Set());
  await expect(namesOf()).rejects.toThrow('ENOENT');
});

test('while some wait for their turn, it is tried whether more at once bring more', async () => {
  served = object.subarray(0, 1000);
  delayMs = 20;
  const { whole, transfers } = await open();
  const before = transfers.limit;
  const keys = Array.from({ length: 8 * before }, (_, n) => key.replace(/aa$/, `${10 + n}`));
  await Promise.all(keys.map((each) => whole.fetch(each, 1)));
  expect(ranges).toHaveLength(keys.length);
  expect(atOnceMax).toBeGreaterThan(before);
});
