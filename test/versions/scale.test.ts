/**
 * Cost grows with what is touched, not with the repository.
 */
import { expect, test } from 'vitest';
import { parseAddress } from '../../src/model/address.ts';
import type { TreeEntry } from '../../src/model/tree.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { newCommitId } from '../../src/versions/change.ts';
import { Directories } from '../../src/versions/directories.ts';
import { Files } from '../../src/versions/reading/files.ts';
import { putFiles } from '../../src/versions/writing/put.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import { rootOf } from '../../src/versions/snapshot.ts';
import { isLong } from '../support/long.ts';
import { firstPut } from './first-put.ts';
import { checkHistory } from './history.ts';
import { makeTestProject, openTestProject, silent, streamOf } from './project.ts';

test('five hundred commits', async () => {
  expect(await checkHistory(new MemoryStore(), 500)).toBeLessThan(20);
});

test(`a folder of ${isLong ? 'a million' : '400,000'} entries: one is found in few reads, all are listed in pages`, async () => {
  const count = isLong ? 1_000_000 : 400_000;
  const { project, store, counts } = await makeTestProject();
  const begun = await project.begin();
  const directories = new Directories(project.reader, begun.upload.nodes);
  const content = { form: 'inline' as const, bytes: Buffer.from('x') };
  function* entries(): Generator<TreeEntry> {
    for (let i = 0; i < count; i += 1) {
      const name = Buffer.from(`entry-${String(i).padStart(7, '0')}`);
      yield { name, kind: 'file', executable: false, mtimeSeconds: i, mtimeNanoseconds: 0, content };
    }
  }
  const huge = await directories.apply(undefined, entries());
  const folder = { name: Buffer.from('huge'), kind: 'directory' as const, executable: false, content: huge };
  const tree = await directories.apply(undefined, [{ ...folder, mtimeSeconds: 0, mtimeNanoseconds: 0 }]);
  const commit = { id: newCommitId(), repo: 'data', branch: 'master', tree, message: '', started: 0 };
  await project.update('by hand', (change) => change.commit(commit), begun);

  const other = openTestProject(store);
  const files = new Files(
    other.reader,
    rootOf(await resolveCommit(await other.snapshot(), parseAddress('data'))),
    'data',
  );
  counts.reset();
  expect((await files.find('/huge/entry-0365432')).entry.mtimeSeconds).toBe(365_432);
  expect(counts.count('read')).toBeLessThanOrEqual(6);
  expect(counts.bytesRead).toBeLessThan(1_500_000);

  // The first page comes before much is read, and reading goes on as the listing does.
  counts.reset();
  let listed = 0;
  let readAtFirst = 0;
  for await (const { entry } of files.list('/huge', false)) {
    if (listed === 1000) readAtFirst = counts.bytesRead;
    if (entry.mtimeSeconds !== listed) throw new Error(`entry ${listed} is ${entry.mtimeSeconds}`);
    listed += 1;
  }
  expect(listed).toBe(count);
  expect(readAtFirst).toBeLessThan(700_000);
  expect(counts.bytesRead).toBeGreaterThan(3 * readAtFirst);

  counts.reset();
  const sources = [{ kind: 'stream' as const, stream: streamOf('new') }];
  const target = '/huge/entry-0200000x';
  await putFiles(other, { repo: 'data', branch: 'master', message: '', sources, target, watch: silent });
  expect(counts.bytesWritten).toBeLessThan(500_000);
});

test('a project of a million chunks: what is new is learned in few requests', async () => {
  const { requests, memoryBytes } = await firstPut(1_000_000, 50);
  expect(requests).toBeLessThan(20);
  expect(memoryBytes).toBeLessThan(64 << 20);
});
