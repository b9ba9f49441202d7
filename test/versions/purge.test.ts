/**
 * A purge takes a path or a commit out of all history; after a collection no byte of it is left.
 */
import { createHash, randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { parseAddress } from '../../src/model/address.ts';
import type { Store } from '../../src/store/store.ts';
import { newCommitId } from '../../src/versions/change.ts';
import { Files } from '../../src/versions/reading/files.ts';
import { collectGarbage } from '../../src/versions/upkeep/gc.ts';
import type { Project } from '../../src/versions/project.ts';
import { purge, type PurgeResult } from '../../src/versions/upkeep/purge.ts';
import { deleteFiles, putFiles } from '../../src/versions/writing/put.ts';
import { createBranch, createRepo } from '../../src/versions/refs.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import { rootOf, type Commit } from '../../src/versions/snapshot.ts';
import { makeTestProject, openTestProject, silent, streamOf } from './project.ts';

async function put(
  project: Project,
  path: string,
  bytes: Uint8Array,
  repo = 'data',
  branch = 'master',
): Promise<string> {
  const sources = [{ kind: 'stream' as const, stream: streamOf(bytes) }];
  return (await putFiles(project, { repo, branch, message: 'm', sources, target: path, watch: silent })).commit;
}

async function commitAt(project: Project, address: string): Promise<Commit> {
  return resolveCommit(await project.snapshot(), parseAddress(address));
}

/** The bytes at a path as hex of their hash: comparing megabytes byte by byte is slow here. */
async function read(project: Project, address: string, path: string): Promise<string | undefined> {
  const files = new Files(project.reader, rootOf(await commitAt(project, address)), address);
  if ((await files.hashAt(path)) === undefined) return undefined;
  const parts: Buffer[] = [];
  for await (const bytes of files.read((await files.find(path)).entry)) parts.push(bytes);
  return digest(Buffer.concat(parts));
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function purgePath(project: Project, path: string, dryRun = false): Promise<PurgeResult> {
  return purge(project, { repo: 'data', what: { path }, dryRun });
}

const collect = (project: Project) => collectGarbage(project, { grace: 0, dryRun: false, progress: () => undefined });

/** How many objects of the store hold these bytes. */
async function holders(store: Store, needle: Buffer): Promise<number> {
  let found = 0;
  for await (const { key, size } of store.list('')) {
    if (Buffer.from(await store.read(key, 0, size)).includes(needle)) found += 1;
  }
  return found;
}

test('a file leaves all versions, and then the store; commits keep their ids and the rest', async () => {
  const { project, store } = await makeTestProject();
  const secret = randomBytes(3_000_000);
  const small = randomBytes(100);
  const kept = randomBytes(2_000_000);
  const ids = [
    await put(project, '/people/ann', secret),
    await put(project, '/people/bob', kept),
    await put(project, '/people/ann', Buffer.concat([secret, Buffer.from('more')])),
    await put(project, '/people/ann', small),
  ];
  await createBranch(project, 'data', 'dev', parseAddress('data@master^'));
  await deleteFiles(project, { repo: 'data', branch: 'master', message: '', paths: ['/people/ann'], recursive: false });
  const before = await Promise.all([1, 2, 3, 4, 5].map((n) => commitAt(project, `data@master.${n}`)));

  const planned = await purgePath(project, '/people/ann', true);
  expect(new Set(planned.commits)).toEqual(new Set(ids));
  expect(await read(project, 'data@master.1', '/people/ann')).toBe(digest(secret));
  const done = await purgePath(project, '/people/ann');
  expect(done).toEqual(planned);

  const other = openTestProject(store);
  const after = await Promise.all([1, 2, 3, 4, 5].map((n) => commitAt(other, `data@master.${n}`)));
  for (const [n, commit] of after.entries()) {
    const { id, parent, started, finished, message, author } = before[n] as Commit;
    for (const [field, value] of Object.entries({ id, parent, started, finished, message, author })) {
      expect(commit[field as keyof Commit]).toBe(value);
    }
    expect(await read(other, `data@${id}`, '/people/ann')).toBeUndefined();
    expect(commit).toMatchObject(n === 0 ? { files: 0, bytes: 0 } : { files: 1, bytes: kept.length });
    expect(await read(other, `data@${id}`, '/people/bob')).toBe(n === 0 ? undefined : digest(kept));
  }
  expect((await commitAt(other, 'data@dev')).id).toBe(ids[2]);
  expect(await read(other, 'data@dev', '/people/ann')).toBeUndefined();
  for (const part of [secret.subarray(500_000, 500_032), secret.subarray(2_999_000, 2_999_032), small]) {
    expect(await holders(store, part)).toBeGreaterThan(0);
  }
  await collect(other);
  for (const part of [secret.subarray(500_000, 500_032), secret.subarray(2_999_000, 2_999_032), small]) {
    expect(await holders(store, part)).toBe(0);
  }
  expect(await holders(store, kept.subarray(1_000_000, 1_000_032))).toBe(1);
  expect(await read(openTestProject(store), 'data', '/people/bob')).toBe(digest(kept));
});

test('it says which other files hold the same bytes, and which commits were computed from it', async () => {
  const { project } = await makeTestProject();
  await createRepo(project, 'other', '');
  const secret = randomBytes(3_000_000);
  const from = await put(project, '/dir/secret', secret);
  await put(project, '/dir/alone', randomBytes(500));
  await put(project, '/copy', secret);
  const partly = await put(project, '/part', Buffer.concat([secret, randomBytes(2_000_000)]), 'other');
  const begun = await project.begin();
  const source = await commitAt(project, 'other');
  const computed = newCommitId();
  await project.update(
    'compute',
    (change) => {
      const provenance = [{ repo: 'data', branch: 'master', commit: from as Commit['id'] }];
      const tree = rootOf(source);
      return change.commit({ id: computed, repo: 'other', branch: 'out', tree, message: '', started: 0, provenance });
    },
    begun,
  );
  const result = await purgePath(project, '/dir');
  expect(result.computed).toEqual([{ repo: 'other', branch: 'out', commit: computed }]);
  const found = result.sameBytes.map(({ repo, path, whole }) => ({ repo, path, whole }));
  expect(found).toEqual([
    { repo: 'data', path: '/copy', whole: true },
    { repo: 'other', path: '/part', whole: false },
  ]);
  expect([partly, computed]).toContain(result.sameBytes[1]?.commit);
  await collect(project);
  expect(await read(project, 'data', '/copy')).toBe(digest(secret));
  expect(await read(project, 'data', '/dir/secret')).toBeUndefined();
});

test('one commit: its id stays, and what only it held goes', async () => {
  const { project, store } = await makeTestProject();
  const secret = randomBytes(2000);
  const kept = randomBytes(2000);
  await put(project, '/kept', kept);
  const id = (await put(project, '/secret', secret)) as Commit['id'];
  await deleteFiles(project, { repo: 'data', branch: 'master', message: '', paths: ['/secret'], recursive: false });
  const result = await purge(project, { repo: 'data', what: { commit: id }, dryRun: false });
  expect(result).toMatchObject({ commits: [id], computed: [] });
  expect(result.sameBytes.every(({ path }) => path === '/kept')).toBe(true);
  await collect(project);
  expect(await commitAt(project, `data@${id}`)).toMatchObject({ id, files: 0, bytes: 0, message: 'purged' });
  expect(await holders(store, secret.subarray(0, 32))).toBe(0);
  expect(await read(openTestProject(store), 'data', '/kept')).toBe(digest(kept));
});

test('what is not there is not found, and changes nothing', async () => {
  const { project, counts } = await makeTestProject();
  await put(project, '/a', Buffer.from('a'));
  counts.reset();
  await expect(purgePath(project, '/b')).rejects.toMatchObject({ code: 'not-found' });
  expect(counts.count('writeIfUnchanged')).toBe(0);
});

test('a writer that began before does not bring it back', async () => {
  const { project, store } = await makeTestProject();
  await put(project, '/secret', randomBytes(1000));
  const other = openTestProject(store);
  let purged = false;
  async function* slow(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('begun ');
    await purgePath(project, '/secret');
    await collect(project);
    purged = true;
    yield Buffer.from('before');
  }
  const sources = [{ kind: 'stream' as const, stream: slow() }];
  const late = putFiles(other, { repo: 'data', branch: 'master', message: '', sources, target: '/new', watch: silent });
  await expect(late).rejects.toMatchObject({ code: 'conflict', next: 'run the same command again' });
  expect(purged).toBe(true);
  await put(other, '/new', Buffer.from('again'));
  expect(await read(openTestProject(store), 'data', '/new')).toBe(digest(Buffer.from('again')));
  expect(await read(openTestProject(store), 'data', '/secret')).toBeUndefined();
});

test('a purge begins the line of operations anew', async () => {
  const { project } = await makeTestProject();
  await put(project, '/people/ann', randomBytes(1000));
  await put(project, '/other', randomBytes(1000));
  expect((await project.load()).head.operation.hasParent).toBe(true);
  await purgePath(project, '/people/ann');
  expect((await project.load()).head.operation.hasParent).toBe(false);
  await put(project, '/more', randomBytes(1000));
  expect((await project.load()).head.operation.hasParent).toBe(true);
});
