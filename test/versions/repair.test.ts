/**
 * What is damaged or missing is brought from elsewhere by hash, or told; nothing is made worse.
 */
import { createHash, randomBytes } from 'node:crypto';
import { expect, test, vi } from 'vitest';
import { parseAddress } from '../../src/model/address.ts';
import { packKey } from '../../src/model/keys.ts';
import type { PackId } from '../../src/model/refs.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import type { Store } from '../../src/store/store.ts';
import { copiesFrom } from '../../src/transfer/copies.ts';
import { Files } from '../../src/versions/reading/files.ts';
import { commitsOf } from '../../src/versions/reading/history.ts';
import { createRepo, deleteRepo } from '../../src/versions/refs.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import { rootOf } from '../../src/versions/snapshot.ts';
import { repairProject, type RepairResult } from '../../src/versions/upkeep/repair.ts';
import { deleteFiles } from '../../src/versions/writing/put.ts';
import { isLong } from '../support/long.ts';
import { numbers } from '../support/numbers.ts';
import {
  big,
  bytesAt,
  check,
  collect,
  collected,
  errors,
  filled,
  flip,
  packKeys,
  put,
  reindex,
  replace,
} from './fsck-store.ts';
import { makeTestProject, openTestProject } from './project.ts';
import { copyOf } from './repair-store.ts';

const oneDay = 24 * 3_600_000;

/** Repairs with what the given stores have. */
async function repair(store: Store, ...from: readonly Store[]): Promise<RepairResult> {
  const copies = await copiesFrom(from.map(openTestProject), () => undefined);
  return repairProject(openTestProject(store), {
    readShare: 1,
    random: Math.random,
    progress: () => undefined,
    copies,
  });
}

/** Every file of every commit of a branch: its commit and path, and the hash of its bytes. */
async function contents(store: Store): Promise<Record<string, string>> {
  const project = openTestProject(store);
  const all: Record<string, string> = {};
  for await (const commit of commitsOf(await project.snapshot(), parseAddress('data@master'))) {
    const files = new Files(project.reader, rootOf(commit), '');
    for await (const { path, entry } of files.list('/', true)) {
      if (entry.content.form === 'directory') continue;
      const hash = createHash('sha256');
      for await (const bytes of files.read(entry)) hash.update(bytes);
      all[`${commit.id}:${path}`] = hash.digest('hex');
    }
  }
  return all;
}

/** What a repair leaves is whole: nothing is wrong, the bytes are these, and a collection goes through. */
async function expectWhole(store: Store, before: Record<string, string>): Promise<void> {
  expect((await check(store, 1)).findings).toEqual([]);
  expect(await contents(store)).toEqual(before);
  for (const grace of [oneDay, 0]) await collect(openTestProject(store), grace);
  expect((await check(store, 1)).findings).toEqual([]);
  expect(await contents(store)).toEqual(before);
}

/** What is done to packs, and the store that it is done to, but for a long test, which does it to both. */
const damages = [
  ['one byte', filled],
  ['every pack cut short', collected],
  ['every pack gone', filled],
  ['ends of packs', collected],
] as const;
type World = () => ReturnType<typeof filled>;

async function worlds(quick: World): Promise<Awaited<ReturnType<World>>[]> {
  return isLong ? [await filled(), await collected()] : [await quick()];
}

async function keysBelow(store: Store, folder: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(`projects/default/${folder}/`)) keys.push(key);
  return keys;
}

test.each(damages)('data: %s', async (how, quick) => {
  for (const { project, store } of await worlds(quick)) {
    const before = await contents(store);
    const copy = await copyOf(store);
    for (const key of await packKeys(project, 'data')) {
      const bytes = await bytesAt(store, key);
      if (how === 'one byte') await flip(store, key, bytes.length >> 1);
      else if (how === 'every pack cut short') await replace(store, key, bytes.subarray(0, bytes.length >> 1));
      else if (how === 'every pack gone') await store.delete(key);
      else await flip(store, key, bytes.length - 10);
    }
    const { findings, mended } = await repair(store, copy);
    expect(findings.map(({ severity }) => severity)).not.toContain('error');
    expect(mended.blobs).toBeGreaterThanOrEqual(how === 'ends of packs' ? 0 : 1);
    await expectWhole(store, before);
  }
});

test.each(damages)('metadata: %s', async (how, quick) => {
  for (const { project, store } of await worlds(quick)) {
    const before = await contents(store);
    const copy = await copyOf(store);
    for (const key of await packKeys(project, 'meta')) {
      const bytes = await bytesAt(store, key);
      if (how === 'one byte') await flip(store, key, 30);
      else if (how === 'every pack cut short') await replace(store, key, bytes.subarray(0, bytes.length >> 1));
      else if (how === 'every pack gone') await store.delete(key);
      else await flip(store, key, bytes.length - 10);
    }
    const { findings } = await repair(store, copy);
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
    await expectWhole(store, before);
  }
});

test('segments are made anew from what is here, and so is the list of what is condemned', async () => {
  for (const how of ['damaged', 'gone']) {
    const { project, store } = await collected();
    await put(project, '/more', randomBytes(2000));
    await deleteFiles(project, { repo: 'data', branch: 'master', message: '', paths: ['/dir'], recursive: true });
    await collect(project, oneDay);
    const before = await contents(store);
    for (const key of [...(await keysBelow(store, 'segments')), ...(await keysBelow(store, 'condemned'))]) {
      if (how === 'gone') await store.delete(key);
      else await flip(store, key, 100);
    }
    expect(errors(await check(store)).length).toBeGreaterThan(0);
    const result = await repair(store);
    expect(errors(result)).toEqual([]);
    // Packs are where they were; they are only listed again.
    expect(result.mended.blobs).toBe(0);
    await expectWhole(store, before);
  }
});

test('what no index lists any more is listed again', async () => {
  const { project, store } = await filled();
  const before = await contents(store);
  const { tree } = await resolveCommit(await project.snapshot(), parseAddress('data'));
  await reindex(project, (row) => (row.hash.equals(tree.hash) || row.plainLength > 10_000 ? undefined : row));
  expect(errors(await check(store)).length).toBeGreaterThan(0);
  expect(errors(await repair(store))).toEqual([]);
  await expectWhole(store, before);
});

test('what nobody has is told with its paths, and stays as it is until somebody brings it', async () => {
  const { project, store, commits } = await filled();
  const before = await contents(store);
  const copy = await copyOf(store);
  const [key = ''] = await packKeys(project, 'data');
  await flip(store, key, 1_000_000);
  await flip(store, key, 4_500_000);
  // The copy is damaged in one of these places, too.
  const worse = await copyOf(copy);
  await flip(worse, key, 1_000_000);
  const first = await repair(store, worse);
  expect(errors(first)).toEqual([
    expect.stringMatching(/^projects\/default\/data.*: its bytes \d+ to \d+ are damaged$/),
  ]);
  expect(first.findings[0]?.affects).toEqual([`data@${commits[2]}:/big`]);
  expect(first.mended.blobs).toBe(1);
  const left = await openTestProject(store).readHead();
  // What was mended is mended, and the rest is all that is told from now on; nothing is written for nothing.
  expect(errors(await check(store, 1))).toHaveLength(1);
  expect(errors(await repair(store, worse))).toHaveLength(1);
  expect(errors(await repair(store))).toHaveLength(1);
  expect((await openTestProject(store).readHead()).token).toEqual(left.token);
  await collect(openTestProject(store), oneDay);
  expect(errors(await repair(store, worse, copy))).toEqual([]);
  await expectWhole(store, before);
});

test('the same bytes are found in any project of another store, in other packs', async () => {
  const { project, store } = await filled();
  const before = await contents(store);
  const other = new MemoryStore();
  const { project: elsewhere } = await makeTestProject(other);
  await put(elsewhere, '/somewhere/else', Buffer.concat([big, big]));
  const [key = ''] = await packKeys(project, 'data');
  await store.delete(key);
  expect(errors(await repair(store, other))).toEqual([]);
  await expectWhole(store, before);
});

test('a copy whose indexes are damaged gives what it can, and no other is passed over for it', async () => {
  const { project, store } = await filled();
  const before = await contents(store);
  const [copy, broken] = [await copyOf(store), await copyOf(store)];
  await flip(broken, 'projects/default/head', 40);
  for (const key of await packKeys(project, 'data')) await store.delete(key);
  await expect(repair(store, broken)).rejects.toMatchObject({ code: 'damaged' });
  expect(errors(await repair(store, broken, copy))).toEqual([]);
  await expectWhole(store, before);
});

test('garbage that is damaged leaves the indexes, so that it is stored when somebody needs it', async () => {
  const { project, store } = await filled();
  const [key = ''] = await packKeys(project, 'data');
  await deleteRepo(project, 'data', { force: true });
  await createRepo(project, 'data', '');
  await put(project, '/new', randomBytes(5000));
  const before = await contents(store);
  await flip(store, key, 1_000_000);
  // To be undone for a day.
  expect(errors(await repair(store))).toHaveLength(1);
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 2 * oneDay });
  try {
    expect(errors(await repair(store))).toEqual([]);
  } finally {
    vi.useRealTimers();
  }
  expect(errors(await check(store, 1))).toEqual([]);
  await put(openTestProject(store), '/again', big);
  expect(errors(await check(store, 1))).toEqual([]);
  expect(await contents(store)).toMatchObject(before);
});

test('an operation that is lost ends the log, and is told once', async () => {
  for (const which of ['last', 'one before']) {
    const { project, store } = await filled();
    const before = await contents(store);
    const { head } = await project.load();
    const ref = which === 'last' ? head.operationRef : (await project.reader.node(head.operationRef)).refs[1];
    await flip(store, packKey('default', 'meta', ref?.place?.pack as PackId), (ref?.place?.offset ?? 0) + 10);
    expect(errors(await repair(store))).toEqual([
      'the log of operations: an operation of it is lost: that and what came before can not be undone',
    ]);
    await expectWhole(store, before);
  }
});

test('random damage', async () => {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9));
  const random = numbers(seed);
  for (let round = 0; round < (isLong ? 3 : 1); round += 1) {
    const { project, store } = random() < 0.5 ? await filled() : await collected();
    await put(project, '/later', randomBytes(300_000));
    if (random() < 0.3) await collect(project, oneDay);
    const before = await contents(store);
    const copy = await copyOf(store);
    const keys = (
      await Promise.all(['data', 'meta', 'segments', 'condemned'].map((each) => keysBelow(store, each)))
    ).flat();
    for (const key of keys.filter(() => random() < 0.4)) {
      const bytes = await bytesAt(store, key);
      const at = Math.floor(random() * bytes.length);
      const how = Math.floor(random() * 4);
      if (how === 0) await store.delete(key);
      else if (how === 1) await replace(store, key, bytes.subarray(0, at));
      else if (how === 2) await flip(store, key, at);
      else await replace(store, key, randomBytes(bytes.length));
    }
    expect(errors(await repair(store, copy)), `seed ${seed}, round ${round}`).toEqual([]);
    await expectWhole(store, before).catch((error: unknown) => {
      throw new Error(`seed ${seed}, round ${round}`, { cause: error });
    });
  }
});

test('one that reads meanwhile reads on, and finds what was mended', async () => {
  for (const how of ['damaged', 'gone']) {
    const { project, store } = await collected();
    const before = await contents(store);
    const copy = await copyOf(store);
    const { reader } = openTestProject(store);
    const files = new Files(reader, rootOf(await resolveCommit(await project.snapshot(), parseAddress('data'))), '');
    const { entry } = await files.find('/big');
    const read = async (): Promise<Buffer> => {
      const parts: Buffer[] = [];
      for await (const bytes of files.read(entry)) parts.push(bytes);
      return Buffer.concat(parts);
    };
    const [key = ''] = await packKeys(project, 'data');
    if (how === 'gone') await store.delete(key);
    else for (let at = 100_000; at < 5_000_000; at += 200_000) await flip(store, key, at);
    await expect(read()).rejects.toMatchObject({ code: 'damaged' });
    await repair(store, copy);
    // A pack that is gone is asked for again after a pause.
    await vi.waitFor(async () => expect((await read()).equals(big)).toBe(true), 20_000);
    await expectWhole(store, before);
  }
});

test('a place that is wrong in its length alone costs a look-up', async () => {
  for (const { project } of [await filled(), await collected()]) {
    const { tree } = await resolveCommit(await project.snapshot(), parseAddress('data'));
    const place = tree.place ?? { pack: '' as PackId, offset: 0, length: 0 };
    const { reader } = openTestProject(project.options.store);
    for (const length of [place.length - 1, place.length + 1]) {
      expect((await reader.node({ ...tree, place: { ...place, length } })).kind).toBe('tree');
      reader.clear();
    }
  }
});
