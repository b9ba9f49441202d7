/**
 * What others do to a job while it runs: they hold its pipeline, take it over, stop it, purge what
 * it reads, collect garbage. A command of a test does it in the middle of a datum.
 */
import { readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { expect, test } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import { encodeLease, type LeaseRecord } from '../../src/model/records/pipelines.ts';
import { findJob, listJobs, setJob, type Job } from '../../src/pipelines/jobs/jobs.ts';
import { JobWatch } from '../../src/engine/job-watch.ts';
import { endRun, isHeld, leaseHolder, leaseMs, maybeLease, takeLease } from '../../src/pipelines/jobs/lease.ts';
import { collectGarbage } from '../../src/versions/upkeep/gc.ts';
import type { Project } from '../../src/versions/project.ts';
import type { Snapshot } from '../../src/versions/snapshot.ts';
import { purge } from '../../src/versions/upkeep/purge.ts';
import { leaseKey } from '../../src/versions/ref-keys.ts';
import { check, errors } from '../versions/fsck-store.ts';
import { openTestProject } from '../versions/project.ts';
import { copy, EngineWorld, type Command } from './world.ts';

const input = { pfs: { repo: 'data', glob: '/*' } };
const four = { a: '1', b: '2', c: '3', d: '4' };

async function worldWith(command: Command = copy): Promise<EngineWorld> {
  const world = await EngineWorld.make(command);
  await world.commit('data', four);
  await world.set({ name: 'p', input });
  return world;
}

async function setLease(project: Project, lease: LeaseRecord): Promise<void> {
  await project.update('test', async (change) => {
    change.set({ key: leaseKey('p', 'master'), value: encodeLease(lease), refs: [] });
  });
}

/** A lease that an engine on another host holds for so long. */
const elsewhere = (ms: number): LeaseRecord => {
  return { holder: 'eve@far, process 7', host: 'far pid:[1]', pid: 7, pidStarted: '1', until: Date.now() + ms };
};

/** Does `what` in the middle of the first datum, as another process would. */
function once(world: EngineWorld, what: (other: Project) => Promise<unknown>): void {
  let done = false;
  world.executor.command = async (seen) => {
    const isFirst = !done;
    done = true;
    if (isFirst) await what(openTestProject(world.store));
    return { out: seen };
  };
}

async function expectClean(world: EngineWorld): Promise<void> {
  expect(errors(await check(world.store, 1))).toEqual([]);
}

test('a pipeline that an engine on another host runs is refused by name, until its time is up', async () => {
  await using world = await worldWith();
  await setLease(world.project, elsewhere(60_000));
  const refused = await world.run('p').catch((error: unknown) => error);
  expect(isPachError(refused, 'conflict') && refused.message).toBe('pipeline p: eve@far, process 7 is running it');
  expect(await listJobs(await world.project.snapshot())).toEqual([]);
  await setLease(world.project, elsewhere(-1));
  expect((await world.run('p')).job.state).toBe('success');
  expect(await maybeLease(await world.project.snapshot(), { pipeline: 'p', branch: 'master' })).toBeUndefined();
});

test('an engine of this host that died is in nobody’s way', async () => {
  await using world = await worldWith();
  const holder = leaseHolder('tester');
  await setLease(world.project, { ...holder, pidStarted: `${holder.pidStarted}1`, until: Date.now() + 60_000 });
  expect((await world.run('p')).job.state).toBe('success');
});

test('a run of this process that has ended is in nobody’s way, whatever lease it left', async () => {
  await using world = await worldWith();
  const holder = leaseHolder('tester');
  await setLease(world.project, { ...holder, until: Date.now() + 60_000 });
  const refused = await world.run('p').catch((error: unknown) => error);
  expect(isPachError(refused, 'conflict') && refused.why).toBe(`${holder.holder} is running it`);
  endRun(holder);
  let left: LeaseRecord | undefined;
  once(world, async (other) => {
    left = await maybeLease(await other.snapshot(), { pipeline: 'p', branch: 'master' });
  });
  expect((await world.run('p')).job.state).toBe('success');
  // As if that run could not have ended its lease.
  await setLease(world.project, { ...left!, until: Date.now() + 60_000 });
  expect((await world.run('p')).job.state).toBe('success');
});

test('a lease names its process as engines before did, and counts as long as that may live', async () => {
  const own = leaseHolder('tester');
  const host = `${hostname()} ${await readlink('/proc/self/ns/pid')}`;
  expect(own).toEqual({ holder: own.holder, host, pid: process.pid, pidStarted: own.pidStarted });
  // Far ahead, as after a clock that went back: only whether the process lives matters.
  const lease: LeaseRecord = { ...own, until: Date.now() + 1e12 };
  expect(isHeld(lease)).toBe(true);
  expect(isHeld({ ...lease, pidStarted: `${own.pidStarted}1` })).toBe(false);
  for (const other of [`x${host}`, `${hostname()} pid:[1]`, `${hostname()} `, 'here']) {
    expect(isHeld({ ...lease, host: other, pidStarted: '1' })).toBe(true);
  }
  expect(isHeld({ ...lease, until: Date.now() - 1 })).toBe(false);
});

test('one process does not run a pipeline twice at a time', async () => {
  await using world = await worldWith();
  let second: unknown;
  once(world, async () => {
    second = await world.run('p').catch((error: unknown) => error);
  });
  expect((await world.run('p')).job.state).toBe('success');
  expect(isPachError(second, 'conflict')).toBe(true);
  expect(world.executor.ran.length).toBe(4);
});

test('an engine whose lease another has taken over publishes nothing any more', async () => {
  await using world = await worldWith();
  once(world, (other) => setLease(other, elsewhere(60_000)));
  const lost = await world.run('p').catch((error: unknown) => error);
  expect(isPachError(lost, 'conflict') && lost.why).toContain('eve@far, process 7 has taken it over');
  const snapshot = await world.project.snapshot();
  const [job] = await listJobs(snapshot, 'p');
  expect(job?.state).toBe('running');
  expect((await maybeLease(snapshot, { pipeline: 'p', branch: 'master' }))?.host).toBe('far pid:[1]');
  expect(await world.files('p')).toBeUndefined();
  // Who has taken it over goes on with the same job.
  await setLease(world.project, elsewhere(-1));
  expect((await world.run('p')).job).toMatchObject({ id: job?.id, state: 'success' });
});

test('neither does one whose pipeline another has run to its end meanwhile', async () => {
  await using world = await worldWith();
  let ended: Job | undefined;
  once(world, async (other) => {
    await setLease(other, elsewhere(-1));
    ended = (await world.run('p')).job;
  });
  const lost = await world.run('p').catch((error: unknown) => error);
  expect(isPachError(lost, 'conflict')).toBe(true);
  const jobs = await listJobs(await world.project.snapshot(), 'p');
  expect(jobs).toHaveLength(1);
  expect(jobs[0]).toEqual({ ...ended, hasDatums: true });
  await expectClean(world);
});

test('a job that is stopped ends its command, and is killed', async () => {
  await using world = await worldWith();
  let runs = 0;
  world.executor.command = async (seen, _, { signal }) => {
    runs += 1;
    if (runs < 3) return { out: seen };
    await openTestProject(world.store).update('stop', async (change) => {
      const [job] = await listJobs(change.snapshot, 'p');
      if (job) setJob(change, { ...job, stopping: true });
    });
    if (!signal?.aborted) await new Promise((ended) => signal?.addEventListener('abort', ended));
    return { ending: { kind: 'aborted' } };
  };
  const { job, result } = await world.run('p');
  expect(job).toMatchObject({ state: 'killed', reason: expect.stringContaining('it was stopped') as string });
  expect(result?.after).toBeUndefined();
  expect(await findJob(await world.project.snapshot(), job.id)).toMatchObject({ state: 'killed' });
  expect(await maybeLease(await world.project.snapshot(), { pipeline: 'p', branch: 'master' })).toBeUndefined();
  world.executor.command = copy;
  world.executor.ran.length = 0;
  const again = await world.run('p');
  expect(again.job.counts).toEqual({ total: 4, processed: 2, skipped: 2, failed: 0, recovered: 0 });
  expect(again.job.id).not.toBe(job.id);
});

/** A job that has run, the lease of its pipeline held anew, and the watch over it. */
async function watched(world: EngineWorld) {
  const { project } = world;
  const { job } = await world.run('p');
  const holder = leaseHolder('tester');
  await project.update('test', (change) => takeLease(change, job, holder));
  return { job, holder, watch: new JobWatch({ project, job, inputs: [], holder }) };
}

test('a lease that is about to end is renewed while nothing is published', async () => {
  await using world = await worldWith();
  const { holder, watch } = await watched(world);
  const until = Date.now() + leaseMs / 3;
  await setLease(world.project, { ...holder, until });
  const heads: Snapshot[] = [];
  let wake = (): void => undefined;
  using _ = world.project.head.listen({
    moved: (snapshot) => {
      heads.push(snapshot);
      wake();
    },
  });
  for (let renewed = false; !renewed;) {
    const snapshot = heads.shift();
    if (!snapshot) await new Promise<void>((moved) => (wake = moved));
    else renewed = ((await maybeLease(snapshot, { pipeline: 'p', branch: 'master' }))?.until ?? 0) > until;
  }
  expect(watch.signal.aborted).toBe(false);
  watch[Symbol.dispose]();
});

test('an engine does not take the end of its own lease for a loss', async () => {
  await using world = await worldWith();
  const { watch } = await watched(world);
  // The first head that it is told of: from then on it hears at once.
  await new Promise<void>((moved) => world.project.head.listen({ moved: () => moved() }));
  await world.project.update('the last change', async (change) => {
    await watch.hold(change);
    watch.end(change);
  });
  // Each takes many more turns than the watch needs to read a lease.
  for (let change = 0; change < 3; change += 1) await world.commit('data', { more: String(change) });
  expect(watch.isLost || watch.signal.aborted).toBe(false);
  watch[Symbol.dispose]();
});

test('a job whose input is purged while it runs publishes nothing of it', async () => {
  await using world = await worldWith();
  once(world, async (other) => {
    await purge(other, { repo: 'data', what: { path: '/b' }, dryRun: false });
    await collect(other);
  });
  const ended = await world.run('p').catch((error: unknown) => error);
  expect(isPachError(ended, 'conflict') && ended.why).toContain('was deleted or purged while it ran');
  expect(await world.files('p')).toBeUndefined();
  world.executor.command = copy;
  await world.run('p');
  expect(await world.files('p')).toEqual({ 'data/a': '1', 'data/c': '3', 'data/d': '4' });
  await expectClean(world);
});

test('garbage may be collected at any time', async () => {
  await using world = await worldWith();
  const collecting = openTestProject(world.store);
  world.executor.command = async (seen) => {
    await collect(collecting).catch((error: unknown) => {
      if (!isPachError(error, 'conflict')) throw error; // two at a time
    });
    return { out: seen };
  };
  expect((await world.run('p', { workers: 3 })).job.state).toBe('success');
  expect(await world.files('p')).toEqual(Object.fromEntries(Object.entries(four).map(([k, v]) => [`data/${k}`, v])));
  await collect(collecting);
  await expectClean(world);
  expect((await world.run('p')).job.counts).toMatchObject({ skipped: 4, processed: 0 });
  expect((await world.run('p', { branch: 'exp' })).job.counts).toMatchObject({ skipped: 4, processed: 0 });
  await expectClean(world);
});

test('results that were there when a job was planned, and are collected before it ends, are computed again', async () => {
  await using world = await worldWith();
  await world.run('p');
  await world.commit('data', { ...four, e: '5' });
  await world.commit('more', { x: 'to be purged, and all results with it' });
  world.executor.ran.length = 0;
  once(world, async (other) => {
    await purge(other, { repo: 'more', what: { path: '/x' }, dryRun: false });
    await collect(other);
  });
  const { job } = await world.run('p');
  expect(job.state).toBe('success');
  expect(Object.keys((await world.files('p')) ?? {})).toHaveLength(5);
  await expectClean(world);
  await collect(world.project);
  await expectClean(world);
  expect((await world.run('p')).job.counts).toMatchObject({ skipped: 5, processed: 0 });
});

async function collect(project: Project): Promise<void> {
  await collectGarbage(project, { grace: 0, dryRun: false, progress: () => undefined });
}
