/**
 * Large files on this machine's disk: what is read of them is right at every moment while they
 * fill, comes once, and is fetched anew when the disk has changed it.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, open, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FileCache } from '../../src/cache/file-cache.ts';
import { Filler } from '../../src/cache/filler.ts';
import { DiskSpace } from '../../src/cache/space.ts';
import { parseAddress } from '../../src/model/address.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/store.ts';
import { LocalContent, type LocalFiles } from '../../src/versions/local-content.ts';
import { Files } from '../../src/versions/files.ts';
import type { Project } from '../../src/versions/project.ts';
import { putFiles } from '../../src/versions/put.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import { rootOf } from '../../src/versions/snapshot.ts';
import { numbers } from '../support/numbers.ts';
import { makeTestProject, openTestProject, silent, streamOf } from './project.ts';

const mebibyte = 1 << 20;
/** As statfs(2) calls it. */
const tmpfs = 0x01021994;
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pach-local-'));
});
afterEach(() => rm(dir, { recursive: true }));

/** A store in a folder that has `bytes` as /file. */
async function storeWith(bytes: Buffer): Promise<Store> {
  const store = await openStore(join(dir, 'store'));
  const { project } = await makeTestProject(store);
  const sources = [{ kind: 'stream' as const, stream: streamOf(bytes) }];
  await putFiles(project, { repo: 'data', branch: 'master', message: '', sources, target: '/file', watch: silent });
  return store;
}

/** As a process has it that begins: the file's content, through a cache in `cache`. */
async function openContent(store: Store, memory = 24 * mebibyte): Promise<{ content: LocalContent; filler: Filler }> {
  const project: Project = openTestProject(store);
  const commit = await resolveCommit(await project.snapshot(), parseAddress('data'));
  const { entry } = await new Files(project.reader, rootOf(commit), 'data').find('/file');
  const space = new DiskSpace(join(dir, 'cache'), 1e9);
  const files: LocalFiles = { cache: new FileCache(space), filler: new Filler(store, space, 5, memory) };
  if (entry.content.form !== 'list') throw new Error('a large file is a list');
  const content = await LocalContent.open(files, project.reader, 'default', entry.content);
  return { content: content!, filler: files.filler };
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
      const { content, filler } = await openContent(from === 'server' ? served : folder, memory * mebibyte);
      const next = numbers(7);
      const readOne = async (): Promise<void> => {
        const offset = Math.floor(next() * bytes.length);
        const length = Math.min(bytes.length - offset, 1 + Math.floor(next() ** 3 * mebibyte));
        if (next() < 0.3) void content.prefetch(offset, length * 8).catch(() => undefined);
        expect(await content.ensure(offset, length)).toBe(true);
        const read = await content.file.bytes.read(offset, length);
        expect(read?.equals(bytes.subarray(offset, offset + length)), `${length} bytes from ${offset}`).toBe(true);
      };
      for (let round = 0; round < 40; round += 1) await Promise.all(Array.from({ length: 8 }, readOne));
      await content.fetch(0, bytes.length);
      expect(content.file.bytes.whole()).toBe(true);
      expect(filler.counters.failures).toBe(0);
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

test('who reads what comes gets it from memory; it is on the disk, and not in the page cache beside', async () => {
  const bytes = randomBytes(24 * mebibyte);
  await using store = await servedBy(await storeWith(bytes), () => 'works');
  const { content, filler } = await openContent(store);
  void content.prefetch(0, bytes.length);
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

test('what counts as there is there, while its neighbours are not', async () => {
  const bytes = randomBytes(24 * mebibyte);
  const { content } = await openContent(await storeWith(bytes));
  const next = numbers(3);
  for (let round = 0; round < 8; round += 1) {
    await content.ensure(Math.floor(next() * bytes.length), 1);
    for (let offset = 0; offset < bytes.length; offset += 4096) {
      if (content.file.bytes.presentUntil(offset, offset + 4096) === offset) continue;
      const read = await content.file.bytes.read(offset, 4096);
      expect(read?.equals(bytes.subarray(offset, offset + 4096)), `the block at ${offset}`).toBe(true);
    }
  }
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
  const fetched = both.reduce((sum, { filler }) => sum + filler.counters.bytes, 0);
  expect(fetched).toBeLessThan(bytes.length * 1.01);
});

test('a random read fetches the chunks that it touches', async () => {
  const store = await storeWith(randomBytes(32 * mebibyte));
  const { content, filler } = await openContent(store);
  await content.ensure(20 * mebibyte, 4096);
  expect(filler.counters.requests).toBe(1);
  expect(filler.counters.bytes).toBeLessThanOrEqual(2 * 4 * mebibyte);
});

/** The objects of a folder store by HTTP, in ranges, as `next` says: `stalls` after half of the bytes. */
async function servedBy(store: Store, next: (request: number) => 'works' | 'stalls'): Promise<Store & AsyncDisposable> {
  let requests = 0;
  const server = createServer((request, answer) => {
    const [, from, to] = /(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    requests += 1;
    const fate = next(requests);
    void (async () => {
      const length = Number(to) - Number(from) + 1;
      const bytes = await store.read((request.url ?? '').slice(1), Number(from), length);
      answer.writeHead(206, { 'content-length': bytes.length });
      if (fate === 'works') answer.end(bytes);
      else answer.write(bytes.subarray(0, length / 2));
    })();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  return Object.assign(Object.create(store) as Store, {
    direct: async (key: string) => ({ url: `http://127.0.0.1:${port}/${key}` }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  });
}

test('a transfer that stands still is asked for again, and not waited for', async () => {
  const bytes = randomBytes(24 * mebibyte);
  await using store = await servedBy(await storeWith(bytes), (request) => (request === 12 ? 'stalls' : 'works'));
  const { content, filler } = await openContent(store);
  for (let offset = 0; offset < 24; offset += 1) expect(await content.ensure(offset * mebibyte, mebibyte)).toBe(true);
  expect((await content.file.bytes.read(0, bytes.length))?.equals(bytes)).toBe(true);
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
