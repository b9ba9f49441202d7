import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAddress } from '../../src/model/address.ts';
import { fileInfo } from '../../src/shown/files.ts';
import { Files } from '../../src/versions/reading/files.ts';
import type { Project } from '../../src/versions/project.ts';
import { deleteFiles, putFiles, type PutResult } from '../../src/versions/writing/put.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import { rootOf } from '../../src/versions/snapshot.ts';
import { makeTestProject, openTestProject, silent, streamOf } from './project.ts';

const branch = { repo: 'data', branch: 'master', message: '' };

function putText(project: Project, path: string, text: string | Uint8Array): Promise<PutResult> {
  const sources = [{ kind: 'stream' as const, stream: streamOf(text) }];
  return putFiles(project, { ...branch, sources, target: path, watch: silent });
}

function putFolder(project: Project, path: string, target = ''): Promise<PutResult> {
  const sources = [{ kind: 'path' as const, path, recursive: true }];
  return putFiles(project, { ...branch, sources, target, watch: silent });
}

async function filesOf(project: Project, address = 'data'): Promise<Files> {
  const commit = await resolveCommit(await project.snapshot(), parseAddress(address));
  return new Files(project.reader, rootOf(commit), address);
}

async function listing(project: Project, address = 'data'): Promise<string[]> {
  const paths: string[] = [];
  for await (const { path } of (await filesOf(project, address)).list('/', true)) paths.push(path);
  return paths;
}

async function textAt(project: Project, path: string, address = 'data'): Promise<Buffer> {
  const files = await filesOf(project, address);
  const parts: Buffer[] = [];
  for await (const bytes of files.read((await files.find(path)).entry)) parts.push(bytes);
  return Buffer.concat(parts);
}

/** Bytes that don't compress and don't repeat, the same at each run. */
function noise(length: number, seed: string): Buffer {
  const blocks: Buffer[] = [];
  for (let at = 0; at < length; at += 64) blocks.push(createHash('sha512').update(`${seed} ${at}`).digest());
  return Buffer.concat(blocks).subarray(0, length);
}

describe('put', () => {
  test('a stream is read back by another process', async () => {
    const { project, store } = await makeTestProject();
    await putText(project, '/a/b.txt', 'hello');
    expect((await textAt(openTestProject(store), '/a/b.txt')).toString()).toBe('hello');
    expect(await listing(project)).toEqual(['/a', '/a/b.txt']);
  });

  test('large content comes back, from any offset, and is stored once', async () => {
    const { project, store } = await makeTestProject();
    const bytes = Buffer.concat([noise(9_000_000, 'a'), Buffer.alloc(3_000_000), noise(500, 'b')]);
    const first = await putText(project, '/big', bytes);
    expect(first.newBytes).toBe(9_000_500);
    expect((await textAt(openTestProject(store), '/big')).equals(bytes)).toBe(true);
    const again = await putText(project, '/copy', bytes);
    expect(again.newBytes).toBe(0);
    const shifted = await putText(project, '/shifted', Buffer.concat([Buffer.from('x'), bytes]));
    expect(shifted.newBytes).toBeLessThan(6_000_000);
  });

  test('a put that changes nothing makes no commit', async () => {
    const { project, counts } = await makeTestProject();
    const { commit } = await putText(project, '/a', 'same');
    counts.reset();
    expect((await putText(project, '/a', 'same')).commit).toBe(commit);
    expect(counts.count('writeIfAbsent', 'writeIfUnchanged')).toBe(0);
  });

  test('a small put into a project costs two packs and a head', async () => {
    const { project, counts } = await makeTestProject();
    await putText(project, '/a', noise(1000, 'a'));
    counts.reset();
    await putText(project, '/b', noise(1000, 'b'));
    expect(counts.count('writeIfAbsent')).toBe(2);
    expect(counts.count('writeIfUnchanged')).toBe(1);
  });

  test('concurrent puts to one branch all stay', async () => {
    const { project, store } = await makeTestProject();
    const writers = Array.from({ length: 8 }, (_, i) => ({ writer: openTestProject(store), name: `/dir/${i}` }));
    await Promise.all(writers.map(({ writer, name }) => putText(writer, name, name)));
    expect(await listing(project)).toEqual(['/dir', ...writers.map(({ name }) => name)]);
    const snapshot = await project.snapshot();
    const head = (await snapshot.branch('data', 'master')).head;
    expect(head && (await snapshot.count(head))).toBe(8);
  });

  test('delete removes a file, a directory only when asked', async () => {
    const { project } = await makeTestProject();
    await putText(project, '/d/a', 'a');
    await putText(project, '/d/b', 'b');
    await expect(deleteFiles(project, { ...branch, paths: ['/d'], recursive: false })).rejects.toMatchObject({
      code: 'usage',
    });
    await deleteFiles(project, { ...branch, paths: ['/d/a'], recursive: false });
    expect(await listing(project)).toEqual(['/d', '/d/b']);
    await deleteFiles(project, { ...branch, paths: ['/d'], recursive: true });
    expect(await listing(project)).toEqual([]);
    expect(await listing(project, 'data@master.2')).toEqual(['/d', '/d/a', '/d/b']);
  });

  test('the store lists more fresh packs than it may: they become a segment', async () => {
    const { project, store } = await makeTestProject();
    for (let i = 0; i < 40; i += 1) await putText(project, `/${i}`, noise(300, String(i)));
    const { indexes } = (await project.snapshot()).head;
    expect(indexes.segments.length).toBeGreaterThan(0);
    expect(indexes.fresh.length).toBeLessThanOrEqual(64);
    const other = openTestProject(store);
    expect((await putText(other, '/again', noise(300, '0'))).newBytes).toBe(0);
  });
});

describe('folders', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'pach-put-'));
  });
  afterAll(() => rm(dir, { recursive: true }));

  test('kinds, bits, times and odd names are kept; unchanged content keeps its time', async () => {
    const root = join(dir, 'kinds');
    await mkdir(join(root, 'empty'), { recursive: true });
    await writeFile(join(root, 'run.sh'), '#!/bin/sh\n');
    await chmod(join(root, 'run.sh'), 0o755);
    await writeFile(join(root, 'ünïcode'), noise(5000, 'u'));
    await writeFile(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0x20])]), 'odd');
    await symlink('../run.sh', join(root, 'link'));
    await utimes(join(root, 'run.sh'), 1_000_000_000, 1_000_000_000);
    const { project } = await makeTestProject();
    const put = await putFolder(project, `${root}/`);
    expect(put).toMatchObject({ files: 4 });
    const files = await filesOf(project);
    const infos = new Map<string, object>();
    for await (const file of files.list('/', true)) infos.set(file.path, await fileInfo(files, file));
    expect([...infos.keys()]).toEqual(['/empty', '/link', '/run.sh', '/ünïcode', '/\udcff ']);
    expect(infos.get('/run.sh')).toMatchObject({
      kind: 'file',
      executable: true,
      bytes: 10,
      modified: '2001-09-09T01:46:40Z',
    });
    expect(infos.get('/link')).toMatchObject({ kind: 'symlink', target: '../run.sh' });
    await utimes(join(root, 'run.sh'), 1_100_000_000, 1_100_000_000);
    expect((await putFolder(project, `${root}/`)).commit).toBe(put.commit);
  });

  test('a folder lands under its name, its contents or a new name', async () => {
    const root = join(dir, 'land');
    await mkdir(root);
    await writeFile(join(root, 'f'), 'f');
    const { project } = await makeTestProject();
    await putFolder(project, root);
    await putFolder(project, `${root}/`, '/contents');
    await putFolder(project, root, '/into/');
    await putFolder(project, root, '/name');
    expect(await listing(project)).toEqual([
      '/contents',
      '/contents/f',
      '/into',
      '/into/land',
      '/into/land/f',
      '/land',
      '/land/f',
      '/name',
      '/name/f',
    ]);
  });

  test('many files make few objects', async () => {
    const root = join(dir, 'many');
    await mkdir(root);
    for (let i = 0; i < 3000; i += 1) await writeFile(join(root, `file-${i}`), noise(200, String(i)));
    const { project, counts } = await makeTestProject();
    counts.reset();
    await putFolder(project, root);
    expect(counts.count('writeIfAbsent', 'writeIfUnchanged')).toBeLessThanOrEqual(4);
    expect((await listing(project)).length).toBe(3001);
  });
});
