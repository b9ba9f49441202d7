/**
 * What becomes of a job when parts of it are lost in a real cluster: launchers, workers, pods.
 */
import { expect, test } from 'vitest';
import { Connection } from '../../src/kubernetes/client/connection.ts';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { until } from './support/cluster.ts';
import { nextPod, type PodStatus } from './support/pods.ts';
import { podProcess } from './support/pod-processes.ts';
import { canRun, Running, summaryOf } from './support/running.ts';
import { ownCluster } from './support/store.ts';

/** Processes are killed on this machine, which is the node. */
const isNode = canRun && ownCluster !== undefined;

/** So many that there are some left when the last pod comes. */
const names = Array.from({ length: 24 }, (_, n) => `file-${n}`);
const input = { pfs: { repo: 'data', glob: '/*' } };

/** Waits for the end of a pod; resolves to the exit code of its user's container, undefined where the pod is gone. */
function endOf({ namespace: { cluster } }: Running, name: string): Promise<{ code: number | undefined }> {
  return until(`pod ${name} ends`, async () => {
    const pod = await cluster.get({ kind: 'Pod', name });
    const { containerStatuses = [] } = (pod?.['status'] ?? {}) as PodStatus;
    const code = containerStatuses.find((each) => each.name === 'user')?.state?.terminated?.exitCode;
    return pod === undefined || code !== undefined ? { code } : undefined;
  });
}

async function evict({ namespace: { name: namespace, kubeconfig } }: Running, pod: string): Promise<void> {
  using connection = await Connection.open({ kubeconfig, namespace });
  const metadata = { name: pod, namespace };
  await connection.json({
    method: 'POST',
    path: `/api/v1/namespaces/${namespace}/pods/${pod}/eviction`,
    what: 'eviction',
    body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata },
  });
}

test.skipIf(!isNode)(
  'launchers and workers that are killed, pods that are deleted or evicted change no result',
  async () => {
    await using world = await Running.make(Object.fromEntries(names.map((name) => [name, `content of ${name}`])));
    const image = await busyboxImage(await dockerForTests());
    const cmd = ['sh', '-c', 'sleep 4; for f in /pfs/data/*; do md5sum < $f > /pfs/out/$(basename $f); done'];
    await world.set({
      pipeline: { name: 'sums' },
      input,
      transform: { image, cmd },
      parallelism_spec: { constant: 2 },
      // The tests wait no longer than a minute: a pod that used up its grace would not be gone by then.
      dev: { pod: { termination_grace: '120s' } },
    });
    const { cluster } = world.namespace;
    const met = new Set<string>();
    const running = world.run('sums');
    const codes: Record<string, number | undefined> = {};
    const launcher = await nextPod(world, met);
    process.kill(podProcess(launcher.uid, '/pach-bin/launcher'), 'SIGKILL');
    codes['launcher'] = (await endOf(world, launcher.name)).code;
    const worker = await nextPod(world, met);
    process.kill(podProcess(worker.uid, 'worker', '--pod'), 'SIGKILL');
    codes['worker'] = (await endOf(world, worker.name)).code;
    const deleted = await nextPod(world, met);
    await cluster.remove({ kind: 'Pod', name: deleted.name });
    await until('the pod is gone', async () =>
      (await cluster.get({ kind: 'Pod', name: deleted.name })) ? undefined : true,
    );
    const evicted = await nextPod(world, met);
    await evict(world, evicted.name);
    expect(codes).toEqual({ launcher: 137, worker: 70 });
    // Each comes in the place of another one at once, as another index: Kubernetes would wait before it tries one again.
    const indexes = [launcher, worker, deleted, evicted].map(({ name }) => name.split('-').at(-2));
    expect(new Set(indexes).size).toBe(indexes.length);
    const result = await running;
    expect(summaryOf(result)).toMatchObject({ state: 'success', datums: { processed: names.length, failed: 0 } });
    expect(await world.left()).toEqual([]);
    const output = await world.output('sums');
    await world.place.must('pach fsck');
    expect(
      summaryOf(await world.place.run('pach run pipeline sums -o json --executor docker --reprocess', 150)),
    ).toMatchObject({
      state: 'success',
    });
    expect(await world.output('sums')).toEqual(output);
  },
);

test.skipIf(!isNode)('a command that is short of memory fails its datum, and no other one', async () => {
  await using world = await Running.make({ a: 'small', b: 'large' });
  const image = await busyboxImage(await dockerForTests());
  const cmd = ['sh', '-c', 'cp /pfs/data/* /pfs/out/; test ! -e /pfs/data/b || tail /dev/zero'];
  const limits = { resource_limits: { memory: '32Mi' }, datum_tries: 1 };
  await world.set({ pipeline: { name: 'hungry' }, input, transform: { image, cmd }, ...limits });
  const result = await world.run('hungry');
  expect(summaryOf(result)).toMatchObject({ state: 'failure', datums: { processed: 1, failed: 1 } });
  expect(await world.place.must('pach logs -p hungry')).toMatch(/memory/);
  expect(await world.left()).toEqual([]);
});
