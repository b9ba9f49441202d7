/**
 * Many writers and one head move; and packs that one process stores and another one publishes, with
 * collections of garbage at every point between.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { native } from '../../src/base/native.ts';
import { nameOfText } from '../../src/model/paths.ts';
import type { Hash } from '../../src/model/refs.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/store.ts';
import { newCommitId } from '../../src/versions/change.ts';
import { storeStream } from '../../src/versions/content.ts';
import { Directories, type Directory } from '../../src/versions/directories.ts';
import { commitEdit, commitFiles, type EditResult, type Precondition } from '../../src/versions/edit.ts';
import { ChangeGroup } from '../../src/versions/group.ts';
import type { Project } from '../../src/versions/project.ts';
import { createRepo, deleteRepo } from '../../src/versions/refs.ts';
import { CollectedError } from '../../src/versions/renew.ts';
import type { StoredParts, Upload } from '../../src/versions/upload.ts';
import { makeTestProject, openTestProject, streamOf } from './project.ts';
import { contentOf, expectOnlyNeeded, readAll } from './simulation-check.ts';
import { collect, day } from './simulation-edits.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const branch = { repo: 'data', branch: 'master', message: '' };

function pass(milliseconds: number): void {
  vi.setSystemTime(Date.now() + milliseconds);
}

/** Sets one file of a directory. */
async function withFile(
  project: Project,
  upload: Upload,
  base: Directory | undefined,
  name: string,
  text: string | Uint8Array,
): Promise<Directory> {
  const content = await storeStream(upload, streamOf(text));
  const times = { executable: false, mtimeSeconds: 1, mtimeNanoseconds: 0 };
  const entry = { name: nameOfText(name), kind: 'file' as const, ...times, content };
  return new Directories(project.reader, upload.nodes).apply(base, [entry]);
}

async function filesNow(store: Store): Promise<Readonly<Record<string, string>>> {
  const project = openTestProject(store);
  const snapshot = await project.snapshot();
  const { head } = await snapshot.branch('data', 'master');
  return contentOf(project, await snapshot.commitAt(head!.commit));
}

test('what many writers store moves the head once, and each of them is told what became of it', async () => {
  const { project, store, counts } = await makeTestProject();
  const failures: unknown[] = [];
  let renewals = 0;
  const published: number[] = [];
  const told = { published: (parts: number) => void published.push(parts) };
  const options = { project, what: 'many', also: () => void (renewals += 1), ...told };
  await using group = new ChangeGroup({ ...options, failed: (error) => void failures.push(error) });
  const results = new Map<string, EditResult>();
  const put = (name: string, precondition: Precondition = { kind: 'none' }) =>
    group.write(async (upload, add) => {
      const tree = await withFile(project, upload, undefined, name, `content of ${name}`);
      const commit = { ...branch, precondition, id: newCommitId(), started: Date.now(), author: `author of ${name}` };
      add(async (change) => {
        results.set(name, await commitFiles(change, commit, { kind: 'edited', base: undefined, tree }));
      });
    });
  const names = Array.from({ length: 20 }, (_, n) => `${n}`);
  counts.reset();
  await Promise.all(names.map((name) => put(name)));
  await put('0', { kind: 'paths' });
  expect(results.size).toBe(0);
  expect(counts.count('writeIfUnchanged')).toBe(0);
  await group.flush();
  expect(counts.count('writeIfUnchanged')).toBe(1);
  expect({ renewals, failures, published }).toEqual({ renewals: 1, failures: [], published: [21] });
  // The last one is held against what the first one has put, a moment before in the same change.
  expect(results.get('0')).toMatchObject({
    kind: 'conflicts',
    conflicts: [{ kind: 'path', path: [Buffer.from('0')] }],
  });
  for (const name of names.slice(1)) {
    expect(results.get(name)).toMatchObject({ kind: 'committed', commit: { author: `author of ${name}` } });
  }
  expect(await filesNow(store)).toEqual(Object.fromEntries(names.map((name) => [`/${name}`, `content of ${name}`])));
  const snapshot = await openTestProject(store).snapshot();
  expect(await snapshot.count((await snapshot.branch('data', 'master')).head!)).toBe(20);
});

test('what can not be published is told, and nothing is published any more', async () => {
  const { project, store, counts } = await makeTestProject();
  const before = (await project.load()).token;
  const failures: unknown[] = [];
  const lost = new Error('the lease is lost');
  const also = () => {
    throw lost;
  };
  await using group = new ChangeGroup({ project, what: 'many', also, failed: (error) => void failures.push(error) });
  const put = (name: string) => group.write((upload) => withFile(project, upload, undefined, name, name));
  await put('a');
  await expect(group.flush()).rejects.toBe(lost);
  await put('b');
  await expect(group.flush()).rejects.toBe(lost);
  expect(failures).toEqual([lost, lost]);
  expect((await openTestProject(store).load()).token).toBe(before);
  expect(counts.count('writeIfUnchanged')).toBe(2); // those that made the project and its repo
});

interface Handed {
  readonly parts: StoredParts;
  readonly tree: Directory;
}

let folder: string;
let project: Project;
let store: Store;
let counts: Awaited<ReturnType<typeof makeTestProject>>['counts'];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pach-group-'));
  ({ project, store, counts } = await makeTestProject(await openStore(join(folder, 'store'))));
});
afterEach(() => rm(folder, { recursive: true }));

const large = randomBytes(300_000);
const written = { '/large': large.toString('latin1'), '/small': 'small '.repeat(100) };

/** What a worker stores: a project of its own on the same store, which then is gone. What it hands over goes as text. */
async function work(files: Readonly<Record<string, string>> = written): Promise<Handed> {
  const worker = openTestProject(store);
  await using begun = await worker.begin();
  const { upload } = begun;
  let tree: Directory | undefined;
  for (const [path, text] of Object.entries(files)) {
    tree = await withFile(worker, upload, tree, path.slice(1), Buffer.from(text, 'latin1'));
  }
  const parts = JSON.parse(JSON.stringify(await upload.handOver())) as StoredParts;
  return { parts, tree: tree! };
}

/** Publishes it as a commit. `between` runs when it was adopted and is not published. */
async function publish(by: Project, { parts, tree }: Handed, between?: () => Promise<unknown>): Promise<Upload> {
  await using begun = await by.begin();
  const { upload } = begun;
  await upload.adopt(parts);
  await between?.();
  const commit = { ...branch, id: newCommitId(), started: Date.now() };
  await by.update('adopted', (change) => commitFiles(change, commit, { kind: 'output', tree }), begun);
  return upload;
}

async function expectWhole(files: Readonly<Record<string, string>> = written): Promise<void> {
  expect(await filesNow(store)).toEqual(files);
  await readAll(store);
  pass(2 * day);
  for (let n = 0; n < 3; n += 1) {
    pass(day + 1000);
    await collect(openTestProject(store), day);
  }
  expect(await filesNow(store)).toEqual(files);
  expectOnlyNeeded(await readAll(store));
}

test('packs of a worker are published by another process, and nothing in them is stored again', async () => {
  const handed = await work();
  expect(handed.parts.packs.map(({ kind }) => kind)).toEqual(['data', 'meta']);
  counts.reset();
  await using begun = await project.begin();
  const { upload } = begun;
  await upload.adopt(handed.parts);
  const hash = (await native().hashAsync('plain', Buffer.from(written['/small']))) as Hash;
  expect(upload.has({ type: 'chunk', hash })).toBe(true);
  await storeStream(upload, streamOf(written['/small']));
  expect(upload.data.newBytes).toBe(0);
  const commit = { ...branch, id: newCommitId(), started: Date.now() };
  const apply = { kind: 'output', tree: handed.tree } as const;
  await project.update('adopted', (change) => commitFiles(change, commit, apply), begun);
  // Its own metadata and the head.
  expect(counts.count('writeIfAbsent')).toBe(1);
  expect(counts.count('writeIfUnchanged')).toBe(1);
  const { fresh } = (await project.load()).head.indexes;
  expect(fresh).toEqual(expect.arrayContaining([...handed.parts.packs]));
  await expectWhole();
});

test('a collection between a worker and its adoption condemns its packs; publishing takes them off the list', async () => {
  const handed = await work();
  pass(1000);
  const condemned = await collect(openTestProject(store), day);
  expect(condemned.condemnedObjects).toBeGreaterThanOrEqual(handed.parts.packs.length);
  expect((await project.load()).head.epoch).not.toBe(handed.parts.epoch);
  const upload = await publish(openTestProject(store), handed);
  expect(upload.isRenewed).toBe(true);
  await expectWhole();
});

test('the same between adoption and publication, of packs and of what they rely on', async () => {
  await createRepo(project, 'temp', '');
  const temp = { ...branch, repo: 'temp' };
  const known = Buffer.from(written['/large'], 'latin1');
  await commitEdit(project, temp, (_, base, upload) => withFile(project, upload, base, 'old', known));
  const handed = await work();
  // The large file is where the other repo has it.
  expect(handed.parts.packs.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(10_000);
  await publish(openTestProject(store), handed, async () => {
    await deleteRepo(openTestProject(store), 'temp', { force: true });
    pass(2 * day);
    await collect(openTestProject(store), day);
  });
  await expectWhole();
});

test('what a worker relied on and a collection has condemned since is stored again', async () => {
  await createRepo(project, 'temp', '');
  const temp = { ...branch, repo: 'temp' };
  const known = Buffer.from(written['/large'], 'latin1');
  await commitEdit(project, temp, (_, base, upload) => withFile(project, upload, base, 'old', known));
  const handed = await work();
  await deleteRepo(project, 'temp', { force: true });
  pass(2 * day);
  await collect(openTestProject(store), day);
  // Who adopts knows the head after the collection only: the worker's epoch says that it relied on another.
  const upload = await publish(openTestProject(store), handed);
  expect(upload.data.newBytes).toBe(large.length);
  await expectWhole();
});

test('packs that are collected before they are published are an honest conflict', async () => {
  const handed = await work();
  await expect(
    publish(openTestProject(store), handed, async () => {
      for (let n = 0; n < 2; n += 1) {
        pass(1000);
        await collect(openTestProject(store), 0);
      }
    }),
  ).rejects.toBeInstanceOf(CollectedError);
  await expect(publish(openTestProject(store), handed)).rejects.toMatchObject({ code: 'damaged' });
  expect(await (await project.snapshot()).maybeBranch('data', 'master')).toBeUndefined();
});

test('what is handed over must be what is there', async () => {
  const handed = await work();
  const packs = handed.parts.packs.map((pack) => ({ ...pack, bytes: pack.bytes + 1 }));
  await expect(publish(project, { ...handed, parts: { ...handed.parts, packs } })).rejects.toMatchObject({
    code: 'damaged',
  });
});

test('packs of a worker that never returns are garbage after the grace period', async () => {
  await publish(project, await work());
  // More than a pack: what is full is announced in the head as it comes.
  const worker = openTestProject(store);
  const begun = await worker.begin();
  const bytes = randomBytes(30 << 20);
  await withFile(worker, begun.upload, undefined, 'lost', bytes);
  const fresh = async () => (await openTestProject(store).load()).head.indexes.fresh.map(({ id }) => id);
  const before = (await fresh()).length;
  while ((await fresh()).length === before) await new Promise((resolve) => setImmediate(resolve));
  const { packs } = await begun.upload.handOver();
  expect(packs).toHaveLength(3);
  expect(await fresh()).toContain(packs[0]!.id);
  pass(1000);
  const first = await collect(openTestProject(store), day);
  expect(first).toMatchObject({ deletedObjects: 0 });
  expect(first.condemnedBytes).toBeGreaterThan(bytes.length);
  pass(day + 1000);
  const second = await collect(openTestProject(store), day);
  expect(second.deletedBytes).toBeGreaterThan(bytes.length);
  const left = await readAll(store);
  for (const { id } of packs) expect([...left.keys].filter((key) => key.endsWith(id))).toEqual([]);
  await expectWhole();
});
