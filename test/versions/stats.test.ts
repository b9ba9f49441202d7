/**
 * What a project holds and takes, and what a collection would give back: the same that it then does.
 */
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { packKey, type PackKind } from '../../src/model/keys.ts';
import type { PackId } from '../../src/model/refs.ts';
import type { Store } from '../../src/store/store.ts';
import { deleteBranch, deleteRepo, createRepo } from '../../src/versions/refs.ts';
import { projectStats } from '../../src/versions/upkeep/stats.ts';
import { putFiles } from '../../src/versions/writing/put.ts';
import { big, collect, filled, packKeys, put } from './fsck-store.ts';
import { makeTestProject, silent, streamOf } from './project.ts';

async function bytesBelow(store: Store, prefix: string): Promise<{ objects: number; bytes: number }> {
  let [objects, bytes] = [0, 0];
  for await (const { key, size } of store.list(prefix)) {
    if (key.endsWith('/head')) continue;
    objects += 1;
    bytes += size;
  }
  return { objects, bytes };
}

test('an empty project', async () => {
  const { project } = await makeTestProject();
  expect(await projectStats(project)).toMatchObject({
    project: 'default',
    files: 0,
    logicalBytes: 0,
    historyBytes: 0,
    dedupRatio: 0,
    chunks: 0,
    epoch: 0,
    repos: [{ repo: 'data', branches: 0, commits: 0, files: 0, logicalBytes: 0 }],
  });
});

test('what is there: by repo, in newest commits and in all', async () => {
  const { project, store } = await filled();
  const stats = await projectStats(project);
  const { objects, bytes } = await bytesBelow(store, 'projects/default/');
  expect(stats).toMatchObject({
    project: 'default',
    files: 5,
    logicalBytes: 2 * big.length + 9000,
    historyBytes: 3 * big.length + 9000,
    storedBytes: bytes,
    objects,
    packs: objects,
    smallPacks: objects,
    segments: 0,
    epoch: 0,
    condemnedBytes: 0,
    repos: [{ repo: 'data', branches: 2, commits: 3, files: 5, logicalBytes: 2 * big.length + 9000 }],
  });
  expect((await packKeys(project, 'data')).length).toBe(3);
  // Refs of before.
  expect(stats.reclaimableBytes).toBeLessThan(5000);
  // Random bytes: what is stored of the history is the newest version and some metadata.
  expect(stats.dedupRatio).toBeGreaterThan(2.9);
  expect(stats.dedupRatio).toBeLessThan(3);
  expect(stats.chunks).toBeGreaterThan(3);
});

test('what a collection gives back is what was said', async () => {
  const { project, store } = await filled();
  await put(project, '/x', randomBytes(2_000_000), 'short');
  await deleteBranch(project, 'data', 'short');
  // Its commit can still be named, so nothing of it is garbage.
  expect((await projectStats(project)).reclaimableBytes).toBeLessThan(20_000);
  await createRepo(project, 'other', '');
  const sources = [{ kind: 'stream' as const, stream: streamOf(randomBytes(3_000_000)) }];
  await putFiles(project, { repo: 'other', branch: 'master', message: '', sources, target: '/y', watch: silent });
  await deleteRepo(project, 'other', { force: true });
  await store.writeIfAbsent(packKey('default', 'data' satisfies PackKind, 'ab'.repeat(16) as PackId), [big]);
  const before = await projectStats(project);
  expect(before.reclaimableBytes).toBeGreaterThan(8_000_000);
  expect(before.repos).toHaveLength(1);

  await collect(project, 3_600_000);
  const condemned = await projectStats(project);
  // The repo can still be brought back.
  expect(condemned.condemnedBytes).toBeGreaterThan(5_000_000);
  expect(condemned.condemnedBytes).toBeLessThan(6_000_000);
  expect(condemned.reclaimableBytes).toBeGreaterThanOrEqual(condemned.condemnedBytes);
  expect(condemned).toMatchObject({ historyBytes: before.historyBytes, chunks: before.chunks, epoch: 1 });

  await collect(project, 0);
  const after = await projectStats(project);
  const freed = before.storedBytes - after.storedBytes;
  expect(Math.abs(freed - before.reclaimableBytes)).toBeLessThan(20_000);
  expect(after).toMatchObject({ reclaimableBytes: 0, condemnedBytes: 0, historyBytes: before.historyBytes });
  expect(after.objects).toBe((await bytesBelow(store, 'projects/default/')).objects);
});
