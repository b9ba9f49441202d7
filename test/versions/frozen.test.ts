/**
 * A store that was written when version 1 of the format was frozen: readable for ever, and
 * writable. PACHMOUNT_FREEZE=1 writes one anew, which only a new version may need.
 */
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openStore } from '../../src/store/open.ts';
import { Files } from '../../src/versions/reading/files.ts';
import { collectGarbage } from '../../src/versions/upkeep/gc.ts';
import { readHeader } from '../../src/versions/header.ts';
import type { Project } from '../../src/versions/project.ts';
import { deleteFiles, putFiles } from '../../src/versions/writing/put.ts';
import { createBranch, createRepo } from '../../src/versions/refs.ts';
import { rootOf, type Commit } from '../../src/versions/snapshot.ts';
import { parseAddress } from '../../src/model/address.ts';
import { fileInfo } from '../../src/shown/files.ts';
import { makeTestProject, openTestProject, silent, streamOf } from './project.ts';

const frozen = 'fixtures/format/store';
const expectedPath = 'fixtures/format/store.json';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'frozen-'));
  if (process.env['PACHMOUNT_FREEZE']) await write();
});
afterAll(() => rm(dir, { recursive: true }));

/** Compressible bytes that differ all along, so that they are several chunks in little room. */
function table(lines: number): Buffer {
  return Buffer.from(Array.from({ length: lines }, (_, i) => `row ${i} of the table, ${'='.repeat(90)}\n`).join(''));
}

async function write(): Promise<void> {
  await rm(frozen, { recursive: true, force: true });
  await mkdir(frozen, { recursive: true });
  const source = join(dir, 'source');
  await mkdir(join(source, 'sub/empty'), { recursive: true });
  await writeFile(join(source, 'empty'), '');
  await writeFile(join(source, 'inline'), 'a few bytes');
  await writeFile(join(source, 'program'), '#!/bin/sh\n', { mode: 0o755 });
  await writeFile(join(source, 'one chunk'), table(500));
  await writeFile(join(source, 'many chunks'), table(60_000));
  await writeFile(join(source, 'holes'), 'begin');
  await truncate(join(source, 'holes'), 5_000_000);
  await writeFile(Buffer.concat([Buffer.from(`${source}/sub/`), Buffer.from([0xff, 0xfe, 0x0a])]), 'odd name');
  await symlink('../inline', join(source, 'sub/link'));
  for (let i = 0; i < 600; i += 1) await writeFile(join(source, 'sub', `f${i}`), `file ${i}`);
  await utimes(join(source, 'inline'), new Date('1969-07-20T20:17:40Z'), new Date('1969-07-20T20:17:40Z'));
  const { project } = await makeTestProject(await openStore(frozen));
  const branch = { repo: 'data', branch: 'master' };
  const put = (path: string, text: string) =>
    putFiles(project, {
      ...branch,
      message: `put ${path}`,
      target: path,
      watch: silent,
      sources: [{ kind: 'stream', stream: streamOf(text) }],
    });
  const sources = [{ kind: 'path' as const, path: `${source}/`, recursive: true }];
  await putFiles(project, { ...branch, message: 'all kinds', sources, target: '', watch: silent });
  await createRepo(project, 'notes', 'Notizen für später');
  await createBranch(project, 'data', 'dev', parseAddress('data@master'));
  for (let n = 0; n < 30; n += 1) await put(`/log/${n}`, `entry ${n} ${'x'.repeat(200)}`);
  await deleteFiles(project, { ...branch, message: 'gone', paths: ['/log/3', '/sub'], recursive: true });
  // Segments, packs that were made anew, and a list of condemned objects.
  await collectGarbage(project, { grace: 86_400_000, dryRun: false, progress: () => undefined });
  await put('/log/31', 'after the collection');
  await writeFile(expectedPath, `${JSON.stringify(await read(project), null, 1)}\n`);
}

/** All that a project says. */
async function read(project: Project): Promise<unknown> {
  const snapshot = await project.snapshot();
  const repos = [];
  for await (const { name, created, description } of snapshot.repos()) {
    const branches = [];
    for await (const branch of snapshot.branches(name)) {
      const commits = [];
      if (branch.head)
        for await (const commit of snapshot.history(branch.head)) commits.push(await summary(project, commit));
      branches.push({ name: branch.name, commits });
    }
    repos.push({ name, created, description, branches });
  }
  return JSON.parse(JSON.stringify(repos));
}

/** A commit, and a hash of all that its files say and hold. */
async function summary(project: Project, commit: Commit): Promise<object> {
  const { id, parent, started, finished, message, author, files, bytes } = commit;
  const listing = createHash('sha256');
  const all = new Files(project.reader, rootOf(commit), commit.repo);
  for await (const file of all.list('/', true)) {
    listing.update(JSON.stringify(await fileInfo(all, file)));
    if (file.entry.content.form === 'directory') continue;
    for await (const part of all.read(file.entry)) listing.update(part);
  }
  const hashes = { contentHash: commit.contentHash.toString('hex'), listing: listing.digest('hex') };
  return { id, parent, started, finished, message, author, files, bytes, ...hashes };
}

const expected = async (): Promise<unknown> => JSON.parse(await readFile(expectedPath, 'utf8'));

test('a store of version 1 is read, byte for byte', async () => {
  const store = await openStore(frozen);
  expect(await readHeader(store)).toMatchObject({ id: expect.stringMatching(/^[0-9a-f]{32}$/) as string });
  expect(await read(openTestProject(store))).toEqual(await expected());
});

test('it is written to and collected, and what was there stays', async () => {
  const copy = join(dir, 'copy');
  await cp(frozen, copy, { recursive: true });
  const store = await openStore(copy);
  const before = await expected();
  const project = openTestProject(store);
  await createRepo(project, 'zz', '');
  const sources = [{ kind: 'stream' as const, stream: streamOf(table(60_000)) }];
  const request = { repo: 'zz', branch: 'master', message: '', target: '/again', watch: silent, sources };
  // Its chunks are known: the way files are cut and named has not changed.
  expect((await putFiles(project, request)).newBytes).toBe(0);
  await collectGarbage(project, { grace: 0, dryRun: false, progress: () => undefined });
  const after = (await read(openTestProject(store))) as unknown[];
  expect(after.slice(0, -1)).toEqual(before);
});
