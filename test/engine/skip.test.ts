/**
 * Jobs that go on without datums that failed: what their commits say, what the next job does, and what
 * becomes of the lists beside them.
 */
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { decodeFailed } from '../../src/model/records/beside.ts';
import { deletePipeline } from '../../src/pipelines/editing/edit-pipelines.ts';
import { datumMap, findDatum, findJob, listJobs, type Job } from '../../src/pipelines/jobs/jobs.ts';
import { maybeFailed } from '../../src/pipelines/jobs/beside.ts';
import { restartDatum } from '../../src/engine/restart.ts';
import { failedInfos, type DatumInfo } from '../../src/shown/datums.ts';
import { besidePrefixes, failedKey } from '../../src/versions/ref-keys.ts';
import { purge } from '../../src/versions/upkeep/purge.ts';
import { bytesAt, check, collect, errors, put } from '../versions/fsck-store.ts';
import { Serving } from './serving.ts';
import { EngineWorld, type Command } from './world.ts';

/** Fails for what begins with `bad`, of which it prints all. */
const picky: Command = (seen) => {
  const [[path, text] = ['', '']] = Object.entries(seen);
  if (String(text).startsWith('bad')) return { ending: { kind: 'exit', code: 1 }, log: String(text) };
  return { out: { [path]: text } };
};

async function world(data: Readonly<Record<string, string>>, dev: object = {}): Promise<EngineWorld> {
  const made = await EngineWorld.make(picky);
  await made.set({
    name: 'p',
    input: { pfs: { repo: 'data', glob: '/*' } },
    dev: { on_datum_failure: 'skip', ...dev },
  });
  await made.commit('data', data);
  return made;
}

async function leftOut({ project }: EngineWorld, job: Job): Promise<DatumInfo[]> {
  const found: DatumInfo[] = [];
  for await (const info of failedInfos(await project.snapshot(), job, (id) => id)) found.push(info);
  return found;
}

async function beside({ project }: EngineWorld): Promise<string[]> {
  const found: string[] = [];
  const snapshot = await project.snapshot();
  for (const prefix of besidePrefixes()) for await (const { key } of snapshot.items(prefix)) found.push(key.toString());
  return found;
}

test('the commit says that it is incomplete until nothing is left out, also where its files stay the same', async () => {
  await using here = await world({ a: '1', b: 'bad', c: 'bad' });
  const first = await here.run('p');
  expect(first.job).toMatchObject({ state: 'success', incomplete: true, counts: { processed: 1, failed: 2 } });
  expect(first.result?.after).toMatchObject({ id: first.job.id, incomplete: true, files: 1 });
  expect((await leftOut(here, first.job)).map(({ files, why }) => [files[0]?.path, why])).toEqual(
    expect.arrayContaining(['/b', '/c'].map((path) => [path, 'the command ended with exit code 1'])),
  );
  // Another list is another commit, of the same files.
  here.executor.command = (seen, ...more) => ('data/c' in seen ? {} : picky(seen, ...more));
  const second = await here.run('p');
  expect(second.result?.after).toMatchObject({ id: second.job.id, incomplete: true });
  here.executor.command = () => ({});
  const third = await here.run('p');
  expect(third.job).toMatchObject({ state: 'success', counts: { processed: 1, skipped: 2, failed: 0 } });
  expect(third.result?.after).toMatchObject({ id: third.job.id, incomplete: undefined });
  expect(third.result?.after?.tree.hash.equals(first.result?.after?.tree.hash as Buffer)).toBe(true);
  expect(await leftOut(here, third.job)).toEqual([]);
  // Nothing more is looked at when nothing failed.
  here.executor.ran.length = 0;
  expect((await here.run('p')).job).toMatchObject({ output: third.job.id, counts: { skipped: 3 } });
  expect(here.executor.ran).toEqual([]);
  expect(errors(await check(here.store, 1))).toEqual([]);
});

test('nothing but failures, and a failure without leave, leave the branch as it is', async () => {
  await using here = await world({ a: 'bad', b: 'bad' });
  expect((await here.run('p')).job).toMatchObject({ state: 'failure', reason: '2 of 2 datums failed' });
  await here.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } }, dev: { on_datum_failure: 'fail' } });
  await here.commit('data', { a: '1', b: 'bad' });
  expect((await here.run('p')).job).toMatchObject({ state: 'failure', reason: '1 of 2 datums failed' });
  expect(await here.files('p')).toBeUndefined();
  expect(await beside(here)).toEqual([]);
});

test('what is left out is held against what is expected', async () => {
  await using here = await world({ a: '1', b: '2', c: '3' }, { expect: { max_shrink: '50%' } });
  const good = await here.run('p');
  await here.commit('data', { a: '1', b: 'bad', c: 'bad' });
  const { job } = await here.run('p');
  expect(job).toMatchObject({ state: 'rejected', counts: { failed: 2 } });
  expect(await leftOut(here, job)).toHaveLength(2);
  expect(Object.keys((await here.files('p')) ?? {})).toHaveLength(3);
  expect(good.job.incomplete).toBeUndefined();
});

test('the list is as large as what failed, and reading it reads nothing else', async () => {
  const bad = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`b${n}`, 'bad']));
  const good = Object.fromEntries(Array.from({ length: 140 }, (_, n) => [`g${n}`, String(n)]));
  await using here = await world({ ...bad, ...good });
  const { job } = await here.run('p', { workers: 8 });
  const snapshot = await here.project.snapshot();
  const map = await maybeFailed(snapshot, { repo: 'p', id: job.id });
  expect(map && (await datumMap(here.project.reader, map).count())).toBe(60);
  const item = await snapshot.item(failedKey('p', job.id));
  expect(item && decodeFailed(item.value)).toEqual({ datums: 60 });
  // All of it, though the job's own map is not to be read any more.
  expect(await leftOut(here, { ...job, datums: undefined })).toHaveLength(60);
  expect((await here.run('p', { workers: 8 })).job).toMatchObject({
    output: job.id,
    counts: { skipped: 140, failed: 60 },
  });
});

test('lists go with what they are beside, and a purge leaves nothing of them', async () => {
  const secret = randomBytes(900);
  await using here = await world({ a: '1' });
  await put(here.project, '/b', secret);
  here.executor.command = (seen, argv, task) => {
    if (!('data/b' in seen)) return picky(seen, argv, task);
    task.log(secret);
    return { ending: { kind: 'exit', code: 1 } };
  };
  await here.run('p');
  here.executor.command = picky;
  const holding = async (): Promise<number> => {
    let found = 0;
    for await (const { key } of here.store.list('')) if ((await bytesAt(here.store, key)).includes(secret)) found += 1;
    return found;
  };
  expect(await beside(here)).toHaveLength(1);
  expect(await holding()).toBeGreaterThan(1);
  await collect(here.project, 0);
  expect(errors(await check(here.store, 1))).toEqual([]);
  await purge(here.project, { repo: 'data', what: { path: '/b' }, dryRun: false });
  expect(await beside(here)).toEqual([]);
  await collect(here.project, 0);
  await collect(here.project, 0);
  expect(await holding()).toBe(0);
  const [job] = await listJobs(await here.project.snapshot(), 'p');
  expect(job && (await leftOut(here, job))).toEqual([]);
  expect(errors(await check(here.store, 1))).toEqual([]);

  await here.commit('data', { a: '1', b: 'bad' });
  await here.run('p');
  expect(await beside(here)).toHaveLength(1);
  await deletePipeline(here.project, 'p', { force: false, keepRepo: false });
  expect(await beside(here)).toEqual([]);
});

test('an engine that stays up does not run an incomplete output again by itself, but a datum that is restarted', async () => {
  await using here = await world({ a: '1', b: 'bad' });
  await using serving = new Serving(here);
  const { job: id } = await serving.next('job-ended');
  // A move of the head that changes nothing for it.
  await here.commit('more', { x: '1' });
  const job = await findJob(await here.project.snapshot(), id);
  expect(serving.jobs).toEqual(['p success']);
  const [datum] = await leftOut(here, job);
  await restartDatum(here.project, job, await findDatum(here.project.reader, job, datum?.id ?? ''));
  expect((await serving.next('due')).cause).toBe('datum');
  const { job: again } = await serving.next('job-ended');
  // The newest job is not the one whose output is the head, by now.
  const newest = await findJob(await here.project.snapshot(), again);
  await restartDatum(here.project, newest, await findDatum(here.project.reader, newest, datum?.id ?? ''));
  expect((await serving.next('due')).cause).toBe('datum');
  await serving.next('job-ended');
  await here.commit('more', { x: '2' });
  await serving.end();
  expect(serving.jobs).toEqual(['p success', 'p success', 'p success']);
});
