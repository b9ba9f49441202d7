/**
 * What is damaged of pipelines, jobs and results is found, and named.
 */
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { packKey } from '../../src/model/keys.ts';
import type { Ref } from '../../src/model/refs.ts';
import { datumsOf, listJobs, readResult, type Job } from '../../src/pipelines/jobs/jobs.ts';
import { findPipeline } from '../../src/pipelines/pipelines.ts';
import { resultsPrefix } from '../../src/versions/ref-keys.ts';
import { check, collect, errors, flip } from '../versions/fsck-store.ts';
import { openTestProject } from '../versions/project.ts';
import { EngineWorld } from './world.ts';

/** Two jobs of a pipeline whose datums print and write much. */
async function ran(): Promise<EngineWorld> {
  const noise = randomBytes(3000).toString('hex');
  const world = await EngineWorld.make((seen) => ({ out: seen, log: `${noise}${JSON.stringify(seen)}` }));
  await world.commit('data', { a: '1', b: '2' });
  await world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } } });
  await world.run('p');
  await world.commit('data', { a: '1', b: '3' });
  await world.run('p');
  return world;
}

async function newest(world: EngineWorld): Promise<Job> {
  const [job] = await listJobs(await world.project.snapshot(), 'p');
  if (!job) throw new Error('there is no job');
  return job;
}

async function firstLog(world: EngineWorld): Promise<Ref> {
  for await (const { result } of datumsOf(world.project.reader, await newest(world))) {
    const { log } = await readResult(world.project.reader, result);
    if (log?.content.form === 'chunk') return log.content.ref;
  }
  throw new Error('there is no log');
}

async function firstResult(world: EngineWorld): Promise<Ref> {
  for await (const { refs } of (await world.project.snapshot()).items(resultsPrefix)) if (refs[0]) return refs[0];
  throw new Error('there is no result');
}

test('jobs and results are clean, before and after a collection', async () => {
  await using world = await ran();
  expect(errors(await check(world.store, 1))).toEqual([]);
  await collect(world.project, 0);
  expect(await check(world.store, 1)).toMatchObject({ findings: [], garbage: { objects: 0 } });
});

test.each<[string, (world: EngineWorld) => Promise<Ref>, RegExp]>([
  ['a log', firstLog, /^(job|result)@[0-9a-f]+:\/log$/],
  ['a result', firstResult, /^(job|result)@[0-9a-f]+/],
  ['a spec', async (world) => (await findPipeline(await world.project.snapshot(), 'p')).specRef, /^(job|pipeline)@/],
  ['a recipe', async (world) => (await newest(world)).recipe, /^job@/],
  ['the datums of a job', async (world) => (await newest(world)).datums as Ref, /^the datums of job [0-9a-f]{32}$/],
])('%s that is damaged is found and named', async (_, refOf, name) => {
  await using world = await ran();
  const ref = await refOf(world);
  const place = await (await world.project.load()).known.find(ref.hash);
  if (!place) throw new Error('it is stored');
  const key = packKey('default', ref.type === 'chunk' ? 'data' : 'meta', place.pack);
  await flip(world.store, key, place.offset + place.length - 3);
  const found = await check(world.store, 1);
  expect(errors(found)).not.toEqual([]);
  const affected = found.findings.flatMap(({ affects }) => affects);
  expect(affected.some((each) => name.test(each))).toBe(true);
  // Who reads it is told so too.
  const reader = openTestProject(world.store).reader;
  const read = ref.type === 'chunk' ? reader.plainChunk(ref) : reader.node(ref);
  await expect(read).rejects.toMatchObject({ code: 'damaged' });
});

test('an entry that is none is named', async () => {
  await using world = await ran();
  const keys = ['job/1', 'lease/p', 'pipeline/q', 'result/ab'];
  await world.project.update('test', async (change) => {
    for (const key of keys) change.set({ key: Buffer.from(key), value: Buffer.from([1]), refs: [] });
  });
  const { findings } = await check(world.store);
  expect(findings.flatMap(({ affects }) => affects).toSorted()).toEqual(keys);
});
