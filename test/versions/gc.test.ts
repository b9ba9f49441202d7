import { createHash } from 'node:crypto';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { parseAddress } from '../../src/model/address.ts';
import { headKey } from '../../src/model/keys.ts';
import type { CommitId } from '../../src/model/records/commit.ts';
import { decodeOperation } from '../../src/model/records/operation.ts';
import type { Ref } from '../../src/model/refs.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import type { Store } from '../../src/store/store.ts';
import { readCondemned } from '../../src/versions/condemned.ts';
import { collectGarbage } from '../../src/versions/upkeep/gc.ts';
import { carryOut } from '../../src/versions/upkeep/gc-carry-out.ts';
import { planCollection } from '../../src/versions/upkeep/gc-plan.ts';
import { Survey } from '../../src/versions/upkeep/gc-survey.ts';
import type { Project } from '../../src/versions/project.ts';
import { putFiles, type PutResult } from '../../src/versions/writing/put.ts';
import { createRepo, deleteRepo } from '../../src/versions/refs.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import { makeTestProject, openTestProject, silent, streamOf } from './project.ts';
import { contentOf, expectOnlyNeeded, hashOf, readAll } from './simulation-check.ts';
import { collect, day, put } from './simulation-edits.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** The clock stands, and every operation takes a millisecond of its own. */
const moment = 1000;

function pass(milliseconds: number): void {
  vi.setSystemTime(Date.now() + milliseconds);
}

/** Bytes that don't compress, the same at each run. */
function noise(length: number, seed: string): Buffer {
  const blocks: Buffer[] = [];
  for (let at = 0; at < length; at += 64) blocks.push(createHash('sha512').update(`${seed} ${at}`).digest());
  return Buffer.concat(blocks).subarray(0, length);
}

type Bytes = Readonly<Record<string, Buffer>>;

/** Commits these files, small ones in one batch and one pack; `first` comes before them, `second` is a batch more. */
function putAll(
  project: Project,
  repo: string,
  files: Bytes,
  first?: () => Promise<unknown>,
  second: Bytes = {},
): Promise<PutResult> {
  const time = { mtimeSeconds: 1_000_000_000, mtimeNanoseconds: 0 };
  const sources = [files, second].map((batch) => ({
    kind: 'entries' as const,
    ahead: 1,
    async *entries() {
      await first?.();
      for (const [name, bytes] of Object.entries(batch)) {
        const open = async () => ({ ...time, executable: false, bytes: streamOf(bytes) });
        yield { kind: 'file' as const, path: [Buffer.from(name)], shown: name, size: bytes.length, open };
      }
    },
  }));
  return putFiles(project, { repo, branch: 'master', message: '', sources, target: '/', watch: silent });
}

/** All objects: key to a hash of the bytes. */
async function objects(store: Store): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const { key, size } of store.list('')) {
    found.set(key, hashOf(await store.read(key, 0, size)).toString('hex'));
  }
  return found;
}

async function bytesOf(store: Store): Promise<number> {
  let sum = 0;
  for await (const { size } of store.list('')) sum += size;
  return sum;
}

/** Roots of the refs of all operations, newest first. */
async function operationRoots(project: Project): Promise<Ref[]> {
  const roots: Ref[] = [];
  const { head } = await project.load();
  for (let ref: Ref | undefined = head.operationRef; ref;) {
    const { refs, body } = await project.reader.node(ref);
    roots.push(refs[0]!);
    ref = decodeOperation(body).hasParent ? refs[1] : undefined;
  }
  return roots;
}

test('what operations younger than the grace need stays, and goes when they are older', async () => {
  const { project, store } = await makeTestProject();
  await createRepo(project, 'temp', '');
  await put(project, 'temp', 'master', { '/a': 0 });
  pass(day / 2);
  await deleteRepo(project, 'temp', { force: true });
  await put(project, 'data', 'master', { '/b': 2 });
  const roots = await operationRoots(project);
  expect(roots).toHaveLength(6);

  pass(day / 4);
  const kept = async () => {
    const { table } = await readAll(store);
    return roots.map(({ hash }) => table.find(hash) >= 0);
  };
  const first = await collect(openTestProject(store), day);
  expect(first).toMatchObject({ deletedObjects: 0, condemnedObjects: 0 });
  expect(await kept()).toEqual([true, true, true, true, true, true]);

  pass(day / 2);
  const second = await collect(openTestProject(store), day);
  expect(second.deletedObjects).toBe(0);
  expect(second.condemnedObjects).toBeGreaterThan(3);
  // The third is as the project was before the repo was deleted, so that this can be undone; the last
  // but one is as it was before the repo was made and after it was deleted.
  expect(await kept()).toEqual([true, true, true, false, true, false]);

  pass(day / 2);
  const third = await collect(openTestProject(store), day);
  expect(third.deletedObjects).toBe(0);
  pass(day / 2 + moment);
  const fourth = await collect(openTestProject(store), day);
  expect(fourth.deletedObjects).toBe(second.condemnedObjects);
  pass(2 * day);
  await collect(openTestProject(store), day);
  expectOnlyNeeded(await readAll(store));
  expect(await operationRootsKnown(store)).toBe(6);
});

test('what was condemned by a collection that took days is kept for as long as any', async () => {
  const { project, store } = await makeTestProject();
  await createRepo(project, 'temp', '');
  await put(project, 'temp', 'master', { '/a': 0 });
  await deleteRepo(project, 'temp', { force: true });
  pass(day + moment);
  const progress = (): void => pass(day);
  const slow = await collectGarbage(openTestProject(store), { grace: day, dryRun: false, progress });
  expect(slow.condemnedObjects).toBeGreaterThan(0);
  pass(day / 2);
  expect(await collect(openTestProject(store), day)).toMatchObject({ deletedObjects: 0 });
  pass(day / 2 + moment);
  expect((await collect(openTestProject(store), day)).deletedObjects).toBeGreaterThan(0);
});

/** How many operations can still be told of. */
async function operationRootsKnown(store: Store): Promise<number> {
  return (await operationRoots(openTestProject(store))).length;
}

test('a dry run changes nothing and foretells', async () => {
  const { project, store } = await makeTestProject();
  await createRepo(project, 'temp', '');
  for (let n = 0; n < 5; n += 1) await put(project, 'temp', 'master', { [`/${n}`]: n });
  for (let n = 0; n < 12; n += 1) await put(project, 'data', 'master', { [`/${n}`]: n % 8 });
  await deleteRepo(project, 'temp', { force: true });
  for (const grace of [day, 0]) {
    pass(moment);
    const before = await objects(store);
    const foretold = await collect(openTestProject(store), grace, true);
    expect(await objects(store)).toEqual(before);
    const { objectsAfter, bytesAfter, copiedBytes, ...rest } = await collect(openTestProject(store), grace);
    expect(foretold).toMatchObject(rest);
    expect(objectsAfter).toBeLessThanOrEqual(foretold.objectsAfter + 3);
    expect(Math.abs(bytesAfter - foretold.bytesAfter)).toBeLessThan(8000);
    expect(Math.abs(copiedBytes - foretold.copiedBytes)).toBeLessThan(4000);
    let count = 0;
    for await (const { key } of store.list('projects/default/')) if (!/head$|condemned/.test(key)) count += 1;
    expect(objectsAfter).toBe(count);
  }
  const idle = await objects(store);
  await collect(openTestProject(store), 0);
  expect(await objects(store)).toEqual(idle);
});

test('a plan is made without a write, and says what carrying it out condemns', async () => {
  const { project, store, counts } = await makeTestProject();
  await createRepo(project, 'temp', '');
  for (let n = 0; n < 12; n += 1) await put(project, n % 2 ? 'temp' : 'data', 'master', { [`/${n}`]: n % 8 });
  await deleteRepo(project, 'temp', { force: true });
  pass(moment);
  const collector = openTestProject(store);
  const request = { grace: day, progress: () => undefined };
  counts.reset();
  const survey = await Survey.of(collector, await collector.load(), request);
  const plan = await planCollection(survey);
  expect(counts.count('writeIfAbsent', 'writeIfUnchanged', 'delete')).toBe(0);
  expect(plan.isIdle).toBe(false);
  expect(plan.going.size).toBeGreaterThan(8);
  await carryOut(survey, plan);
  const condemned = await readCondemned(store, (await collector.load()).head);
  expect(condemned.map(({ id }) => id).toSorted()).toEqual(plan.condemned.map(({ id }) => id).toSorted());
  const next = await Survey.of(collector, await collector.load(), request);
  expect(await planCollection(next)).toMatchObject({ isIdle: true, condemned: plan.condemned });
});

test('a collection among many writers tries as long as any writer does', async () => {
  const { project, store } = await makeTestProject();
  await createRepo(project, 'temp', '');
  await deleteRepo(project, 'temp', { force: true });
  pass(moment);
  let losses = 60;
  const busy: Store = {
    ...delegating(store),
    async writeIfUnchanged(...of) {
      if (losses > 0) await createRepo(project, `repo${(losses -= 1)}`, '');
      return store.writeIfUnchanged(...of);
    },
  };
  expect((await collect(openTestProject(busy), 0)).deletedObjects).toBeGreaterThan(0);
  expect(losses).toBe(0);
  await readAll(store);
  for (let n = 0; n < 2; n += 1) {
    pass(100 * moment);
    await collect(openTestProject(store), 0);
  }
  expectOnlyNeeded(await readAll(store));
});

test('of a pack that is mostly dead the rest is copied; one that is mostly alive stays', async () => {
  const { project, store } = await makeTestProject();
  const dataPacks = async () => [...(await objects(store)).keys()].filter((key) => key.includes('/data/'));
  /** A pack of these files, of which one is needed. */
  const putAndDelete = async (files: Readonly<Record<string, Buffer>>, kept: string) => {
    await createRepo(project, 'temp', '');
    await putAll(project, 'temp', files);
    await putAll(project, 'data', { [kept]: files[kept]! });
    await deleteRepo(project, 'temp', { force: true });
    pass(moment);
    return collect(openTestProject(store), 0);
  };
  const dead = await putAndDelete({ a: noise(200_000, 'a'), b: noise(200_000, 'b'), c: noise(200_000, 'c') }, 'b');
  expect(dead.copiedBytes).toBeGreaterThan(200_000);
  expect(dead.copiedBytes).toBeLessThan(205_000);
  expect(await bytesOf(store)).toBeLessThan(210_000);
  const [first] = await dataPacks();

  const alive = await putAndDelete({ d: noise(200_000, 'd'), e: noise(30_000, 'e') }, 'd');
  expect(alive.copiedBytes).toBeLessThan(5000);
  expect(await dataPacks()).toHaveLength(2);
  expect(await dataPacks()).toContain(first);
  expectOnlyNeeded(await readAll(store));
});

test('300 commits become a few objects, and every one of them is still read', async () => {
  const { project, store } = await makeTestProject();
  const ids: CommitId[] = [];
  for (let n = 0; n < 300; n += 1) ids.push(await put(project, 'data', 'master', { [`/${n % 39}`]: n % 8 }));
  const old = openTestProject(store);
  const snapshot = await old.snapshot();
  const before = (await objects(store)).size;
  expect(before).toBeGreaterThan(300);
  const contents = async (of: Project, at = of.snapshot()) => {
    const found = [];
    for (const id of ids) found.push(await contentOf(of, (await (await at).maybeCommit('data', id))!));
    return found;
  };
  const wanted = await contents(project);
  pass(moment);
  await collect(openTestProject(store), 0);
  expect((await objects(store)).size).toBeLessThan(10);
  expect(await contents(openTestProject(store))).toEqual(wanted);
  // Who has looked before does not know the new places.
  expect(await contents(old, Promise.resolve(snapshot))).toEqual(wanted);
});

test('a place that a collection has left is found again, twice', async () => {
  const { project, store } = await makeTestProject();
  const id = await put(project, 'data', 'master', { '/a': 0, '/d/b': 2 });
  for (let n = 0; n < 10; n += 1) await put(project, 'data', 'master', { [`/${n}`]: n % 8 });
  const old = openTestProject(store);
  const commit = (await (await old.snapshot()).maybeCommit('data', id))!;
  for (let round = 0; round < 2; round += 1) {
    pass(moment);
    for (let n = 0; n < 10; n += 1) await put(project, 'data', 'master', { [`/${round}`]: n % 8 });
    await collect(openTestProject(store), 0);
  }
  expect(Object.keys(await contentOf(old, commit))).toEqual(['/a', '/d/b']);
});

test('where something needed is missing or damaged it stops and deletes nothing', async () => {
  const inner = new MemoryStore();
  const { project, store } = await makeTestProject(inner);
  await createRepo(project, 'temp', '');
  await put(project, 'temp', 'master', { '/a': 4 });
  for (let n = 0; n < 12; n += 1) await putAll(project, 'data', { [n]: noise(300, String(n)) });
  await deleteRepo(project, 'temp', { force: true });
  pass(moment);
  const all = new Map<string, Buffer>();
  for await (const { key, size } of store.list('projects/')) all.set(key, Buffer.from(await store.read(key, 0, size)));
  const { head, table, needed } = await readAll(store);
  const packs = new Set([...needed].map((row) => table.placeAt(row).pack));
  let stopped = 0;
  for (const [key, bytes] of all) {
    const id = key.slice(-32);
    if (!packs.has(id as never) && !head.indexes.segments.some((segment) => segment.id === id)) continue;
    for (const kind of ['missing', 'damaged'] as const) {
      await inner.delete(key);
      const row = [...needed].find((each) => table.placeAt(each).pack === id);
      const damaged = Buffer.from(bytes);
      damaged[row === undefined ? 20 : table.placeAt(row).offset + 8]! ^= 0xff;
      if (kind === 'damaged') await inner.writeIfAbsent(key, [damaged]);
      const error = await collect(openTestProject(inner), 0).catch((reason: unknown) => reason);
      expect(error, `${kind} ${key}`).toMatchObject({ code: 'damaged' });
      const left = await objects(inner);
      expect([...all.keys()].filter((each) => !left.has(each) && each !== key)).toEqual([]);
      expect((await inner.readWithToken(headKey('default')))?.bytes).toEqual(all.get(headKey('default')));
      await inner.delete(key);
      await inner.writeIfAbsent(key, [bytes]);
      stopped += 1;
    }
  }
  expect(stopped).toBeGreaterThan(20);
  await collect(openTestProject(inner), 0);
  expectOnlyNeeded(await readAll(inner));
});

/** Two repos that were deleted had `twice` at once: it lies in two packs, and the indexes name the first. */
async function putTwice(store: Store, files: Readonly<Record<string, Buffer>> & { readonly twice: Buffer }) {
  const [slower, faster] = [openTestProject(store), openTestProject(store)];
  for (const repo of ['temp1', 'temp2']) await createRepo(faster, repo, '');
  let between: unknown;
  await putAll(
    slower,
    'temp2',
    files,
    async () => void (between ??= await putAll(faster, 'temp1', { twice: files.twice })),
  );
  expect((await faster.load()).head.indexes.fresh.filter(({ kind }) => kind === 'data')).toHaveLength(2);
  await putAll(faster, 'temp3', { large: files['large']!, other: files['other']! });
  for (const repo of ['temp1', 'temp2']) await deleteRepo(faster, repo, { force: true });
}

test('a chunk that its pack knows and no segment may be put again, and is not lost', async () => {
  const files = { twice: noise(20_000, 'twice'), large: noise(200_000, 'large'), other: noise(300, 'other') };
  const { twice, ...known } = files;
  for (const isMeanwhile of [false, true]) {
    const { project, store } = await makeTestProject();
    await createRepo(project, 'temp3', '');
    await putTwice(store, files);
    pass(moment);
    await collect(openTestProject(store), 0);
    // The first pack has gone. The second one stays for the others in it.
    const { table } = await readAll(store);
    expect(table.find(hashOf(twice))).toBe(-1);

    const again = async () => {
      const { newBytes } = await putAll(openTestProject(store), 'data', known, undefined, { twice });
      expect(newBytes).toBe(0);
    };
    if (!isMeanwhile) await again();
    await deleteRepo(project, 'temp3', { force: true });
    pass(moment);
    let isDone = false;
    const meanwhile: Store = {
      ...delegating(store),
      async writeIfUnchanged(...of) {
        if (isMeanwhile && !isDone) await again();
        isDone = true;
        return store.writeIfUnchanged(...of);
      },
    };
    await collect(openTestProject(meanwhile), 0);
    const commit = await resolveCommit(await openTestProject(store).snapshot(), parseAddress('data@master'));
    const found = await contentOf(openTestProject(store), commit);
    expect(found['/twice']).toBe(twice.toString('latin1'));
    await readAll(store);
  }
});

function delegating(store: Store): Store {
  return {
    url: store.url,
    isLocal: store.isLocal,
    read: (...of) => store.read(...of),
    readTail: (...of) => store.readTail(...of),
    readWithToken: (...of) => store.readWithToken(...of),
    readIfChanged: (...of) => store.readIfChanged(...of),
    writeIfAbsent: (...of) => store.writeIfAbsent(...of),
    writeIfUnchanged: (...of) => store.writeIfUnchanged(...of),
    list: (...of) => store.list(...of),
    delete: (...of) => store.delete(...of),
    localPath: (...of) => store.localPath(...of),
    close: () => store.close(),
  };
}
