/**
 * The replay of what was read first, without a kernel: what it brings and in how many requests, and
 * when it gives way.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DiskCache } from '../../src/cache/disk.ts';
import { ExtentCache } from '../../src/cache/extents.ts';
import { FileCache } from '../../src/cache/file-cache.ts';
import { Filler } from '../../src/cache/filler.ts';
import { readBytesMax, readsMax, type FirstRead } from '../../src/cache/first-reads.ts';
import { DiskSpace } from '../../src/cache/space.ts';
import { parseAddress } from '../../src/model/address.ts';
import { ProjectView } from '../../src/mount/project-view.ts';
import { ReadList } from '../../src/mount/read-list.ts';
import { Replay } from '../../src/mount/replay.ts';
import type { ViewEntry, ViewNode } from '../../src/mount/view.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/store.ts';
import { traceStore } from '../../src/store/trace.ts';
import { ProjectMemory } from '../../src/versions/project-memory.ts';
import { Project } from '../../src/versions/project.ts';
import { putFiles } from '../../src/versions/writing/put.ts';
import { makeTestProject, openTestProject, silent, streamOf } from '../versions/project.ts';

const mebibyte = 1024 * 1024;
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pach-replay-'));
});
afterEach(() => rm(dir, { recursive: true }));

/** Answers when it is let. */
class SlowStore extends MemoryStore {
  private waiting: (() => void)[] = [];
  isHeld = false;

  override async read(...[key, offset, length]: Parameters<Store['read']>): Promise<Uint8Array> {
    if (this.isHeld) await new Promise<void>((answer) => this.waiting.push(answer));
    return super.read(key, offset, length);
  }

  /** From now on, and what was asked for. */
  answer(): void {
    this.isHeld = false;
    for (const each of this.waiting.splice(0)) each();
  }
}

async function put(project: Project, target: string, source: Buffer | string): Promise<void> {
  const sources =
    typeof source === 'string'
      ? [{ kind: 'path' as const, path: source, recursive: true }]
      : [{ kind: 'stream' as const, stream: streamOf(source) }];
  await putFiles(project, { repo: 'data', branch: 'master', message: '', sources, target, watch: silent });
}

/** A store with /big (24 MiB), /other (3 MiB) and /small/0 to /small/19, each file in a pack of its own. */
async function filled(): Promise<SlowStore> {
  const inner = new SlowStore();
  const { project } = await makeTestProject(inner);
  await put(project, '/big', randomBytes(24 * mebibyte));
  await put(project, '/other', randomBytes(3 * mebibyte));
  for (let n = 0; n < 20; n += 1) await put(project, `/small/${n}`, randomBytes(200_000));
  return inner;
}

/** As a server has it, with nothing on this machine. */
async function serve(inner: Store, known: readonly FirstRead[], address = 'data') {
  const { store, counts } = traceStore(inner);
  const project = openTestProject(store);
  const space = new DiskSpace(await mkdtemp(join(dir, 'cache-')), 1e9);
  const files = { cache: new FileCache(space), filler: new Filler(inner, space, 15_000, 24 * 1024 * 1024) };
  const newReplay = (): Replay => {
    const load = (): Promise<readonly FirstRead[]> => Promise.resolve(known);
    return new Replay({ reader: project.idleReader(8 * mebibyte), project: 'default', files, load });
  };
  let replay = newReplay();
  const view = await ProjectView.open(
    await project.snapshot(),
    project.reader,
    [{ name: 'data', address: parseAddress(address) }],
    { readaheadBytesMax: 8 * mebibyte, files, onWait: (...range) => replay.waits(...range) },
  );
  const [top] = (await view.list(view.root(), 0)) as [ViewEntry];
  const folder = { ...top, ino: 2, parent: 1, top: 0 };
  counts.reset();
  return {
    counts,
    view,
    /** As a mount does when it is ready. */
    replay: (): { replay: Replay; running: Promise<void> } => {
      replay = newReplay();
      const leave = project.options.extents.onFetch.add(() => replay.stop());
      return { replay, running: replay.run(view.shown()).finally(leave) };
    },
    find: async (name: string): Promise<ViewNode> => {
      const entry = (await view.lookup(folder, Buffer.from(name))) as ViewEntry;
      return { ...entry, ino: 100 + entry.ordinal, parent: folder.ino, top: 0 };
    },
    nodeOf: (): ViewNode => folder,
  };
}

const file = (path: string, from: number, to: number): FirstRead => ({ kind: 'file', path, from, to });
const big = file('/big', 4 * mebibyte, 8 * mebibyte);

async function until(condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns += 1) {
    if (turns > 100_000) throw new Error('it never came to this');
    await turn();
  }
}

test('what it brought costs neither a reader nor the next replay a request, and what is not there any more costs nothing else', async () => {
  const known: FirstRead[] = [
    { kind: 'name', path: '/small', from: 0, to: 0 },
    file('/gone/with/all', 0, 1000),
    file('/small/0/below', 0, 1000),
    { kind: 'list', path: '/small', from: 0, to: 1000 },
    ...Array.from({ length: 20 }, (_, n) => file(`/small/${n}`, 0, 200_000)),
    big,
    file('/other', 50 * mebibyte, 60 * mebibyte),
  ];
  const { view, counts, find, nodeOf, ...served } = await serve(await filled(), known);
  const { replay, running } = served.replay();
  await running;
  expect(replay.counters).toMatchObject({ reads: 24, ended: true });
  counts.reset();
  const again = served.replay();
  await again.running;
  expect(again.replay.counters).toEqual(replay.counters);
  const folder = await find('small');
  const names = await view.list(folder, 0);
  expect(names.length).toBe(20);
  for (const entry of names)
    await view.read({ ...entry, ino: 1000, parent: folder.ino, top: 0 }, 0, 200_000, () => folder);
  const local = await view.local(await find('big'));
  expect(await local?.ensure(4 * mebibyte, 4 * mebibyte)).toBe(true);
  expect(counts.count()).toBe(0);
  expect(await view.read(await find('other'), 0, 1000, nodeOf)).toHaveLength(1);
  expect(counts.count()).toBeGreaterThan(0);
  local?.close();
});

test('what the disk has stays there: native threads read it when it is wanted', async () => {
  const { store, counts } = traceStore(await filled());
  const cache = new DiskSpace(await mkdtemp(join(dir, 'cache-')), 1e9);
  const known = [file('/small/0', 0, 1000), file('/small/1', 0, 1000), file('/small/2', 0, 1000)];
  const bytesRead = async (): Promise<number> =>
    Number(/^rchar: (\d+)$/m.exec(await readFile('/proc/self/io', 'utf8'))?.[1]);
  /** What a process that begins asks of the store for data, and reads of its disk. */
  const once = async (): Promise<{ gets: number; bytes: number }> => {
    const disk = new DiskCache(cache);
    const extents = new ExtentCache(store, { memoryBytesMax: 16 * mebibyte, readAroundBytes: 1 << 17, disk });
    const memory = new ProjectMemory(16 * mebibyte);
    const project = new Project({ store, extents, name: 'default', author: 'tester', memory });
    const files = { cache: new FileCache(cache), filler: new Filler(store, cache, 15_000, 24 * mebibyte) };
    const sources = [{ name: 'data', address: parseAddress('data') }];
    const options = { readaheadBytesMax: 0, files, onWait: () => undefined };
    const view = await ProjectView.open(await project.snapshot(), project.reader, sources, options);
    const load = (): Promise<readonly FirstRead[]> => Promise.resolve(known);
    const replay = new Replay({ reader: project.idleReader(8 * mebibyte), project: 'default', files, load });
    counts.reset();
    const before = await bytesRead();
    await replay.run(view.shown());
    expect(replay.counters.reads).toBe(known.length);
    const bytes = (await bytesRead()) - before;
    await extents.settle();
    return { gets: counts.requests.filter(({ key }) => key.includes('/data/')).length, bytes };
  };
  expect((await once()).gets).toBe(known.length);
  const { gets, bytes } = await once();
  expect(gets).toBe(0);
  // The folder's nodes.
  expect(bytes).toBeLessThan(200_000);
});

test('of a growing number of neighbours all come with one request, in whatever order they were asked for', async () => {
  const inner = new SlowStore();
  const { project } = await makeTestProject(inner);
  await mkdir(join(dir, 'src'));
  const names = Array.from({ length: 31 }, (_, n) => `${10 + n}`);
  for (const name of names) await writeFile(join(dir, 'src', name), randomBytes(200_000));
  await put(project, '/', join(dir, 'src/'));
  const known = names.toReversed().map((name) => file(`/${name}`, 0, 100));
  const { counts, ...served } = await serve(inner, known);
  const { replay, running } = served.replay();
  await running;
  expect(replay.counters.reads).toBe(31);
  // One file, two, four, eight, sixteen.
  expect(counts.requests.filter(({ key }) => key.includes('/data/')).length).toBe(5);
});

test('of a part of a repo only what is shown', async () => {
  const { counts, ...served } = await serve(await filled(), [big, file('/small/7', 0, 1000)], 'data:/small');
  const { replay, running } = served.replay();
  await running;
  expect(replay.counters).toMatchObject({ reads: 1, bytes: 1000 });
  expect(counts.bytesRead).toBeLessThan(mebibyte);
});

test('a reader who asks the store ends it; what is under way is all that still comes', async () => {
  const inner = await filled();
  const known = Array.from({ length: 60 }, (_, n) => file(`/small/${n % 20}`, n, n + 1));
  const { view, counts, find, nodeOf, ...served } = await serve(inner, known);
  const other = await find('other');
  counts.reset();
  inner.isHeld = true;
  const { replay, running } = served.replay();
  await until(() => counts.count() > 0);
  const asked = view.read(other, 0, 1000, nodeOf);
  await until(() => counts.count() > 1);
  inner.answer();
  await Promise.all([running, asked]);
  expect(replay.counters).toEqual({ reads: 0, bytes: 0, ended: true });
});

test('who waits for what is on its way anyhow lets it go on, and nobody else', async () => {
  const known = [big, file('/small/3', 0, 1000)];
  const inner = await filled();
  for (const [from, reads] of [
    [5 * mebibyte, 2],
    [20 * mebibyte, 0],
  ] as const) {
    const { view, counts, find, ...served } = await serve(inner, known);
    const local = await view.local(await find('big'));
    // The file's list is here.
    await local?.ensure(0, 1);
    counts.reset();
    inner.isHeld = true;
    const { replay, running } = served.replay();
    await until(() => counts.requests.some(({ key }) => key.includes('/data/')));
    const waiting = local?.ensure(from, 4096);
    inner.answer();
    expect(await waiting).toBe(true);
    await running;
    expect(replay.counters.reads).toBe(reads);
    local?.close();
  }
});

test('large files come past the cache of packs: who waits for one ends it, who finds its bytes does not', async () => {
  const inner = await openStore(join(dir, 'store'));
  const { project } = await makeTestProject(inner);
  await put(project, '/big', randomBytes(24 * mebibyte));
  for (const [from, reads] of [
    [0, 1],
    [20 * mebibyte, 0],
  ] as const) {
    const { view, find, ...served } = await serve(inner, [big]);
    const local = await view.local(await find('big'));
    await local?.ensure(0, 1);
    const { replay, running } = served.replay();
    expect(await local?.ensure(from, 1)).toBe(true);
    await running;
    expect(replay.counters.reads).toBe(reads);
    local?.close();
  }
});

test('who asks for a name or a small file that is on its way lets it go on', async () => {
  const inner = await filled();
  const { counts, find, ...served } = await serve(inner, [file('/small/3', 0, 1000), big]);
  inner.isHeld = true;
  const { replay, running } = served.replay();
  await until(() => counts.count() > 0);
  const found = find('small');
  inner.answer();
  expect((await found).kind).toBe('directory');
  await running;
  expect(replay.counters.reads).toBe(2);
});

test('a store that does not give it ends it, and nobody hears of it', async () => {
  const inner = await filled();
  const served = await serve(inner, [big, ...Array.from({ length: 20 }, (_, n) => file(`/small/${n}`, 0, 1))]);
  for await (const { key } of inner.list('projects/default/data/')) await inner.delete(key);
  const { replay, running } = served.replay();
  await running;
  expect(replay.counters).toEqual({ reads: 0, bytes: 0, ended: true });
});

test('a list is bounded, in the order of first requests, and joins what touches', () => {
  const list = new ReadList();
  const name = (path: string): FirstRead => ({ kind: 'name', path, from: 0, to: 0 });
  expect(list.add(name('/a'))).toBe(true);
  list.add(file('/b', 10, 20));
  expect(list.add(name('/a'))).toBe(false);
  list.add(file('/a', 0, 10));
  list.add(file('/b', 30, 40));
  expect(list.add(file('/b', 12, 18))).toBe(false);
  expect(list.add(name('/b'))).toBe(false);
  list.add(file('/b', 20, 30));
  expect(list.reads).toEqual([file('/a', 0, 10), file('/b', 10, 40)]);
  list.add(file('/c', 0, 2 * readBytesMax));
  expect(list.reads.at(-1)).toEqual(file('/c', 0, readBytesMax - 40));
  expect(list.isFull).toBe(true);
  expect(list.add(name('/d'))).toBe(false);

  const many = new ReadList();
  for (let n = 0; n < 2 * readsMax; n += 1) many.add(name(`/${n}`));
  expect(many.reads.length).toBe(readsMax);
  const folder = new ReadList();
  folder.add({ kind: 'list', path: '/', from: 0, to: 1e12 });
  expect(folder.reads[0]?.to).toBeLessThan(1e6);
});
