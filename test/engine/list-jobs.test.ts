/**
 * Jobs are many: lists of them read no more than they need.
 */
import { expect, test } from 'vitest';
import { listJobs, setJob, type Job } from '../../src/pipelines/jobs/jobs.ts';
import { newCommitId } from '../../src/versions/change.ts';
import { jobTimeKey } from '../../src/versions/ref-keys.ts';
import { Snapshot } from '../../src/versions/snapshot.ts';
import { openTestProject } from '../versions/project.ts';
import { copy, EngineWorld } from './world.ts';

test('of 4,000 jobs the newest are found by a few nodes, all of them by one walk, and those of one pipeline of several', async () => {
  await using world = await EngineWorld.make(copy);
  await world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/' } } });
  await world.commit('data', { a: '1' });
  const { job } = await world.run('p');
  const all: Job[] = [job];
  await world.project.update('jobs', (change) => {
    for (let n = 1; n < 4000; n += 1) {
      const pipeline = n % 100 === 0 ? 'rare' : 'p';
      const branch = n % 3 === 0 ? 'exp' : 'master';
      const next: Job = { ...job, id: newCommitId(), pipeline, branch, started: job.started + n };
      all.unshift(next);
      setJob(change, next);
      change.set({ key: jobTimeKey(next), value: Buffer.alloc(0), refs: [] });
    }
    return Promise.resolve();
  });
  const { head } = await world.project.snapshot();
  const read = async (pipeline?: string, number?: number): Promise<number> => {
    let reads = 0;
    const counting = new Proxy(openTestProject(world.store).reader, {
      get(target, name) {
        if (name === 'node') reads += 1;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const jobs = await listJobs(new Snapshot(head, counting), pipeline, number);
    const expected = all.filter((each) => pipeline === undefined || each.pipeline === pipeline).slice(0, number);
    expect(jobs.map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
    return reads;
  };
  const whole = await read();
  expect(await read('p')).toBeLessThan(whole + 40);
  expect(await read('p', 20)).toBeLessThan(120);
  expect(await read(undefined, 20)).toBeLessThan(150);
  expect(await read('rare')).toBeLessThan(250);
  expect(await read('p', 0)).toBeLessThan(60);
});
