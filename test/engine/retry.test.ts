/**
 * Jobs that failed and are run again: when that is, how often, and by which engine.
 */
import { expect, test } from 'vitest';
import { dropOldJobs, listJobs, newestJob, type Job } from '../../src/pipelines/jobs/jobs.ts';
import { retryAt } from '../../src/engine/retry.ts';
import { TestClock } from '../support/clock.ts';
import { Serving } from './serving.ts';
import { EngineWorld } from './world.ts';

const hour = 3_600_000;
const retry = { tries: 4, pauseMs: 30_000 };
const failed = { state: 'failure', started: 0, finished: 1_000_000, tries: undefined } as const;

test('a failed job is tried again after pauses that double, so often and no more', () => {
  const pauses = [1, 2, 3, 4, 5].map((tries) => {
    const at = retryAt({ ...failed, tries }, retry, failed.finished);
    return at === undefined ? undefined : at - failed.finished;
  });
  expect(pauses).toEqual([30_000, 60_000, 120_000, undefined, undefined]);
  expect(retryAt(failed, retry, failed.finished)).toBe(failed.finished + 30_000);
  expect(retryAt(failed, { tries: 1, pauseMs: 1 }, failed.finished)).toBeUndefined();
  expect(retryAt(failed, undefined, failed.finished)).toBeUndefined();
  for (const state of ['success', 'killed', 'rejected', 'unrunnable', 'running'] as const) {
    expect(retryAt({ ...failed, state }, retry, failed.finished)).toBeUndefined();
  }
});

test('pauses end growing, and a clock that was set back makes none longer', () => {
  const most = { tries: 100, pauseMs: hour };
  expect(retryAt({ ...failed, tries: 90 }, most, failed.finished)).toBe(failed.finished + 6 * hour);
  const long = { tries: 100, pauseMs: 24 * hour };
  expect(retryAt({ ...failed, tries: 90 }, long, failed.finished)).toBe(failed.finished + 24 * hour);
  expect(retryAt(failed, retry, failed.finished - 24 * hour)).toBe(failed.finished - 24 * hour);
});

test('the engine tries again when the time has come, and so does one that begins anew', async () => {
  let isBroken = true;
  await using world = await EngineWorld.make((seen) =>
    isBroken ? { ending: { kind: 'exit', code: 1 } } : { out: seen },
  );
  await world.set({
    name: 'p',
    input: { pfs: { repo: 'data', glob: '/*' } },
    dev: { retry: { tries: 3, pause: '90m' } },
  });
  await world.commit('data', { a: '1' });
  const newest = async (): Promise<Job> => (await newestJob(await world.project.snapshot(), 'p', 'master')).job as Job;
  // Jobs have the time of the machine, which is behind this one.
  const clock = new TestClock(Date.now() + hour);
  const first = new Serving(world, { clock });
  expect((await first.next('job-ended')).outcome.state).toBe('failure');
  const due = ((await newest()).finished ?? 0) + 1.5 * hour;
  await clock.waitedFor(due);
  clock.set(due - 1);
  await first.end();
  expect(first.jobs).toEqual(['p failure']);

  await using second = new Serving(world, { clock });
  await clock.waitedFor(due);
  clock.set(due);
  expect(await second.next('due')).toMatchObject({ cause: 'retry' });
  expect((await second.next('job-ended')).outcome.state).toBe('failure');
  const last = await newest();
  expect(last.tries).toBe(2);
  // Jobs before it are not what is counted.
  await world.project.update('test', (change) => dropOldJobs(change, last, 1));
  const later = (last.finished ?? 0) + 3 * hour;
  await clock.waitedFor(later);
  isBroken = false;
  clock.set(later);
  expect((await second.next('job-ended')).outcome).toMatchObject({ state: 'success', counts: { processed: 1 } });

  // What differs begins to be counted anew. The clock is far ahead: each pause is over already.
  isBroken = true;
  clock.pass(24 * hour);
  await world.commit('data', { a: '2' });
  for (let n = 0; n < 3; n += 1) expect((await second.next('job-ended')).outcome.state).toBe('failure');
  // A move of the head for which there is nothing to do.
  await world.commit('more', { a: '3' });
  await second.end();
  expect(second.jobs).toEqual(['p failure', 'p success', 'p failure', 'p failure', 'p failure']);
  const tries = (await listJobs(await world.project.snapshot(), 'p')).map((job) => job.tries);
  expect(tries).toEqual([3, 2, undefined, 3, 2]);
});
