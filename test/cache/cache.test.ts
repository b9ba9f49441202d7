/**
 * The cache between versions and a store: few requests, verified bytes, and nothing believed that
 * lies on this machine's disk.
 */
import { mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { native } from '../../src/base/native.ts';
import { BlobMemory, BlobReader } from '../../src/cache/blobs.ts';
import { DiskCache } from '../../src/cache/disk.ts';
import { ExtentCache } from '../../src/cache/extents.ts';
import { DiskSpace } from '../../src/cache/space.ts';
import { encodeStored, PackWriter } from '../../src/chunks/pack-writer.ts';
import type { Hash, Place, Ref } from '../../src/model/refs.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { openStore } from '../../src/store/open.ts';
import { traceStore } from '../../src/store/trace.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pach-cache-'));
});
afterEach(() => rm(dir, { recursive: true }));

const key = 'projects/p/data/aa/aabb';
const mebibyte = 1 << 20;

async function storeWith(bytes: Buffer): Promise<ReturnType<typeof traceStore>> {
  const traced = traceStore(new MemoryStore());
  await traced.store.writeIfAbsent(key, [bytes]);
  traced.counts.reset();
  return traced;
}

const pattern = Buffer.from(Array.from({ length: 4 * mebibyte }, (_, i) => (i * 7 + (i >> 8)) % 251));

test('concurrent and neighbouring small reads share one request', async () => {
  const { store, counts } = await storeWith(pattern);
  const cache = new ExtentCache(store, { memoryBytesMax: 8 * mebibyte, readAroundBytes: mebibyte });
  const reads = await Promise.all([cache.read(key, 1000, 50), cache.read(key, 1000, 50), cache.read(key, 5000, 100)]);
  expect(reads.map((bytes, i) => bytes.equals(pattern.subarray([1000, 1000, 5000][i], [1050, 1050, 5100][i])))).toEqual(
    [true, true, true],
  );
  expect(counts.count('read')).toBe(1);
  expect((await cache.read(key, 4 * mebibyte - 10, 10)).equals(pattern.subarray(-10))).toBe(true);
  expect((await cache.read(key, 2 * mebibyte, mebibyte)).equals(pattern.subarray(2 * mebibyte, 3 * mebibyte))).toBe(
    true,
  );
  expect(counts.bytesRead).toBeLessThanOrEqual(3 * mebibyte);
});

test('who reads the chunks of a pack in order brings ever more; who meets the end of an extent by chance does not', async () => {
  const { store, counts } = await storeWith(pattern);
  const cache = new ExtentCache(store, { memoryBytesMax: 8 * mebibyte, readAroundBytes: mebibyte });
  const chunk = 100_000;
  const read = async (n: number): Promise<number> => {
    counts.reset();
    await cache.read(key, 8 + n * chunk, chunk);
    return counts.bytesRead;
  };
  // As long as a first extent can be; the next chunk begins where it ends.
  expect(await read(1)).toBe(2 * chunk);
  expect(await read(2)).toBe(128 * 1024);
  expect(await read(3)).toBe(256 * 1024);
  expect(await read(4)).toBe(0);
  expect(await read(5)).toBe(512 * 1024);
});

test('memory is bounded: what leaves it is fetched again', async () => {
  const { store, counts } = await storeWith(pattern);
  const cache = new ExtentCache(store, { memoryBytesMax: mebibyte, readAroundBytes: 0 });
  for (const offset of [0, mebibyte, 2 * mebibyte, 0]) await cache.read(key, offset, mebibyte);
  expect(counts.count('read')).toBe(4);
});

test('what is kept of a small object takes no more memory than it counts for', async () => {
  const store = await openStore(join(dir, 'store'));
  await store.writeIfAbsent(key, [pattern.subarray(0, 2000)]);
  const cache = new ExtentCache(store, { memoryBytesMax: mebibyte, readAroundBytes: mebibyte });
  const bytes = await cache.read(key, 100, 50);
  expect(bytes.equals(pattern.subarray(100, 150))).toBe(true);
  expect(bytes.buffer.byteLength).toBeLessThan(20_000);
  await store.close();
});

test('the disk keeps extents for the next process, privately, and is not believed', async () => {
  const { store, counts } = await storeWith(pattern);
  const open = (): ExtentCache =>
    new ExtentCache(store, {
      memoryBytesMax: mebibyte,
      readAroundBytes: 0,
      disk: new DiskCache(new DiskSpace(join(dir, 'c'), 64 * mebibyte)),
    });
  const first = open();
  await first.read(key, 100, 200_000);
  await first.settle();
  expect((await open().read(key, 200, 50)).equals(pattern.subarray(200, 250))).toBe(true);
  expect(counts.count('read')).toBe(1);
  const [name = ''] = await readdir(join(dir, 'c', key));
  expect((await stat(join(dir, 'c', key, name))).mode & 0o077).toBe(0);
  await writeFile(join(dir, 'c', key, name), 'cut short');
  expect((await open().read(key, 200, 50)).equals(pattern.subarray(200, 250))).toBe(true);
  expect((await open().reread(key, 100, 200)).equals(pattern.subarray(100, 300))).toBe(true);
});

/** A key that a store gives. */
const packOf = (name: string): string => join(packs, Buffer.from(name).toString('hex').padEnd(32, '0'));
const packs = 'projects/p/data/aa';

test('the disk is bounded: the oldest objects leave', async () => {
  const space = new DiskSpace(dir, 3 * mebibyte);
  const disk = new DiskCache(space);
  for (let object = 0; object < 6; object += 1) {
    await disk.write(packOf(`o${object}`), { offset: 0, length: mebibyte }, pattern.subarray(0, mebibyte));
    await space.settle();
  }
  expect((await readdir(join(dir, packs))).length).toBeLessThanOrEqual(3);
  expect(await disk.read(packOf('o5'), { offset: 0, length: mebibyte })).toBeDefined();
});

test('two that share a disk both hear what leaves it; one that left does not', async () => {
  const space = new DiskSpace(dir, mebibyte);
  const disk = new DiskCache(space);
  const heard = { looks: 0, first: new Set<string>(), second: new Set<string>() };
  space.onLook.add(() => (heard.looks += 1));
  space.onLook.add(() => (heard.looks += 1));
  const leave = space.onRemove.add((path) => heard.first.add(path));
  space.onRemove.add((path) => heard.second.add(path));
  const write = async (name: string): Promise<void> => {
    await disk.write(packOf(name), { offset: 0, length: 2 * mebibyte }, Buffer.alloc(2 * mebibyte));
    await space.settle();
  };
  await write('one');
  expect([heard.looks, [...heard.first]]).toEqual([2, [...heard.second]]);
  expect(heard.first).toContain(packOf('one'));
  leave();
  await write('two');
  expect([heard.looks, heard.first.has(packOf('two')), heard.second.has(packOf('two'))]).toEqual([4, false, true]);
});

test('two that share a cache of a store both hear that it is asked; one that left does not', async () => {
  const { store } = await storeWith(pattern);
  const cache = new ExtentCache(store, { memoryBytesMax: 8 * mebibyte, readAroundBytes: 0 });
  const heard = { first: 0, second: 0 };
  const leave = cache.onFetch.add(() => (heard.first += 1));
  cache.onFetch.add(() => (heard.second += 1));
  await cache.read(key, 0, 1000);
  await cache.read(key, 0, 1000);
  // Nobody waits for it.
  await cache.read(key, 5000, 1000, undefined, true);
  expect(heard).toEqual({ first: 1, second: 1 });
  leave();
  await cache.read(key, 10_000, 1000);
  expect(heard).toEqual({ first: 1, second: 2 });
});

test('a pass over much data leaves what is used again', async () => {
  const write = async (name: string, space: DiskSpace): Promise<void> => {
    await new DiskCache(space).write(packOf(name), { offset: 0, length: mebibyte }, pattern.subarray(0, mebibyte));
    await space.settle();
  };
  const before = new DiskSpace(dir, 100 * mebibyte);
  for (const name of ['often', 'once']) await write(name, before);
  const hourAgo = new Date(Date.now() - 3_600_000);
  await utimes(join(dir, packOf('often')), hourAgo, hourAgo);
  await before.touch(join(dir, packOf('often')));
  await utimes(join(dir, packOf('often')), hourAgo, hourAgo);
  const space = new DiskSpace(dir, 6 * mebibyte);
  for (let object = 0; object < 20; object += 1) await write(`pass${object}`, space);
  const left = (await readdir(join(dir, packs))).map((name) => join(packs, name));
  expect(left).toContain(packOf('often'));
  expect(left).not.toContain(packOf('once'));
  expect(left.length).toBeLessThanOrEqual(6);
});

test('a wrong byte is found, whether disk or store has it; a stale place is looked up', async () => {
  const inner = new MemoryStore();
  const plain = pattern.subarray(0, 300_000);
  const hash = native().hash('plain', plain) as Hash;
  const writer = new PackWriter(inner, 'p', 'data');
  const { stored } = await encodeStored([plain]);
  const [blob = []] = stored;
  const place = await writer.add(hash, blob, plain.length);
  await writer.finish();
  const reader = (found: Place | undefined, store = inner): BlobReader =>
    new BlobReader({
      extents: new ExtentCache(store, { memoryBytesMax: mebibyte, readAroundBytes: 0 }),
      project: 'p',
      known: { find: () => Promise.resolve(found) },
      memory: new BlobMemory(mebibyte),
    });
  const ref: Ref = { type: 'chunk', hash, place };
  expect((await reader(undefined).chunk(ref, plain.length)).equals(plain)).toBe(true);
  const stale: Ref = { type: 'chunk', hash, place: { ...place, offset: place.offset + 1 } };
  expect((await reader(place).chunk(stale, plain.length)).equals(plain)).toBe(true);
  await expect(reader(undefined).chunk(stale, plain.length)).rejects.toMatchObject({
    code: 'damaged',
    what: expect.stringContaining(place.pack) as string,
  });
  const gone: Ref = { type: 'chunk', hash, place: { ...place, pack: 'ff'.repeat(16) as Place['pack'] } };
  expect((await reader(place).chunk(gone, plain.length)).equals(plain)).toBe(true);
  await expect(reader(undefined).chunk(gone, plain.length)).rejects.toMatchObject({ code: 'damaged' });
});
