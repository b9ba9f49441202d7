/**
 * How many jobs of a pipeline stay, and what stays of those that go.
 */
import { expect, test } from 'vitest';
import { keepJobs } from '../../src/pipelines/editing/keep.ts';
import { jobsOn, listJobs } from '../../src/pipelines/jobs/jobs.ts';
import { takeBack, expectSound } from '../versions/undo-world.ts';
import { EngineWorld } from './world.ts';

const input = { pfs: { repo: 'data', glob: '/*' } };

async function idsOf(world: EngineWorld): Promise<string[]> {
  return (await listJobs(await world.project.snapshot(), 'p')).map(({ id }) => id);
}

test('the newest jobs stay, and the one that made the head; commits keep what they were made of', async () => {
  await using world = await EngineWorld.make((seen) =>
    seen['data/x'] === 'bad' ? { ending: { kind: 'exit', code: 1 } } : { out: seen },
  );
  await world.set({ name: 'p', input, dev: { keep: { jobs: 2 } } });
  const ran: string[] = [];
  for (const x of ['1', '2', '3', 'bad', 'bad', 'bad']) {
    await world.commit('data', { x });
    ran.unshift((await world.run('p')).job.id);
  }
  const [sixth, fifth, fourth, third = '', , first = ''] = ran;
  // The third made the head.
  expect(await idsOf(world)).toEqual([sixth, fifth, third]);
  const snapshot = await world.project.snapshot();
  expect((await snapshot.maybeCommit('p', first as never))?.provenance).toMatchObject([{ repo: 'data' }]);
  expect(await snapshot.maybeCommit('p', fourth as never)).toBeUndefined();
  await expectSound(world.project);
  // What is the same as before is not computed anew, whichever job computed it.
  await world.commit('data', { x: '1' });
  expect((await world.run('p')).job.counts).toMatchObject({ processed: 0, skipped: 1 });
});

test('a number alone can be changed; jobs that come again have ids of their own', async () => {
  await using world = await EngineWorld.make((seen) => ({ out: seen }));
  await world.set({ name: 'p', input });
  await world.commit('data', { x: '1' });
  const ids = new Set<string>();
  const again = async (times: number): Promise<void> => {
    for (let n = 0; n < times; n += 1) ids.add((await world.run('p')).job.id);
  };
  await again(5);
  expect(await idsOf(world)).toHaveLength(5);
  const pipeline = await keepJobs(world.project, 'p', 3);
  expect(pipeline).toMatchObject({ version: 2, spec: { keptJobs: 3, document: { dev: { keep: { jobs: 3 } } } } });
  await again(1);
  const kept = await idsOf(world);
  // Three, and the first, which made the head.
  expect(kept).toHaveLength(4);
  await takeBack(world.project);
  await again(4);
  expect(ids.size).toBe(10);
  const onMaster: string[] = [];
  for await (const { id } of jobsOn(await world.project.snapshot(), 'p', 'master')) onMaster.push(id);
  expect(onMaster).toHaveLength(8);
  await expect(keepJobs(world.project, 'q', 3)).rejects.toThrow('there is no such pipeline');
});
