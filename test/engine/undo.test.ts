/**
 * Undo of what people did to pipelines, and of data that engines have computed from: what is computed
 * stays, and is not computed again.
 */
import { expect, test } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import { parseAddress } from '../../src/model/address.ts';
import { deletePipeline, stopPipeline } from '../../src/pipelines/editing/edit-pipelines.ts';
import { listJobs } from '../../src/pipelines/jobs/jobs.ts';
import { endLease, endRun, leaseHolder, takeLease } from '../../src/pipelines/jobs/lease.ts';
import { findPipeline, maybePipeline } from '../../src/pipelines/pipelines.ts';
import { createBranch, createRepo, deleteRepo } from '../../src/versions/refs.ts';
import { collect } from '../versions/fsck-store.ts';
import { expectSound, lastOperation, operations, redo, refsOf, takeBack } from '../versions/undo-world.ts';
import { copy, EngineWorld } from './world.ts';

const input = { pfs: { repo: 'data', glob: '/*' } };

/** A pipeline `p` over two files, which has run. */
async function ranWorld(): Promise<EngineWorld> {
  const world = await EngineWorld.make(copy);
  await world.commit('data', { a: '1', b: '2' });
  await world.set({ name: 'p', input });
  await world.run('p');
  return world;
}

/** A collection an hour later also takes from readers what their version of a moment ago has, and no newer one. */
function unlessOvertaken(error: unknown): void {
  if (!isPachError(error, 'conflict', 'damaged')) throw error;
}

/** The newest operation of a person whose words begin so. */
async function operation(world: EngineWorld, words: string): Promise<string> {
  return (await operations(world.project)).find(({ what }) => what.startsWith(words))?.id ?? 'none';
}

test('a pipeline that was made is taken back; its output, jobs and results stay, and a redo computes nothing', async () => {
  await using world = await ranWorld();
  const { project, executor } = world;
  const made = await refsOf(project);
  // An update that was undone does not stand in the way, though it touched the branch of the output.
  await world.set({ name: 'p', input: { pfs: { repo: 'more', glob: '/*' } } });
  await takeBack(project);
  const { kept, changes } = await takeBack(project);
  expect(kept).toEqual(['p']);
  expect(changes.map(({ kind, name, change }) => `${kind} ${name} ${change}`)).toEqual([
    'branch p@master changed',
    'pipeline p removed',
  ]);
  expect(await maybePipeline(await project.snapshot(), 'p')).toBeUndefined();
  expect(await refsOf(project, 'commit/p', 'job', 'result')).toEqual(
    Object.fromEntries(Object.entries(made).filter(([key]) => /^(?:commit\/p|job|result)/.test(key))),
  );
  // An ordinary repo now, with which people may do what they like.
  expect((await (await project.snapshot()).branch('p', 'master')).provenance).toEqual([]);
  await expectSound(project);
  await redo(project);
  expect(await refsOf(project)).toEqual(made);
  expect(executor.ran).toHaveLength(2);
  expect((await world.run('p')).job).toMatchObject({ state: 'success', counts: { processed: 0, skipped: 2 } });
  await expectSound(project);

  await takeBack(project);
  await deleteRepo(project, 'p', { force: true });
  expect(Object.keys(await refsOf(project, 'commit/p', 'job', 'result'))).toEqual([]);
  await takeBack(project);
  await redo(project).then(() => takeBack(project));
  await expectSound(project);
});

test('a pipeline that has not run goes with its repo', async () => {
  await using world = await EngineWorld.make(copy);
  const { project } = world;
  const before = await refsOf(project);
  await world.set({ name: 'p', input });
  expect((await takeBack(project)).kept).toEqual([]);
  expect(await refsOf(project)).toEqual(before);
});

test('an update is taken back though it has run; the next version has a number of its own', async () => {
  await using world = await ranWorld();
  const { project, executor } = world;
  const first = await refsOf(project, 'pipeline');
  executor.command = (seen) => ({ out: Object.fromEntries(Object.keys(seen).map((name) => [name, 'new'])) });
  await world.set({ name: 'p', cmd: ['g'], input: { pfs: { repo: 'data', glob: '/*', name: 'in' } } });
  await world.run('p');
  const head = (await (await project.snapshot()).branch('p', 'master')).head?.id;
  await takeBack(project);
  expect(await refsOf(project, 'pipeline')).toEqual(first);
  expect((await (await project.snapshot()).branch('p', 'master')).head?.id).toBe(head);
  expect(executor.ran).toHaveLength(4);
  await world.run('p');
  expect(executor.ran).toHaveLength(4);
  expect(await world.files('p')).toEqual({ 'data/a': '1', 'data/b': '2' });
  await world.set({ name: 'p', cmd: ['h'], input });
  expect((await findPipeline(await project.snapshot(), 'p')).version).toBe(3);
  await expectSound(project);
});

test.each([false, true])(
  'a deleted pipeline comes back with its jobs and results (keep repo: %s)',
  async (keepRepo) => {
    await using world = await ranWorld();
    const { project, executor } = world;
    const before = await refsOf(project);
    await deletePipeline(project, 'p', { force: false, keepRepo });
    await expectSound(project);
    await takeBack(project);
    expect(await refsOf(project)).toEqual(before);
    await world.run('p');
    expect(executor.ran).toHaveLength(2);
    // The job that has run since, which computed nothing, is the engine's and stays.
    await redo(project);
    await expectSound(project);
  },
);

test('stop and start are taken back', async () => {
  await using world = await ranWorld();
  const { project } = world;
  const stopped = async (): Promise<boolean> => (await findPipeline(await project.snapshot(), 'p')).stopped;
  await stopPipeline(project, 'p', true);
  await stopPipeline(project, 'p', true); // changes nothing, and is not what is undone
  await takeBack(project);
  expect(await stopped()).toBe(false);
  await redo(project);
  expect(await stopped()).toBe(true);
});

test('data is taken back though it was computed from; the commit stays, by which the output is explained', async () => {
  await using world = await ranWorld();
  const { project, executor } = world;
  const before = await refsOf(project, 'branch/data');
  await world.commit('data', { a: '1', b: '3' });
  const used = (await (await project.snapshot()).branch('data', 'master')).head?.id;
  await world.run('p');
  await takeBack(project);
  expect(await refsOf(project, 'branch/data')).toEqual(before);
  expect(await refsOf(project, 'commit')).toHaveProperty(`commit/data/${used}`);
  await expectSound(project);
  await world.run('p');
  expect(executor.ran).toHaveLength(3);
  expect(await world.files('p')).toEqual({ 'data/a': '1', 'data/b': '2' });
});

test('a branch of outputs that a person moved is left to the engine which went on', async () => {
  await using world = await ranWorld();
  const { project } = world;
  await world.commit('data', { a: '5' });
  await world.run('p');
  await createBranch(project, 'p', 'master', parseAddress('p@master^'));
  await world.commit('data', { a: '6' });
  await world.run('p');
  await expect(takeBack(project, await operation(world, 'create branch p@master'))).rejects.toMatchObject({
    code: 'conflict',
    why: expect.stringContaining('engines have gone on since'),
  });
  await expectSound(project);
});

test('what a pipeline reads, runs or would read of itself stands in the way', async () => {
  await using world = await EngineWorld.make(copy);
  const { project } = world;
  await createRepo(project, 'photos', '');
  const made = await lastOperation(project);
  await world.set({ name: 'p', input: { pfs: { repo: 'photos', glob: '/*' } } });
  const reads = await lastOperation(project);
  await expect(takeBack(project, made.id)).rejects.toMatchObject({
    code: 'conflict',
    why: expect.stringContaining(`which pipeline p reads, was changed since by ${reads.id.slice(0, 12)}`),
  });
  const holder = leaseHolder('tester');
  const leased = { pipeline: 'p', branch: 'master' };
  await project.update({ what: 'start', isEngines: true }, (change) => takeLease(change, leased, holder));
  await expect(takeBack(project)).rejects.toMatchObject({ code: 'conflict', next: 'pach stop job p' });
  await project.update({ what: 'end', isEngines: true }, async (change) => endLease(change, leased));
  endRun(holder);

  await world.commit('photos', { a: '1' });
  await world.set({ name: 'q', input: { pfs: { repo: 'p', glob: '/*' } } });
  await world.run('q');
  await deletePipeline(project, 'q', { force: false, keepRepo: true });
  const deleted = await lastOperation(project);
  await world.set({ name: 'p', input: { pfs: { repo: 'q', glob: '/*' } } });
  await expect(takeBack(project, deleted.id)).rejects.toMatchObject({
    code: 'usage',
    why: expect.stringContaining('would become its own input'),
  });
  await expectSound(project);
});

test('undo and redo beside a running engine and collections leave all sound', async () => {
  await using world = await ranWorld();
  const { project } = world;
  await world.commit('more', { x: '0' });
  const runs = async (): Promise<void> => {
    for (let n = 0; n < 4; n += 1) {
      await world.commit('data', { a: String(n), b: '2' }).catch(unlessOvertaken);
      await world.run('p').catch(unlessOvertaken);
    }
  };
  const undos = async (): Promise<void> => {
    for (let n = 1; n < 8; n += 1) {
      // A collection an hour later takes what it has stored and not published.
      await world.commit('more', { x: String(n) }).catch(unlessOvertaken);
      const put = (await operations(project)).find(({ what }) => what === 'put');
      await takeBack(project, put?.id).catch(unlessOvertaken);
    }
  };
  const collections = async (): Promise<void> => {
    for (let n = 0; n < 4; n += 1) await collect(project, 3_600_000).catch(unlessOvertaken);
  };
  await Promise.all([runs(), undos(), collections()]);
  await expectSound(project);
  expect((await listJobs(await project.snapshot(), 'p')).every(({ state }) => state !== 'running')).toBe(true);
});
