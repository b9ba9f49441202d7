/**
 * Files that look as they did when they were last put are not read again, and nothing that
 * changed is missed.
 */
import { chmod, mkdir, mkdtemp, readdir, rename, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { native } from '../../src/base/native.ts';
import { parseAddress } from '../../src/model/address.ts';
import { Files } from '../../src/versions/reading/files.ts';
import type { Project } from '../../src/versions/project.ts';
import { deleteFiles, putFiles, type PutResult } from '../../src/versions/writing/put.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import { rootOf } from '../../src/versions/snapshot.ts';
import { makeTestProject, silent } from './project.ts';

const branch = { repo: 'data', branch: 'master', message: '' };
const longAgo = new Date('2026-01-01T00:00:00Z');

let dir: string;
let folder: string;
let filesRead: number;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'seen-'));
  folder = join(dir, 'folder');
  filesRead = 0;
  const read = native().readSmallFiles.bind(native());
  vi.spyOn(native(), 'readSmallFiles').mockImplementation((root, path, names, max) => {
    filesRead += names.length;
    return read(root, path, names, max);
  });
  await mkdir(join(folder, 'sub'), { recursive: true });
  for (let i = 0; i < 10; i += 1) {
    await writeFile(join(folder, `f${i}`), `file ${i}`);
    await writeFile(join(folder, 'sub', `g${i}`), `file ${i} below`.repeat(20));
  }
  await symlink('f1', join(folder, 'link'));
  settle();
});

afterEach(async () => {
  vi.restoreAllMocks();
  await rm(dir, { recursive: true });
});

/** A file's change time can't be set: what was written is put as if it were a minute later. */
function settle(): void {
  vi.spyOn(Date, 'now').mockReturnValue(new Date().getTime() + 60_000);
}

async function put(project: Project, more: { deleteOthers?: boolean; seen?: boolean } = {}): Promise<PutResult> {
  filesRead = 0;
  const { deleteOthers = false, seen = true } = more;
  const sources = [{ kind: 'path' as const, path: `${folder}/`, recursive: true, deleteOthers }];
  const seenFolder = seen ? join(dir, 'seen') : undefined;
  return putFiles(project, { ...branch, sources, target: '', watch: silent, seenFolder });
}

async function contentHash(project: Project): Promise<string> {
  return (await resolveCommit(await project.snapshot(), parseAddress('data'))).contentHash.toString('hex');
}

/** What putting the folder into a project that has seen nothing gives. */
async function expected(): Promise<string> {
  const { project } = await makeTestProject();
  await put(project, { seen: false });
  return contentHash(project);
}

test('unchanged: no file is read, no commit made, and all are counted', async () => {
  const { project } = await makeTestProject();
  const first = await put(project);
  expect(filesRead).toBe(20);
  const again = await put(project);
  expect(filesRead).toBe(0);
  expect(again).toMatchObject({ commit: first.commit, files: 21, bytes: first.bytes, newBytes: 0, storedBytes: 0 });
});

const changes: Record<string, { change: () => Promise<unknown>; reads: number }> = {
  'other bytes of the same length and time': {
    change: async () => {
      await writeFile(join(folder, 'f3'), 'FILE 3');
      await utimes(join(folder, 'f3'), longAgo, longAgo);
    },
    reads: 1,
  },
  'an executable bit': { change: () => chmod(join(folder, 'f3'), 0o755), reads: 1 },
  'cut short': { change: () => truncate(join(folder, 'sub/g3'), 5), reads: 1 },
  'two that changed their names': {
    change: async () => {
      await rename(join(folder, 'f3'), join(folder, 'x'));
      await rename(join(folder, 'f4'), join(folder, 'f3'));
      await rename(join(folder, 'x'), join(folder, 'f4'));
    },
    reads: 2,
  },
  'a new one in front': { change: () => writeFile(join(folder, 'a'), 'new'), reads: 1 },
  'a file in place of a link': {
    change: async () => {
      await rm(join(folder, 'link'));
      await writeFile(join(folder, 'link'), 'a file');
    },
    reads: 1,
  },
};

test.each(Object.keys(changes))('%s: read, and only that', async (name) => {
  const { change, reads } = changes[name] as (typeof changes)[string];
  const { project } = await makeTestProject();
  await put(project);
  await change();
  settle();
  await put(project);
  expect(filesRead).toBe(reads);
  expect(await contentHash(project)).toBe(await expected());
  await put(project);
  expect(filesRead).toBe(0);
});

test('what changed on the branch meanwhile is put again', async () => {
  const { project } = await makeTestProject();
  await put(project);
  const wanted = await contentHash(project);
  await deleteFiles(project, { ...branch, paths: ['/f3', '/sub'], recursive: true });
  await put(project);
  expect(await contentHash(project)).toBe(wanted);
  expect(filesRead).toBe(11);
});

test('a file that has just changed is read again the next time', async () => {
  const { project } = await makeTestProject();
  vi.spyOn(Date, 'now').mockRestore();
  await put(project);
  await put(project);
  expect(filesRead).toBe(20);
});

test('a memory that is damaged knows nothing, and the put is right', async () => {
  const { project } = await makeTestProject();
  await put(project);
  const [name] = await readdir(join(dir, 'seen'));
  await truncate(join(dir, 'seen', name as string), 100);
  await put(project);
  expect(filesRead).toBe(20);
  expect(await contentHash(project)).toBe(await expected());
});

test('sync deletes what is not here, and nothing else', async () => {
  const { project } = await makeTestProject();
  await put(project);
  await rm(join(folder, 'f0'));
  await rm(join(folder, 'f9'));
  await rm(join(folder, 'sub/g5'));
  await rm(join(folder, 'link'));
  await writeFile(join(folder, 'zz'), 'last');
  settle();
  await put(project, { deleteOthers: true });
  expect(await contentHash(project)).toBe(await expected());
  const commit = await resolveCommit(await project.snapshot(), parseAddress('data'));
  const paths: string[] = [];
  for await (const { path } of new Files(project.reader, rootOf(commit), 'data').list('/', false)) paths.push(path);
  expect(paths).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((i) => `/f${i}`).concat('/sub', '/zz'));
});
