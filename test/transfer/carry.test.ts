import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import type { Node } from '../../src/model/node.ts';
import type { Hash, PackId, Ref } from '../../src/model/refs.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/store.ts';
import { traceStore } from '../../src/store/trace.ts';
import { carry } from '../../src/transfer/carry.ts';
import type { Project } from '../../src/versions/project.ts';
import { faultyStore } from '../store/faults.ts';
import { s3ForTests } from '../support/s3.ts';
import { makeTestProject, openTestProject } from '../versions/project.ts';
import { readAll } from '../versions/simulation-check.ts';
import { collect } from '../versions/simulation-edits.ts';
import { bytesOf, commitsOf, contentOf, findings, noise, push, putFile, putMany } from './stores.ts';

const mebibyte = 1024 * 1024;

let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pach-carry-'));
});
afterAll(() => rm(dir, { recursive: true }));

async function folder(name: string): Promise<Store> {
  return openStore(join(dir, name));
}

/** Some of everything: folders of many files, inline ones, holes, a list of many chunks. */
async function fill(project: Project): Promise<void> {
  const files = new Map<string, Uint8Array>();
  for (let n = 0; n < 700; n += 1) files.set(`many/${n % 7}/f${n}`, noise(20 + n, `${n}`));
  await putMany(project, files);
  await putFile(
    project,
    '/deep/er/list',
    Buffer.concat([noise(9 * mebibyte, 'a'), Buffer.alloc(2 * mebibyte), noise(99, 'b')]),
  );
  await putFile(project, '/text', Buffer.from('text that compresses, '.repeat(10_000)));
  await putFile(project, '/many/0/f0', noise(30, 'other'));
}

/** The same commits with the same files, in a store that is whole. */
async function expectSame(source: Project, target: Project, store: Store): Promise<void> {
  const [before, after] = await Promise.all([commitsOf(source), commitsOf(target)]);
  const told = ({ ref, tree, ...record }: (typeof before)[0]) => [ref.hash, tree.hash, record];
  expect(after.map(told)).toEqual(before.map(told));
  expect(await contentOf(target)).toEqual(await contentOf(source));
  expect(await findings(target)).toEqual([]);
  await readAll(store);
}

test('what is below some commits is in the other store, and nothing of it refers to the first', async () => {
  const [from, to] = await Promise.all([makeTestProject(await folder('a')), makeTestProject(await folder('b'))]);
  await fill(from.project);
  const told: number[] = [];
  const refs = await push(from.project, to.project, { progress: ({ storedBytes }) => void told.push(storedBytes) });
  const fresh = openTestProject(to.store);
  await expectSame(from.project, fresh, to.store);
  expect(told.at(-1)).toBeGreaterThan(9 * mebibyte);
  expect(told).toEqual(told.toSorted((a, b) => a - b));

  // Places are those of the target, also within nodes: readers find all without asking an index.
  const packs = await (await fresh.load()).known.packs();
  const below = [...refs];
  const seen = new Set<string>();
  for (let ref = below.pop(); ref; ref = below.pop()) {
    expect(packs.has(ref.place?.pack as PackId)).toBe(true);
    if (ref.type === 'chunk' || seen.has(ref.hash.toString('hex'))) continue;
    seen.add(ref.hash.toString('hex'));
    below.push(...(await fresh.reader.node(ref)).refs);
  }
  expect(seen.size).toBeGreaterThan(15);
});

test('what the target has is not read, nor looked at below, nor written', async () => {
  const [from, to] = await Promise.all([makeTestProject(), makeTestProject()]);
  await fill(from.project);
  await push(from.project, to.project);
  for (const { counts } of [from, to]) counts.reset();
  await push(openTestProject(from.store), openTestProject(to.store));
  const dataOf = (requests: typeof from.counts.requests) => requests.filter(({ key }) => key.includes('/data/'));
  expect(dataOf(from.counts.requests)).toEqual([]);
  expect(to.counts.count('writeIfAbsent')).toBeLessThanOrEqual(1); // the operation
  expect(to.counts.bytesWritten).toBeLessThan(16 * 1024);

  await putFile(from.project, '/many/3/new', noise(50_000, 'new'));
  for (const { counts } of [from, to]) counts.reset();
  await push(openTestProject(from.store), openTestProject(to.store));
  const read = dataOf(from.counts.requests);
  expect(read.map(({ amount }) => amount)).toEqual([50_001]);
  expect(dataOf(to.counts.requests).filter(({ verb }) => verb === 'writeIfAbsent')).toHaveLength(1);
  expect(to.counts.bytesWritten).toBeLessThan(100_000);
  await expectSame(from.project, openTestProject(to.store), to.store);
});

test('neighbours come with one request, and equal bytes once', async () => {
  const [from, to] = await Promise.all([makeTestProject(), makeTestProject()]);
  const files = new Map<string, Uint8Array>();
  for (let n = 0; n < 400; n += 1) files.set(`${n >> 7}/f${n}`, noise(1000, `${n % 200}`));
  await putMany(from.project, files);
  from.counts.reset();
  const source = openTestProject(from.store);
  await push(source, to.project);
  const reads = from.counts.requests.filter(({ key }) => key.includes('/data/'));
  expect(reads.length).toBeLessThanOrEqual(4);
  expect(reads.reduce((sum, { amount }) => sum + amount, 0)).toBeLessThan(1.1 * 200 * 1001);
  await expectSame(source, openTestProject(to.store), to.store);
});

test('from a folder to S3 and back', async () => {
  const { url } = await s3ForTests();
  await using s3 = { store: await openStore(url), [Symbol.asyncDispose]: () => s3.store.close() };
  const [from, bucket, back] = await Promise.all([
    makeTestProject(await folder('c')),
    makeTestProject(s3.store),
    makeTestProject(await folder('d')),
  ]);
  await fill(from.project);
  await push(from.project, bucket.project);
  await push(openTestProject(bucket.store), back.project);
  await expectSame(from.project, openTestProject(back.store), back.store);
  expect(await contentOf(openTestProject(bucket.store))).toEqual(await contentOf(from.project));
});

test('a chunk that is damaged or gone ends it with an error that names its pack, and the target stays as it was', async () => {
  const memory = new MemoryStore();
  const from = await makeTestProject(memory);
  await fill(from.project);
  for (const outcome of ['wrong', 'short', 'torn'] as const) {
    const to = await makeTestProject();
    let bad = 0;
    const damage = faultyStore(memory, (verb, key) => {
      const isHit = verb === 'read' && key.includes('/data/');
      if (isHit) bad += 1;
      return isHit ? outcome : 'works';
    });
    const failed = push(openTestProject(damage), to.project);
    await expect(failed).rejects.toSatisfy((error) => isPachError(error, 'damaged') && /\/data\//.test(error.what));
    expect(bad).toBeGreaterThan(1); // it was read again
    expect(await commitsOf(openTestProject(to.store))).toEqual([]);
    expect(await findings(openTestProject(to.store))).toEqual([]);
  }
});

test('bytes that come wrong once are read again', async () => {
  const memory = new MemoryStore();
  const from = await makeTestProject(memory);
  await fill(from.project);
  for (const outcome of ['wrong', 'short', 'torn'] as const) {
    const to = await makeTestProject();
    let left = 1;
    const once = faultyStore(memory, (verb, key) => {
      if (verb !== 'read' || !key.includes('/data/') || left === 0) return 'works';
      left -= 1;
      return outcome;
    });
    await push(openTestProject(once), to.project);
    expect(left).toBe(0);
    await expectSame(from.project, openTestProject(to.store), to.store);
  }
});

test('what a collection of the source has moved is found where it is now', async () => {
  const [from, to] = await Promise.all([makeTestProject(), makeTestProject()]);
  for (let n = 0; n < 24; n += 1) await putFile(from.project, `/f${n}`, noise(300 + n, `${n}`));
  const stale = openTestProject(from.store);
  const before = (await commitsOf(stale)).map(({ ref }) => ref);
  const keys = async (): Promise<string[]> => {
    const found: string[] = [];
    for await (const { key } of from.store.list('projects/default/data/')) found.push(key);
    return found;
  };
  const packs = await keys();
  for (let n = 0; n < 3; n += 1) await collect(openTestProject(from.store), 0);
  const left = new Set(await keys());
  expect(packs.filter((key) => left.has(key))).toEqual([]);
  await using begun = await to.project.begin();
  const refs = await carry(stale, begun.upload, before);
  expect(refs.map(({ hash }) => hash)).toEqual(before.map(({ hash }) => hash));
});

test('it ends soon when it is told to, and nothing goes on', async () => {
  const [from, to] = await Promise.all([makeTestProject(), makeTestProject()]);
  await fill(from.project);
  const stop = new AbortController();
  const progress = (): void => stop.abort(new Error('enough'));
  await expect(push(from.project, to.project, { signal: stop.signal, progress })).rejects.toThrow('enough');
  const after = await bytesOf(to.store);
  await new Promise((resolve) => setImmediate(resolve));
  expect(await bytesOf(to.store)).toBe(after);
  expect(await commitsOf(openTestProject(to.store))).toEqual([]);
});

test('between folders, few nodes are asked for before the chunks of others are there', async () => {
  const [inner, to] = await Promise.all([folder('e'), makeTestProject(await folder('f'))]);
  const files = new Map<string, Uint8Array>();
  for (let n = 0; n < 4800; n += 1) files.set(`${n % 24}/f${n}`, noise(150, `${n}`));
  await putMany((await makeTestProject(inner)).project, files);
  const slow: Store = {
    ...traceStore(inner).store,
    read: async (key, ...of) => {
      // Long enough for a walk without a limit to come to its end.
      if (key.includes('/data/')) await new Promise((resolve) => setTimeout(resolve, 300));
      return inner.read(key, ...of);
    },
  };
  const source = openTestProject(slow);
  const read = source.reader.node.bind(source.reader);
  const folders = new Set<Node>();
  let stored = 0;
  let ahead = 0;
  source.reader.node = async (ref) => {
    const found = await read(ref);
    if (found.refs[0]?.type === 'chunk') folders.add(found);
    ahead = Math.max(ahead, folders.size - stored);
    return found;
  };
  await push(source, to.project, { progress: ({ nodes }) => (stored = nodes) });
  expect(folders.size).toBeGreaterThanOrEqual(24);
  expect(ahead).toBeLessThanOrEqual(16);
});

test('a root may be a chunk or a node of any kind', async () => {
  const [from, to] = await Promise.all([makeTestProject(), makeTestProject()]);
  await fill(from.project);
  const { head } = await from.project.load();
  const chunk = (await from.project.reader.node((await commitsOf(from.project)).at(-1)!.tree)).refs.at(-1)!;
  await using begun = await to.project.begin();
  const refs = await carry(from.project, begun.upload, [head.refs, chunk]);
  expect(refs.map(({ type, hash }) => [type, hash])).toEqual([head.refs, chunk].map(({ type, hash }) => [type, hash]));
  expect(await begun.upload.placesOf(refs)).toEqual(refs.map(({ place }) => place));
});

test('one chunk of a large file that is there: what the target has of it is known by the version before', async () => {
  const [from, to] = await Promise.all([makeTestProject(), makeTestProject()]);
  const bytes = noise(58 * mebibyte, 'large');
  await putFile(from.project, '/dir/large', bytes);
  await push(from.project, to.project);
  // What was announced as it came is in a segment at the end.
  const { segments, fresh } = (await openTestProject(to.store).load()).head.indexes;
  expect([segments.length, fresh.length]).toEqual([1, 0]);
  bytes.set(noise(99, 'change'), 12 * mebibyte);
  await putFile(from.project, '/dir/large', bytes);
  for (const { counts } of [from, to]) counts.reset();
  const [source, target] = [openTestProject(from.store), openTestProject(to.store)];
  const before = (await commitsOf(target)).at(-1)?.ref;
  await push(source, target, { like: () => before });
  const indexesRead = to.counts.requests.filter(({ verb, key }) => verb === 'readTail' && key.includes('/data/'));
  expect(indexesRead).toEqual([]);
  const requests = [...from.counts.requests, ...to.counts.requests];
  expect(requests.length).toBeLessThanOrEqual(16);
  expect(requests.reduce((sum, { amount }) => sum + amount, 0)).toBeLessThan(2 * 4 * mebibyte + 256 * 1024);
  // For the commit that it has, which is a root here.
  expect(requests.filter(({ key, verb }) => verb === 'read' && key.includes('/segments/'))).toHaveLength(1);
  await expectSame(from.project, openTestProject(to.store), to.store);
});

test('what is said to be alike may be anything', async () => {
  const [from, to] = await Promise.all([makeTestProject(), makeTestProject()]);
  await fill(from.project);
  await putMany(to.project, new Map([['other', noise(500, 'other')]]));
  await putFile(to.project, '/text', noise(9 * mebibyte, 'a'));
  const [first, second] = (await commitsOf(to.project)).map(({ ref }) => ref);
  const gone: Ref = { ...first!, hash: Buffer.alloc(32, 7) as Buffer as Hash, place: undefined };
  const anything = [gone, second!, first!];
  const refs = await push(from.project, to.project, { like: () => anything.shift() });
  expect(refs).toHaveLength(4);
  await expectSame(from.project, openTestProject(to.store), to.store);
});
