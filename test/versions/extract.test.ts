/**
 * Folders that are written out, and archives of them: packs of which most is wanted come with one request each.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DiskCache } from '../../src/cache/disk.ts';
import { ExtentCache } from '../../src/cache/extents.ts';
import { Filler } from '../../src/cache/filler.ts';
import { DiskSpace } from '../../src/cache/space.ts';
import { WholeObjects } from '../../src/cache/whole-objects.ts';
import { parseAddress } from '../../src/model/address.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/store.ts';
import { traceStore, type Trace } from '../../src/store/trace.ts';
import { ProjectMemory } from '../../src/versions/project-memory.ts';
import { Project } from '../../src/versions/project.ts';
import { tarOf } from '../../src/versions/reading/archive.ts';
import { extractFolder } from '../../src/versions/reading/extract.ts';
import { Files } from '../../src/versions/reading/files.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import { rootOf } from '../../src/versions/snapshot.ts';
import { putFiles } from '../../src/versions/writing/put.ts';
import { makeTestProject, silent } from './project.ts';

const unwatched = { progress: (): void => undefined };
const filesPerFolder = 34;
/** Less than the least length of a chunk that is cut off, so that each file is one. */
const fileBytes = 250_000;
let dir: string;
let server: Server;
/** Ranges that native threads have asked the server for. */
let asked: string[];
/** Requests of the store itself. */
let counts: Trace;
let isServing: boolean;

/** Two folders that fill a pack. */
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pach-extract-'));
  [asked, isServing] = [[], true];
  for (const folder of ['a', 'b']) {
    await mkdir(join(dir, 'source', folder), { recursive: true });
    await symlink('0', join(dir, 'source', folder, 'link'));
    for (let n = 0; n < filesPerFolder; n += 1) {
      await writeFile(join(dir, 'source', folder, `${n}`), randomBytes(fileBytes));
    }
  }
  const store = await openStore(join(dir, 'store'));
  const { project } = await makeTestProject(store);
  const sources = [{ kind: 'path' as const, path: `${dir}/source/`, recursive: true }];
  await putFiles(project, { repo: 'data', branch: 'master', message: '', sources, target: '', watch: silent });
  server = createServer(({ headers, url = '' }, answer) => {
    asked.push(headers.range ?? '');
    if (!isServing) return void answer.writeHead(500).end();
    void readFile(join(dir, 'store', url)).then((bytes) => {
      const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1]);
      answer.writeHead(206, { 'content-length': bytes.length - from }).end(bytes.subarray(from));
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
  await rm(dir, { recursive: true });
});

/** The files as a process has them that begins, with a disk cache where whole packs may take so many bytes. */
async function openFiles(wholeBytesMax: number): Promise<Files> {
  const traced = traceStore(await openStore(join(dir, 'store')));
  counts = traced.counts;
  const { port } = server.address() as AddressInfo;
  const source = { proxy: '', certificates: '', refused: async () => false };
  const direct: Store['direct'] = async (key) => ({ ...source, url: `http://127.0.0.1:${port}/${key}` });
  const store: Store = { ...traced.store, direct };
  const space = new DiskSpace(await mkdtemp(join(dir, 'cache-')), 1e9);
  const { transfers, addresses } = new Filler(store, space, 15_000, 8 << 20);
  const disk = new DiskCache(space);
  const whole = new WholeObjects(disk, transfers, addresses);
  const extents = new ExtentCache(store, {
    memoryBytesMax: 8 << 20,
    disk,
    whole,
    wholeBytesMax,
    readAroundBytes: 1 << 20,
  });
  const memory = new ProjectMemory(8 << 20);
  const project = new Project({ store, extents, name: 'default', author: 'tester', memory, outside: undefined });
  const commit = await resolveCommit(await project.snapshot(), parseAddress('data'));
  return new Files(project.reader, rootOf(commit), 'data');
}

const readsOfChunks = (): number => counts.requests.filter(({ key }) => key.includes('/data/')).length;

async function extract(files: Files): Promise<void> {
  const target = await mkdtemp(join(dir, 'target-'));
  await extractFolder(files, await files.find('/'), target, unwatched);
  expect((await readdir(join(target, 'a'))).length).toBe(filesPerFolder + 1);
  for (const folder of ['a', 'b']) {
    for (let n = 0; n < filesPerFolder; n += 1) {
      const [there, wanted] = [join(target, folder, `${n}`), join(dir, 'source', folder, `${n}`)];
      expect((await readFile(there)).equals(await readFile(wanted))).toBe(true);
    }
  }
}

test('a folder of many files comes with its pack, which is asked for once; so does an archive', async () => {
  await extract(await openFiles(1e9));
  expect(asked).toEqual(['bytes=0-']);
  expect(readsOfChunks()).toBe(0);

  asked = [];
  const files = await openFiles(1e9);
  let bytes = 0;
  for await (const part of tarOf(files, await files.find('/'), unwatched)) bytes += part.length;
  expect(bytes).toBeGreaterThan(2 * filesPerFolder * fileBytes);
  expect(asked).toEqual(['bytes=0-']);
  expect(readsOfChunks()).toBe(0);
});

test('packs do not come whole where less than most of one is wanted, or the cache has no room for all', async () => {
  const files = await openFiles(1e9);
  await extractFolder(files, await files.find('/a'), join(dir, 'a'), unwatched);
  expect(asked).toEqual([]);
  expect(readsOfChunks()).toBe(filesPerFolder);

  await extract(await openFiles(2 * filesPerFolder * fileBytes - 1));
  expect(asked).toEqual([]);
  expect(readsOfChunks()).toBe(2 * filesPerFolder);
});

test('where the pack does not come, each file is read as before', async () => {
  isServing = false;
  await extract(await openFiles(1e9));
  expect(readsOfChunks()).toBe(2 * filesPerFolder);
});
