/**
 * What a node does to a job: it is drained, and it has one graphics processor for two pods.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Connection } from '../../src/kubernetes/client/connection.ts';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { adminKubeconfig, until } from './support/cluster.ts';
import { canRun, Running, summaryOf } from './support/running.ts';
import { ownCluster } from './support/store.ts';

/** Nodes of others are not changed. */
const isOurs = canRun && ownCluster !== undefined;
const input = { pfs: { repo: 'data', glob: '/*' } };
const names = Array.from({ length: 6 }, (_, n) => `file-${n}`);
let world: Running;
let connection: Connection;
let node: string;

beforeAll(async () => {
  if (!isOurs) return;
  world = await Running.make(Object.fromEntries(names.map((name) => [name, name])));
  connection = await Connection.open({ kubeconfig: adminKubeconfig(), namespace: world.namespace.name });
  const { items } = (await connection.json({ method: 'GET', path: '/api/v1/nodes', what: 'nodes' })) as {
    items: { metadata: { name: string } }[];
  };
  node = items[0]?.metadata.name ?? '';
}, 120_000);
afterAll(async () => {
  connection?.[Symbol.dispose]();
  await world?.[Symbol.asyncDispose]();
});

async function change(body: object, subresource = ''): Promise<void> {
  const type = 'application/merge-patch+json';
  await connection.json({ method: 'PATCH', path: `/api/v1/nodes/${node}${subresource}`, what: 'node', body, type });
}

/** The node advertises so many graphics processors. */
function has(count: string | null): Promise<void> {
  const resources = { 'nvidia.com/gpu': count };
  return change({ status: { capacity: resources, allocatable: resources } }, '/status');
}

async function evict(pod: string): Promise<void> {
  const namespace = world.namespace.name;
  await connection.json({
    method: 'POST',
    path: `/api/v1/namespaces/${namespace}/pods/${pod}/eviction`,
    what: 'eviction',
    body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: pod, namespace } },
  });
}

/** Waits until the engine has said that no node takes a pod, and why. */
async function saidWhy(why: string): Promise<void> {
  await until(`it says: ${why}`, async () => (await world.place.must('cat said')).includes(why) || undefined);
}

test.skipIf(!isOurs)('a node is drained: its datums run again when there is a node, and have not failed', async () => {
  const image = await busyboxImage(await dockerForTests());
  const cmd = ['sh', '-c', 'sleep 3; cp /pfs/data/* /pfs/out/'];
  // For these pods alone the node is cordoned, so that other tests go on.
  const label = `pachmount.io/${world.namespace.name}`;
  await world.set({
    pipeline: { name: 'drained' },
    input,
    transform: { image, cmd },
    parallelism_spec: { constant: 2 },
    datum_tries: 1,
    scheduling_spec: { node_selector: { [label]: 'yes' } },
  });
  await change({ metadata: { labels: { [label]: 'yes' } } });
  try {
    const running = world.place.run(`pach run pipeline drained -o json ${world.inPods} 2>said`, 300);
    const pods = await world.podsRunning(2);
    await change({ metadata: { labels: { [label]: null } } });
    for (const pod of pods) await evict(pod);
    await saidWhy("drained waits for pods: no node takes it: 0/1 nodes are available: 1 node(s) didn't match");
    await change({ metadata: { labels: { [label]: 'yes' } } });
    expect(summaryOf(await running)).toMatchObject({
      state: 'success',
      datums: { processed: names.length, failed: 0 },
    });
  } finally {
    await change({ metadata: { labels: { [label]: null } } });
  }
  expect(await world.left()).toEqual([]);
  expect(await world.place.must('cat said')).not.toMatch(/pod pach-drained.*:/);
});

test.skipIf(!isOurs)(
  'of one graphics processor, two are not had; of two pods with one each, one waits for the other',
  async () => {
    const image = await busyboxImage(await dockerForTests());
    const transform = { image, cmd: ['sh', '-c', 'sleep 1; cp /pfs/data/* /pfs/out/'] };
    const asking = (number: number) => ({ resource_limits: { gpu: { type: 'nvidia.com/gpu', number } } });
    await has('1');
    try {
      await world.set({ pipeline: { name: 'two' }, input, transform, ...asking(2) });
      const two = world.place.run(`pach run pipeline two ${world.inPods} 2>said & echo $! >pid; wait $!`, 150);
      const why = 'no node takes it: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu';
      await saidWhy(`two waits for pods: ${why}`);
      await world.place.must('kill -INT $(cat pid)');
      expect((await two).code).toBe(130);

      await world.set({ pipeline: { name: 'one' }, input, transform, ...asking(1), parallelism_spec: { constant: 2 } });
      const one = world.place.run(`pach run pipeline one -o json ${world.inPods} 2>said`, 150);
      await saidWhy(`one waits for pods: ${why}`);
      const pods = await world.namespace.cluster.list('Pod', { labels: 'app.kubernetes.io/managed-by=pach' });
      const placed = pods.filter(({ spec }) => (spec as { nodeName?: string }).nodeName !== undefined);
      expect(placed.length).toBeLessThan(2);
      expect(summaryOf(await one)).toMatchObject({ state: 'success', datums: { processed: names.length, failed: 0 } });
    } finally {
      await has(null);
    }
    expect(await world.left()).toEqual([]);
  },
);

test.skipIf(!isOurs)(
  'a promotion tells what nodes there are for its pods: graphics processors and platforms',
  async () => {
    const image = await busyboxImage(await dockerForTests());
    const rows = async (number: number, more = ''): Promise<[string, string][]> => {
      const gpu = { resource_limits: { gpu: { type: 'nvidia.com/gpu', number } } };
      const spec = { pipeline: { name: 'p' }, input, transform: { image, cmd: ['true'] }, ...gpu };
      await world.place.must(`cat > p.json <<'END'\n${JSON.stringify(spec)}\nEND`);
      const words = `-f p.json --dry-run -o json ${world.inPods.replace('--executor kubernetes ', '')} ${more}`;
      const { stdout, stderr } = await world.place.run(`pach promote ${words}`, 150);
      if (!stdout.startsWith('{')) throw new Error(stderr);
      const { checks } = JSON.parse(stdout) as { checks: { check: string; state: string; says: string }[] };
      return checks.flatMap(({ check, state, says }) => (check === 'nodes for p' ? [[state, says]] : []));
    };
    const none = 'pods wait: no node advertises nvidia.com/gpu; none advertises a GPU: ';
    expect(await rows(1)).toEqual([['warning', expect.stringContaining(none)]]);
    await has('1');
    try {
      const one = expect.stringMatching(/^1 of 1 linux\/\w+ nodes has 1 nvidia.com\/gpu or more$/) as string;
      expect(await rows(1)).toEqual([['ok', one]]);
      const two = 'pods wait: a pod asks for 2 nvidia.com/gpu, and no node has more than 1: ';
      expect(await rows(2)).toEqual([['warning', expect.stringContaining(two)]]);
      const hard = { 'requests.nvidia.com/gpu': '0' };
      await world.namespace.cluster.create({
        apiVersion: 'v1',
        kind: 'ResourceQuota',
        metadata: { name: 'gpus' },
        spec: { hard },
      });
      await until('the quota counts', async () => ((await rows(1))[0]?.[0] === 'warning' ? true : undefined));
      expect((await rows(1))[0]?.[1]).toMatch(/^pods wait: .*; quota gpus leaves 0 of 0 nvidia.com\/gpu$/);
    } finally {
      await has(null);
      await world.namespace.cluster.remove({ kind: 'ResourceQuota', name: 'gpus' });
    }
  },
);
