/**
 * Large files on this machine's disk: what is read of them is right at every moment while they
 * fill, comes once, and is fetched anew when the disk has changed it.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, open, readdir, readFile, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { nativeFetch } from '../../src/base/native.ts';
import type { Filler } from '../../src/cache/filler.ts';
import { storeHeaderKey } from '../../src/model/keys.ts';
import type { Store } from '../../src/store/store.ts';
import type { LocalContent } from '../../src/versions/reading/local-content.ts';
import { numbers } from '../support/numbers.ts';
import { openContentOf, servedBy, storeOf, type Fate } from './local-store.ts';

const mebibyte = 1 << 20;
/** As statfs(2) calls it. */
const tmpfs = 0x01021994;
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pach-local-'));
});
afterEach(() => rm(dir, { recursive: true }));

/** A store in a folder that has `bytes` as /file. */
const storeWith = (bytes: Buffer): Promise<Store> => storeOf(join(dir, 'store'), { '/file': bytes });

/** As a process has it that begins: the file's content, through a cache in `cache`. */
async function openContent(
  store: Store,
  memory = 24 * mebibyte,
  timeoutSeconds = 5,
): Promise<{ content: LocalContent; filler: Filler }> {
  const { content, files } = await openContentOf(store, '/file', { dir: join(dir, 'cache'), memory, timeoutSeconds });
  return { content, filler: files.filler };
}

/** Begins to fetch what will be read soon; what is under way when a test ends finds no store any more. */
function ahead(content: LocalContent, offset: number, length: number): void {
  void content.prefetch(offset, length).catch(() => undefined);
}

/** A store that counts what is read of its data packs, but not by threads. */
function watch(store: Store): { readonly store: Store; reads: number } {
  const watched = {
    reads: 0,
    store: Object.assign(Object.create(store) as Store, {
      read(key: string, offset: number, length: number) {
        if (key.includes('/data/')) watched.reads += 1;
        return store.read(key, offset, length);
      },
    }),
  };
  return watched;
}

/** Chunks of every length, next to each other and to holes, with ends in the middle of blocks. */
function oddContent(): Buffer {
  return Buffer.concat([
    randomBytes(3_000),
    Buffer.alloc(2_500_000),
    randomBytes(9_000_001),
    Buffer.alloc(5_000_000),
    randomBytes(70),
  ]);
}

for (const [name, bytes] of [
  ['random bytes', randomBytes(24 * mebibyte + 1234)],
  ['bytes that compress', Buffer.concat(Array.from({ length: 24 }, (_, n) => Buffer.alloc(mebibyte, `${n} and `)))],
] as const) {
  for (const [from, memory] of [
    ['folder', 24],
    ['server', 24],
    ['server', 8],
    ['server', 0],
  ] as const) {
    test(`${name} from a ${from}, ${memory} MiB of memory: every reading is right, whatever is under way`, async () => {
      const folder = await storeWith(bytes);
      await using served = await servedBy(folder, () => 'works');
      const watched = watch(from === 'server' ? served : folder);
      const { content, filler } = await openContent(watched.store, memory * mebibyte);
      const next = numbers(7);
      const readOne = async (): Promise<void> => {
        const offset = Math.floor(next() * bytes.length);
        const length = Math.min(bytes.length - offset, 1 + Math.floor(next() ** 3 * mebibyte));
        if (next() < 0.3) ahead(content, offset, length * 8);
        expect(await content.ensure(offset, length)).toBe(true);
        const read = await content.file.bytes.read(offset, length);
        expect(read?.equals(bytes.subarray(offset, offset + length)), `${length} bytes from ${offset}`).toBe(true);
      };
      for (let round = 0; round < 40; round += 1) await Promise.all(Array.from({ length: 8 }, readOne));
      await content.fetch(0, bytes.length);
      expect(content.file.bytes.whole()).toBe(true);
      expect(filler.counters.failures).toBe(0);
      // The threads bring all of it, also what two of them have parts of a block of.
      expect(watched.reads).toBe(0);
      // Also where nobody of this process looks.
      expect((await readFile(join(dir, 'cache', content.file.name))).equals(bytes)).toBe(true);
    });
  }
}

/** Pages of a file that are in the page cache, as fincore(1) tells; 0 where it lies in memory in any case. */
async function cachedPages(path: string): Promise<number> {
  if ((await statfs(path)).type === tmpfs) return 0;
  const { stdout } = await promisify(execFile)('fincore', ['-n', '-o', 'PAGES', path]);
  return Number(stdout.trim());
}

/** Bytes that this process has read of files. */
async function bytesRead(): Promise<number> {
  return Number(/^rchar: (\d+)$/m.exec(await readFile('/proc/self/io', 'utf8'))?.[1]);
}

test.for(['folder', 'server'])('a run from a %s of which a part is compressed comes as any other', async (from) => {
  const bytes = Buffer.concat([randomBytes(3_000_000), Buffer.alloc(1_500_000, 'now and '), randomBytes(3_000_000)]);
  const folder = await storeWith(bytes);
  await using served = await servedBy(folder, () => 'works');
  const { content, filler } = await openContent(from === 'server' ? served : folder);
  expect(await content.ensure(0, bytes.length)).toBe(true);
  expect((await content.file.bytes.read(0, bytes.length))?.equals(bytes)).toBe(true);
  expect(filler.counters).toMatchObject({ requests: 1, failures: 0 });
});

test('who reads what comes gets it from memory; it is on the disk, and not in the page cache beside', async () => {
  const bytes = randomBytes(24 * mebibyte);
  await using store = await servedBy(await storeWith(bytes), () => 'works');
  const { content, filler } = await openContent(store);
  ahead(content, 0, bytes.length);
  const before = await bytesRead();
  for (let offset = 0; offset < bytes.length; offset += mebibyte) {
    expect(await content.ensure(offset, mebibyte)).toBe(true);
    const read = await content.file.bytes.read(offset, mebibyte);
    expect(read?.equals(bytes.subarray(offset, offset + mebibyte))).toBe(true);
  }
  // The server of this test reads all of it once.
  expect((await bytesRead()) - before).toBeLessThan(bytes.length + 2 * mebibyte);
  expect(filler.counters.bytes).toBeLessThan(bytes.length * 1.01);
  await content.fetch(0, bytes.length);
  const path = join(dir, 'cache', content.file.name);
  expect(await cachedPages(path)).toBeLessThan((bytes.length / 4096) * 0.1);
  expect((await readFile(path)).equals(bytes)).toBe(true);
});

test('what nobody came to read makes room for what somebody reads', async () => {
  const bytes = randomBytes(48 * mebibyte);
  await using store = await servedBy(await storeWith(bytes), () => 'works');
  const { content, filler } = await openContent(store, 16 * mebibyte);
  await content.prefetch(16 * mebibyte, 32 * mebibyte);
  for (let offset = 0; offset < bytes.length; offset += mebibyte) {
    expect(await content.ensure(offset, mebibyte)).toBe(true);
    const read = await content.file.bytes.read(offset, mebibyte);
    expect(read?.equals(bytes.subarray(offset, offset + mebibyte))).toBe(true);
  }
  expect(filler.counters.bytes).toBeLessThan(bytes.length * 1.01);
});

/** Brings a file a part at a time; who does not pause reads each to its end. */
async function bringInParts(content: LocalContent, purpose: 'ahead' | 'keep', pauseMs: number): Promise<void> {
  const { bytes, size } = content.file;
  for (let offset = 0; offset < size;) {
    await content.fetch(offset, 6 * mebibyte, purpose);
    const end = bytes.presentUntil(offset, size);
    expect(end).toBeGreaterThan(offset);
    if (purpose === 'ahead' && pauseMs === 0) await bytes.read(offset, end - offset);
    await sleep(pauseMs);
    offset = end;
  }
}

for (const [what, purpose, pauseMs] of [
  ['what was read', 'ahead', 0],
  ['what nobody came to read for long', 'ahead', 1100],
  ['what nobody will read', 'keep', 0],
] as const) {
  test(`${what} leaves its room to what comes next`, async () => {
    const bytes = randomBytes(20 * mebibyte);
    await using store = await servedBy(await storeWith(bytes), () => 'works');
    const { content, filler } = await openContent(store, 8 * mebibyte);
    await bringInParts(content, purpose, pauseMs);
    expect(filler.counters).toMatchObject({ failures: 0, hedged: 0 });
    expect(filler.counters.bytes).toBeLessThan(bytes.length * 1.01);
    const path = join(dir, 'cache', content.file.name);
    // What finds no room goes through the page cache, and so does a chunk that is left alone at the end.
    expect(await cachedPages(path)).toBeLessThan((5 * mebibyte) / 4096);
    expect((await readFile(path)).equals(bytes)).toBe(true);
  });
}

test('a chunk is read as soon as it has come, while the rest is under way', async () => {
  // One run, and no chunk is longer than half of it.
  const bytes = randomBytes(9_500_000);
  let asked = 0;
  await using store = await servedBy(await storeWith(bytes), (request) => {
    asked = request;
    return 'stalls';
  });
  const watched = watch(store);
  const { content } = await openContent(watched.store, 8 * mebibyte, 600);
  ahead(content, 0, bytes.length);
  await vi.waitFor(() => expect(asked).toBe(1), { timeout: 120_000 });
  expect(await content.ensure(0, 4096)).toBe(true);
  expect((await content.file.bytes.read(0, 4096))?.equals(bytes.subarray(0, 4096))).toBe(true);
  expect(content.has(8_000_000, 4096)).toBe(false);
  expect([asked, watched.reads]).toEqual([1, 0]);
});

test('what somebody waits for goes before what was to come ahead', async () => {
  const bytes = randomBytes(64 * mebibyte);
  const lengths: number[] = [];
  let go = (): void => undefined;
  const told = new Promise<void>((resolve) => (go = resolve));
  await using store = await servedBy(await storeWith(bytes), async (_, length): Promise<Fate> => {
    lengths.push(length);
    await told;
    return 'works';
  });
  const { content, filler } = await openContent(store, 64 * mebibyte);
  const fill = vi.spyOn(filler, 'fill');
  const coming = content.prefetch(0, 56 * mebibyte);
  await vi.waitFor(() => expect(lengths.length).toBeGreaterThan(3), { timeout: 120_000 });
  const one = content.ensure(63 * mebibyte, 1);
  // It finds out first which chunk that is.
  await vi.waitFor(() => expect(fill.mock.lastCall?.[4]).toBe('read'), { timeout: 120_000 });
  for (let turns = 0; turns < 1000; turns += 1) await turn();
  go();
  expect(await one).toBe(true);
  await coming;
  expect(lengths.length).toBeGreaterThan(5);
  expect(lengths.slice(0, 4).every((length) => length > 5 * mebibyte)).toBe(true);
  expect(lengths[4]).toBeLessThan(5 * mebibyte);
});

test('packs on this machine are copied when a file is read in order for a second time, where a copy is of less use', async () => {
  const bytes = randomBytes(20 * mebibyte + 77);
  const near = await storeWith(bytes);
  for (const isLocal of [true, false]) {
    const store = Object.assign(Object.create(near) as Store, { isLocal });
    const { content, files } = await openContentOf(store, '/file', {
      dir: join(dir, `cache-${isLocal}`),
      memory: 64 * mebibyte,
      timeoutSeconds: 5,
    });
    files.filler.copiesNear = false;
    const { name, bytes: cached } = content.file;
    const bytesOnDisk = async (): Promise<number> => (await stat(join(dir, `cache-${isLocal}`, name))).blocks * 512;
    // There is memory for all of it.
    await content.prefetch(0, bytes.length);
    expect(content.has(0, bytes.length)).toBe(true);
    expect((await bytesOnDisk()) > 0).toBe(!isLocal);
    for (let at = 0; at < bytes.length; at += mebibyte) {
      const length = Math.min(mebibyte, bytes.length - at);
      expect((await cached.read(at, length))?.equals(bytes.subarray(at, at + length))).toBe(true);
    }
    // What was read to its end has left memory.
    expect(content.has(0, bytes.length)).toBe(!isLocal);
    expect(cached.whole()).toBe(!isLocal);
    // Who reads it again has it kept.
    await content.prefetch(0, bytes.length);
    expect(cached.whole()).toBe(true);
  }
});

test('as many transfers are under way as may be, also when that changes', async () => {
  const waiting: (() => void)[] = [];
  await using store = await servedBy(await storeWith(randomBytes(4 * mebibyte)), async (): Promise<Fate> => {
    await new Promise<void>((go) => waiting.push(go));
    return 'works';
  });
  const { content } = await openContent(store);
  const url = (await store.direct?.(storeHeaderKey))?.url;
  let ended = 0;
  const fetcher = new (nativeFetch().Fetcher)(2, 0, (_, isEnd) => (ended += Number(isEnd)));
  const piece = Buffer.alloc(64);
  piece.writeUInt32LE(1, 16);
  piece.writeUInt32LE(1, 20);
  const begin = (id: number): void => {
    fetcher.fetch(id, content.file.bytes, { url, timeoutSeconds: 60 }, piece, false, false, true);
  };
  for (let id = 0; id < 8; id += 1) begin(id);
  const come = async (count: number): Promise<void> => {
    await vi.waitFor(() => expect(waiting.length).toBe(count), { timeout: 120_000 });
    await sleep(100);
    expect(waiting.length).toBe(count);
  };
  await come(2);
  fetcher.limit(4);
  await come(4);
  fetcher.limit(1);
  for (const go of waiting.splice(0)) go();
  await come(1);
  for (let left = 3; left >= 0; left -= 1) {
    waiting.pop()?.();
    await come(Math.min(left, 1));
  }
  await vi.waitFor(() => expect(ended).toBe(8), { timeout: 120_000 });
});

test('a block that is half in the file and half in memory is read while the rest of its run is slow', async () => {
  const bytes = randomBytes(20 * mebibyte);
  let fate: Fate = 'works';
  await using store = await servedBy(await storeWith(bytes), () => fate);
  const { content } = await openContent(store, 8 * mebibyte, 600);
  const { bytes: file } = content.file;
  await content.fetch(0, 6 * mebibyte);
  fate = 'stalls';
  const from = file.presentUntil(0, bytes.length);
  ahead(content, from, 9_500_000);
  await vi.waitFor(() => expect(content.has(from + 4096, 4096)).toBe(true), { timeout: 120_000 });
  fate = 'works';
  expect(await content.ensure(from - 8192, 16_384)).toBe(true);
  // From the file, from both, and from memory alone.
  const end = file.presentUntil(from - 8192, bytes.length);
  expect((await file.read(from - 8192, end - from + 8192))?.equals(bytes.subarray(from - 8192, end))).toBe(true);
});

test.for(['a chunk', 'a run'])(
  'what counts as there is there, while its neighbours are not: %s at a time',
  async (what) => {
    const bytes = randomBytes(48 * mebibyte);
    const { content } = await openContent(await storeWith(bytes));
    const next = numbers(3);
    for (let round = 0; round < 6; round += 1) {
      const offset = Math.floor(next() * (bytes.length - 5 * mebibyte));
      if (what === 'a chunk') await content.ensure(offset, 1);
      else await content.fetch(offset, 5 * mebibyte);
      for (let at = 0; at < bytes.length; at += 4096) {
        const { bytes: file } = content.file;
        // On its way from memory to the disk a block may count and be gone a moment later: then it is asked for anew.
        let read: Buffer | undefined;
        let counts = false;
        for (let times = 0; times < 2 && !read; times += 1) {
          counts = file.presentUntil(at, at + 4096) > at;
          if (counts) read = await file.read(at, 4096);
        }
        if (!counts) continue;
        expect(read?.equals(bytes.subarray(at, at + 4096)), `the block at ${at}`).toBe(true);
      }
    }
  },
);

test('a run that has come and was read stays until the disk has it', async () => {
  const bytes = randomBytes(24 * mebibyte);
  let fate: Fate = 'lingers';
  let asked = 0;
  await using store = await servedBy(await storeWith(bytes), (request) => {
    asked = request;
    return fate;
  });
  const { content } = await openContent(store, 8 * mebibyte, 600);
  const { file } = content;
  ahead(content, 0, 6 * mebibyte);
  await vi.waitFor(() => expect(content.has(0, 6 * mebibyte)).toBe(true), { timeout: 120_000 });
  const end = file.bytes.presentUntil(0, bytes.length);
  for (let times = 0; times < 2; times += 1) {
    expect((await file.bytes.read(0, end))?.equals(bytes.subarray(0, end))).toBe(true);
  }
  expect(file.bytes.presentUntil(0, bytes.length)).toBe(end);
  // Nor does it leave for others, when it has been there for long.
  fate = 'works';
  await sleep(1100);
  await content.fetch(14 * mebibyte, 6 * mebibyte);
  expect(file.bytes.presentUntil(0, bytes.length)).toBe(end);
  expect(asked).toBe(2);
});

test('what is beside holes and ends is read right, and holes are left to others', async () => {
  const bytes = oddContent();
  const { content } = await openContent(await storeWith(bytes));
  expect(await content.ensure(1_000_000, 4096)).toBe(false);
  for (let offset = 2_510_000; offset < 11_490_000; offset += 333_333) {
    expect(await content.ensure(offset, 5000)).toBe(true);
    const read = await content.file.bytes.read(offset, 5000);
    expect(read?.equals(bytes.subarray(offset, offset + 5000))).toBe(true);
  }
  expect(content.file.bytes.whole()).toBe(false);
});

test('many readers at once fetch each byte once, and the next process none', async () => {
  const bytes = randomBytes(16 * mebibyte);
  const store = await storeWith(bytes);
  const first = await openContent(store);
  await Promise.all(Array.from({ length: 8 }, () => first.content.fetch(0, bytes.length)));
  expect(first.filler.counters.bytes).toBeLessThan(bytes.length * 1.001);
  expect(first.filler.counters.requests).toBeLessThanOrEqual(4);
  const second = await openContent(store);
  expect(await second.content.ensure(0, bytes.length)).toBe(true);
  expect(second.filler.counters.requests).toBe(0);
});

test('two processes that read at once share what each fetches', async () => {
  const bytes = randomBytes(48 * mebibyte);
  const store = await storeWith(bytes);
  const both = [await openContent(store), await openContent(store)];
  await Promise.all(
    both.map(async ({ content }) => {
      for (let offset = 0; offset < bytes.length; offset += mebibyte) {
        expect(await content.ensure(offset, mebibyte)).toBe(true);
        const read = await content.file.bytes.read(offset, mebibyte);
        expect(read?.equals(bytes.subarray(offset, offset + mebibyte))).toBe(true);
      }
    }),
  );
  await Promise.all(both.map(({ content }) => content.fetch(0, bytes.length)));
  const fetched = both.reduce((sum, { filler }) => sum + filler.counters.bytes, 0);
  expect(fetched).toBeLessThan(bytes.length * 1.01);
  // Neither keeps the other from fetching anew what the disk has lost.
  for (const { content } of both) {
    content.file.bytes.drop(0, bytes.length);
    await content.fetch(0, bytes.length);
    expect(content.file.bytes.whole()).toBe(true);
  }
});

test('a random read fetches the chunks that it touches', async () => {
  const store = await storeWith(randomBytes(32 * mebibyte));
  const { content, filler } = await openContent(store);
  await content.ensure(20 * mebibyte, 4096);
  expect(filler.counters.requests).toBe(1);
  expect(filler.counters.bytes).toBeLessThanOrEqual(2 * 4 * mebibyte);
});

test('what is asked for at once comes together, and first what a reader waits for', async () => {
  const bytes = randomBytes(16 * mebibyte);
  const asked: number[] = [];
  let release: () => void = () => undefined;
  const waited = new Promise<void>((resolve) => (release = resolve));
  await using store = await servedBy(await storeWith(bytes), async (_, length): Promise<Fate> => {
    asked.push(length);
    // Of the two requests this is the one for what lies before the reader's first chunk.
    if (length < 4 * mebibyte) await waited;
    return 'works';
  });
  const { content, filler } = await openContent(store);
  // As the kernel asks: four parts of what it reads ahead, and we bring what is around.
  ahead(content, 0, 8 * mebibyte);
  const reads = [4, 5, 6, 7].map((at) => content.ensure(at * mebibyte, mebibyte));
  expect(await Promise.all(reads)).toEqual([true, true, true, true]);
  release();
  await content.fetch(0, 8 * mebibyte);
  expect(filler.counters.requests).toBe(2);
  expect(asked.length).toBe(2);
});

test('a transfer that stands still is asked for again, and not waited for', async () => {
  const bytes = randomBytes(24 * mebibyte);
  await using store = await servedBy(await storeWith(bytes), (request) => (request === 12 ? 'stalls' : 'works'));
  const { content, filler } = await openContent(store);
  for (let offset = 0; offset < 24; offset += 1) expect(await content.ensure(offset * mebibyte, mebibyte)).toBe(true);
  expect((await content.file.bytes.read(0, bytes.length))?.equals(bytes)).toBe(true);
  expect(filler.counters).toMatchObject({ hedged: 1, failures: 0 });
});

test('what stands still keeps nobody waiting who finds no room in memory', async () => {
  const bytes = randomBytes(32 * mebibyte);
  let stalls = false;
  let stalled = 0;
  await using store = await servedBy(await storeWith(bytes), () => {
    if (!stalls || stalled > 0) return 'works';
    stalled += 1;
    return 'stalls';
  });
  const { content, filler } = await openContent(store, 8 * mebibyte, 600);
  for (let offset = 0; offset < 20; offset += 1) expect(await content.ensure(offset * mebibyte, mebibyte)).toBe(true);
  stalls = true;
  // The room is taken by what stands still, and not by what was read before.
  await sleep(1100);
  const from = content.file.bytes.presentUntil(0, bytes.length);
  ahead(content, from, 8 * mebibyte);
  expect(await content.ensure(from, 8 * mebibyte)).toBe(true);
  expect((await content.file.bytes.read(0, from + 8 * mebibyte))?.equals(bytes.subarray(0, from + 8 * mebibyte))).toBe(
    true,
  );
  expect(filler.counters).toMatchObject({ hedged: 1, failures: 0 });
});

test('a byte that the disk has changed is found when it is read, and comes again', async () => {
  const bytes = randomBytes(8 * mebibyte);
  const store = await storeWith(bytes);
  const { content, filler } = await openContent(store);
  await content.fetch(0, bytes.length);
  const path = join(dir, 'cache', content.file.name);
  const file = await open(path, 'r+');
  await file.write(Buffer.from([bytes[3_000_000]! ^ 1]), 0, 1, 3_000_000);
  await file.close();
  expect(await content.file.bytes.read(2_999_000, 2000)).toBeUndefined();
  const before = filler.counters.requests;
  expect(await content.ensure(2_999_000, 2000)).toBe(true);
  expect(filler.counters.requests).toBe(before + 1);
  const read = await content.file.bytes.read(2_900_000, 200_000);
  expect(read?.equals(bytes.subarray(2_900_000, 3_100_000))).toBe(true);
});

test('a damaged pack is told as by any reader', async () => {
  const bytes = randomBytes(8 * mebibyte);
  const store = await storeWith(bytes);
  const packs = join(dir, 'store/projects/default/data');
  for (const name of await readdir(packs, { recursive: true })) {
    const path = join(packs, name);
    if (!/[0-9a-f]{32}$/.test(name)) continue;
    await rm(path);
    await writeFile(path, randomBytes(9 * mebibyte));
  }
  const { content } = await openContent(store);
  await expect(content.ensure(mebibyte, 4096)).rejects.toMatchObject({ code: 'damaged' });
});

test.for(['folder', 'server'])(
  'a byte that a %s has changed reaches nobody, and what is beside it does',
  async (from) => {
    const bytes = randomBytes(8 * mebibyte);
    const folder = await storeWith(bytes);
    const at = 5_000_000;
    const packs = join(dir, 'store/projects/default/data');
    for (const name of await readdir(packs, { recursive: true })) {
      const path = join(packs, name);
      if (!/[0-9a-f]{32}$/.test(name)) continue;
      const stored = await readFile(path);
      const found = stored.indexOf(bytes.subarray(at, at + 32));
      if (found < 0) continue;
      stored[found] = (stored[found] as number) ^ 1;
      await rm(path);
      await writeFile(path, stored);
    }
    await using served = await servedBy(folder, () => 'works');
    const { content } = await openContent(from === 'server' ? served : folder);
    await expect(content.fetch(0, bytes.length)).rejects.toMatchObject({ code: 'damaged' });
    expect(content.has(at, 1)).toBe(false);
    expect(await content.ensure(0, 4096)).toBe(true);
    expect((await content.file.bytes.read(0, 4096))?.equals(bytes.subarray(0, 4096))).toBe(true);
  },
);

test.for(['open', 'closed'])('checksums that outlive a file, still %s, say nothing of its successor', async (state) => {
  const bytes = randomBytes(4 * mebibyte);
  const store = await storeWith(bytes);
  const first = (await openContent(store)).content;
  await first.fetch(0, bytes.length);
  expect(first.file.bytes.whole()).toBe(true);
  if (state === 'closed') first.file.bytes.close();
  await rm(join(dir, 'cache', first.file.name));
  const { content } = await openContent(store);
  expect(content.file.bytes.whole()).toBe(false);
  expect(content.file.bytes.presentUntil(0, bytes.length)).toBe(0);
  await content.ensure(mebibyte, 4096);
  const before = state === 'open' ? await first.file.bytes.read(0, bytes.length) : bytes;
  expect(before?.equals(bytes)).toBe(true);
  await content.fetch(0, bytes.length);
  expect((await content.file.bytes.read(0, bytes.length))?.equals(bytes)).toBe(true);
});
