/**
 * Results that were made elsewhere: made again for a place and compared, and what an engine of that place
 * takes on trust.
 */
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { verifyResults, type Verified } from '../../src/engine/verify.ts';
import { setPipelines } from '../../src/pipelines/editing/edit-pipelines.ts';
import { jobNamed, listJobs } from '../../src/pipelines/jobs/jobs.ts';
import { findPipeline } from '../../src/pipelines/pipelines.ts';
import { parseSpec } from '../../src/pipelines/spec/parse.ts';
import type { PipelineSpec } from '../../src/pipelines/spec/spec.ts';
import { verifiedInfo } from '../../src/shown/verified.ts';
import { Serving } from './serving.ts';
import { copy, EngineWorld } from './world.ts';

const place = 'ml of cluster.example.org';
const input = { pfs: { repo: 'data', glob: '/*' } };
const files = { a: 'one', b: 'two', c: 'three', d: 'four' };

async function specOf(world: EngineWorld, dev: object = {}): Promise<PipelineSpec> {
  const { document } = (await findPipeline(await world.project.snapshot(), 'p')).spec;
  return parseSpec({ ...document, dev }, { file: 'spec', folder: world.dir, project: 'default' });
}

async function verify(world: EngineWorld, count = Infinity, { signal } = new AbortController()): Promise<Verified> {
  return verifyResults({
    project: world.project,
    spec: await specOf(world),
    prepare: (pipeline) => Promise.resolve(pipeline),
    executor: world.executor,
    pool: () => Promise.resolve(world.pool(2)),
    logs: () => mkdtemp(join(world.dir, 'logs-')),
    place,
    experiment: undefined,
    count,
    signal,
    tell: () => undefined,
  });
}

/** Moves it there. */
async function promote(world: EngineWorld, dev: object = {}): Promise<void> {
  const promotion = { place, pinned: new Map([['p', 'image']]), anew: new Map<string, number>(), force: false };
  await setPipelines(world.project, [await specOf(world, dev)], {
    update: true,
    reprocess: false,
    promotion,
    signal: new AbortController().signal,
    skipped: () => undefined,
  });
}

async function ranHere(dev: object = {}): Promise<EngineWorld> {
  const world = await EngineWorld.make(copy);
  await world.set({ name: 'p', input, dev });
  await world.commit('data', files);
  await world.run('p');
  expect(world.executor.ran).toHaveLength(4);
  return world;
}

test('results that come out the same are of the place from then on, and nothing else has changed', async () => {
  await using world = await ranHere();
  const before = await (await world.project.snapshot()).maybeBranch('p', 'master');
  const some = await verify(world, 1);
  expect(some).toMatchObject({
    elsewhere: 4,
    compared: [{ now: 'same' }],
    job: { state: 'success', branch: 'verification' },
  });
  expect(world.executor.ran).toHaveLength(5);
  // What was verified is not made again.
  expect(await verify(world)).toMatchObject({
    elsewhere: 3,
    compared: [{}, {}, {}],
    job: { counts: { processed: 3 } },
  });
  expect(await verify(world)).toEqual({ elsewhere: 0, compared: [], job: undefined });
  expect(world.executor.ran).toHaveLength(8);
  const snapshot = await world.project.snapshot();
  expect(await snapshot.maybeBranch('p', 'master')).toEqual(before);
  expect(await snapshot.maybeBranch('p', 'verification')).toBeUndefined();
  expect((await listJobs(snapshot, 'p')).map(({ branch }) => branch)).toEqual(['verification', 'master']);
  expect((await world.run('p')).job.counts).toMatchObject({ skipped: 4 });
  // Jobs of somebody's own branch of that name would give way.
  await world.run('p', { branch: 'verification' });
  await expect(verify(world)).rejects.toMatchObject({ code: 'conflict', what: 'branch p@verification' });
});

test('what differs is told with its files and who made it, counts as before, and is made again when it is tried again', async () => {
  await using world = await ranHere();
  world.executor.command = (seen) => {
    if (Object.values(seen).includes('one')) return { out: { 'data/a': 'another', more: 'x' } };
    if (Object.values(seen).includes('two')) return { ending: { kind: 'exit', code: 3 } };
    return { out: seen };
  };
  const verified = await verify(world);
  expect(verified.job).toMatchObject({ state: 'failure', reason: '2 of 4 results are not what was made before' });
  const info = await verifiedInfo(world.project, 'p', verified);
  expect(info).toMatchObject({ elsewhere: 4, compared: 4, different: 1, failed: 1 });
  const [first] = await listJobs(await world.project.snapshot(), 'p').then((jobs) => jobs.toReversed());
  const of = (now: string) => info.datums.find((each) => each.now === now);
  expect(of('different')).toMatchObject({
    files: [{ repo: 'data', path: '/a' }],
    madeBy: {
      job: first?.id,
      executor: 'function',
      engine: expect.stringMatching(/@.*, process \d+/) as string,
      place: null,
    },
    reason: null,
    output: {
      added: 1,
      changed: 1,
      removed: 0,
      files: [
        { path: '/data/a', old: { bytes: 3 }, new: { bytes: 7 } },
        { path: '/more', old: null },
      ],
    },
  });
  expect(of('failed')).toMatchObject({
    files: [{ path: '/b' }],
    reason: expect.stringContaining('exit code 3') as string,
    output: null,
  });
  // The old results hold, and only those that were the same are verified.
  expect((await world.run('p')).job.counts).toMatchObject({ processed: 0, skipped: 4 });
  expect(await verify(world)).toMatchObject({ elsewhere: 2, job: { counts: { total: 2 } } });
  expect(await world.files('p')).toEqual({ 'data/a': 'one', 'data/b': 'two', 'data/c': 'three', 'data/d': 'four' });
});

test('one that is broken off is in nobody’s way, and two do not run at a time', async () => {
  await using world = await ranHere();
  const stop = new AbortController();
  const begun = new Promise<void>((go) => {
    world.executor.command = (_, __, { signal }) =>
      new Promise((end) => {
        const aborted = (): void => end({ ending: { kind: 'aborted' } });
        signal?.addEventListener('abort', aborted);
        if (signal?.aborted) aborted();
        go();
      });
  });
  const broken = verify(world, Infinity, stop).catch((error: unknown) => error);
  await begun;
  await expect(verify(world)).rejects.toMatchObject({ code: 'conflict' });
  stop.abort(new Error('enough'));
  expect(await broken).toMatchObject({ message: 'enough' });
  const [job] = await listJobs(await world.project.snapshot(), 'p', 1);
  expect(job).toMatchObject({ branch: 'verification', state: 'killed' });
  world.executor.command = copy;
  const { elsewhere, job: next } = await verify(world);
  expect(elsewhere).toBe(4);
  // It takes the place of the one before it.
  const jobs = await listJobs(await world.project.snapshot(), 'p');
  expect(jobs.map(({ id }) => id)).toEqual([next?.id, expect.anything()]);
  // Whoever asks for the job of the pipeline is shown what it has made.
  expect(await jobNamed(await world.project.snapshot(), 'p')).toEqual(jobs[1]);
});

test('an engine of the place computes what others have made where the spec says so, then goes on by what differs', async () => {
  await using world = await ranHere({ trust: 'recompute' });
  await verify(world, 1);
  await promote(world, { trust: 'recompute' });
  await world.commit('data', { ...files, e: 'five', f: 'six' });
  {
    await using engine = new Serving(world, { place });
    expect(await engine.next('job-ended', 'p')).toMatchObject({ outcome: { counts: { processed: 5, skipped: 1 } } });
    expect(await verify(world)).toMatchObject({ elsewhere: 0 });
    await world.commit('data', { ...files, e: 'five', h: 'eight' });
    expect(await engine.next('job-ended', 'p')).toMatchObject({ outcome: { counts: { processed: 1, skipped: 5 } } });
  }
  const ran = world.executor.ran.length;
  await world.commit('data', { ...files, g: 'seven' });
  await world.run('p', { branch: 'trial' });
  // Here all results count, those of the place too.
  expect(world.executor.ran.length - ran).toBe(1);
  await using engine = new Serving(world, { place });
  expect(await engine.next('job-ended', 'p')).toMatchObject({ outcome: { counts: { processed: 1, skipped: 4 } } });
  const [newest] = await listJobs(await world.project.snapshot(), 'p', 1);
  expect(newest).toMatchObject({ place, engine: expect.stringContaining('process') as string });
});

test('without it an engine of the place takes what is there, until the spec says otherwise', async () => {
  await using world = await ranHere();
  await promote(world);
  await using engine = new Serving(world, { place });
  await world.commit('data', { ...files, e: 'five' });
  expect(await engine.next('job-ended', 'p')).toMatchObject({ outcome: { counts: { processed: 1, skipped: 4 } } });
  // What that job took on trust does not count now.
  await promote(world, { trust: 'recompute' });
  expect(await engine.next('job-ended', 'p')).toMatchObject({ outcome: { counts: { processed: 4, skipped: 1 } } });
});
