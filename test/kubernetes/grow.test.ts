/** A Job of a job whose datums are still planned: it gets more pods as there is more to do. */
import { expect, test } from 'vitest';
import type { CrewJob } from '../../src/execution/store/crew.ts';
import { PodsRound, type JobObjects } from '../../src/kubernetes/pods-round.ts';
import { SeenPods } from '../../src/kubernetes/seen-pods.ts';
import { namespaceForTests, until } from './support/cluster.ts';
import { busybox } from './support/pods.ts';

test('a Job gets as many pods as have something to do, beside those that have ended or were lost, and never fewer', async () => {
  await using namespace = await namespaceForTests();
  const { cluster } = namespace;
  // The first pod has done its work at once.
  const script = '[ "$JOB_COMPLETION_INDEX" = 0 ] || sleep 600';
  const template = { spec: { ...(busybox('p', script)['spec'] as object), restartPolicy: 'Never' } };
  const spec = { completionMode: 'Indexed', parallelism: 2, completions: 2, backoffLimitPerIndex: 0, template };
  const objects = {
    job: { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'grow' }, spec },
    owned: [],
  } as unknown as JobObjects;
  const seen = new SeenPods({ tell: () => undefined } as unknown as CrewJob, {
    pipeline: 'p',
    what: 'pods',
    pendingMs: 60_000,
  });
  const { signal } = new AbortController();
  const round = await PodsRound.begin(cluster, seen, { objects, signal });
  /** Once the Job has so many pods that run, and so many that have done their work. */
  const has = (active: number, succeeded: number) =>
    until(`${active} run, ${succeeded} have ended`, async () => {
      const job = await cluster.get({ kind: 'Job', name: 'grow' });
      const status = job?.['status'] as { active?: number; succeeded?: number } | undefined;
      return status?.active === active && (status.succeeded ?? 0) === succeeded ? true : undefined;
    });
  await has(1, 1);
  // Once it has heard of that: as many run as are of use.
  await until('it has grown', async () => {
    await round.grow(2);
    const job = await cluster.get({ kind: 'Job', name: 'grow' });
    return (job?.['spec'] as { completions: number } | undefined)?.completions === 3 ? true : undefined;
  });
  await has(2, 1);
  await round.grow(1);
  await round.grow(3);
  await has(3, 1);
  expect(round.hasEnded()).toBe(false);
  // A lost one comes again as another index, and there are as many as before: also while it does not end, as where
  // its node is lost. This one ignores that it is told to.
  const lost = await until('a pod that runs', async () => {
    const pods = await cluster.list('Pod');
    return pods.find(({ status }) => (status as { phase?: string }).phase === 'Running')?.metadata.name;
  });
  await cluster.remove({ kind: 'Pod', name: lost }, { graceSeconds: 600 });
  await until('there is another index', async () => {
    await round.grow(3);
    const job = await cluster.get({ kind: 'Job', name: 'grow' });
    return (job?.['spec'] as { completions: number } | undefined)?.completions === 5 ? true : undefined;
  });
  await has(3, 1);
  expect((await cluster.get({ kind: 'Pod', name: lost }))?.['status']).toMatchObject({ phase: 'Running' });
  await cluster.remove({ kind: 'Pod', name: lost }, { graceSeconds: 0 });
  const told: string[] = [];
  await round.end((line) => told.push(line));
  expect(told).toEqual([]);
  expect(await cluster.list('Pod')).toEqual([]);
});
