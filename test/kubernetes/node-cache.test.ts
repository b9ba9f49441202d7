/**
 * What pods have read stays on their node for the next ones of the project, in a real cluster: what the second
 * pod asks of the store is counted by a proxy that pods alone go through.
 */
import { mkdtemp, readdir, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { startProxy } from '../support/s3-proxy.ts';
import { until } from './support/cluster.ts';
import { canRun, Running, summaryOf } from './support/running.ts';
import { apply, ended, podThat, worldWithSecret } from './support/sidecars.ts';
import { expose, ownCluster, storeForPods } from './support/store.ts';

/** The node is this machine, so its folders are here. */
const isNode = canRun && ownCluster !== undefined;

test.skipIf(!isNode)('the second pod on a node fetches nothing of what the first has read', async () => {
  const store = await storeForPods();
  const { server, state, url } = await startProxy(store.endpoint);
  const place = await mkdtemp(join(tmpdir(), 'pach-node-cache-'));
  try {
    await using world = await Running.make({ a: 'one', b: 'two' }, { store });
    await world.place.must('for n in 1 2 3; do head -c 1500000 /dev/urandom > files/$n; done');
    await world.place.must('pach put file data@master:/ -r -f files/');
    const endpoint = await expose(new URL(url).port);
    const ways = `--store-in-cluster '${store.url.replace(store.endpoint, endpoint)}' --pods-mount privileged`;
    const image = await busyboxImage(await dockerForTests());
    const cmd = [
      'sh',
      '-c',
      'find /pfs/data -type f | sort | xargs md5sum > /pfs/out/sums; grep -c pachmount /proc/mounts',
    ];
    /** Runs a pipeline that reads all; resolves to the packs with data that pods asked for. */
    const run = async (name: string): Promise<Set<string>> => {
      await world.set({
        pipeline: { name },
        input: { pfs: { repo: 'data', glob: '/' } },
        transform: { image, user: '1000', cmd },
      });
      state.requests.length = 0;
      const ran = await world.run(name, `${ways} --node-cache ${place}`);
      expect(ran).toMatchObject({ code: 0 });
      expect(summaryOf(ran).datums).toMatchObject({ processed: 1 });
      const asked = state.requests.filter(({ method }) => method === 'GET').map((request) => request.url ?? '');
      return new Set(asked.flatMap((path) => /\/data\/[0-9a-f]{2}\/([^?]*)/.exec(path)?.[1] ?? []));
    };
    const first = await run('first');
    expect(first.size).toBeGreaterThan(0);
    // What the second asks for is of its own pipeline.
    const again = [...(await run('second'))].filter((pack) => first.has(pack));
    expect(again).toEqual([]);
    const read = 'cd files && find . -type f | sort | xargs md5sum | sed s,./,/pfs/data/,';
    for (const name of ['first', 'second']) {
      expect(await world.place.must(`pach get file ${name}@master:/sums`)).toBe(await world.place.must(read));
    }
    // One folder, of root alone, for the projects of this store in this namespace.
    const folders = await readdir(place);
    expect(folders).toEqual([
      expect.stringMatching(new RegExp(String.raw`^${world.namespace.name}\.[0-9a-f]{16}\.default$`)),
    ]);
    expect(await stat(join(place, folders[0] ?? ''))).toMatchObject({ uid: 0, mode: 0o40700 });
    expect(await world.left()).toEqual([]);
  } finally {
    server.close();
    await rm(place, { recursive: true });
  }
});

test.skipIf(!isNode)(
  'pods of a user’s own share it too, also those that start at once, in what a claim gives',
  async () => {
    const store = await storeForPods();
    const { server, state, url } = await startProxy(store.endpoint);
    const place = await mkdtemp(join(tmpdir(), 'pach-node-claim-'));
    try {
      await using world = await worldWithSecret({ a: 'one' }, { store });
      const { name: namespace, cluster } = world.namespace;
      await world.place.must('head -c 9000000 /dev/urandom > large; pach put file data@master:/large -f large');
      const endpoint = await expose(new URL(url).port);
      const words = `data@master --container main --kind pod --pods-mount privileged --node-cache claim:cache,size=1GB --store-in-cluster '${store.url.replace(store.endpoint, endpoint)}'`;
      const reading = (name: string): string => podThat(name, { args: ['md5sum', '/pfs/data/large'] });
      // A pod whose claim is not there waits, and is not the last word: it goes on once it is.
      await apply(world, reading('first'), words);
      const capacity = { storage: '1Gi' };
      const rest = { accessModes: ['ReadWriteOnce'], storageClassName: namespace };
      const volume = { capacity, hostPath: { path: place }, persistentVolumeReclaimPolicy: 'Retain', ...rest };
      const claim = { resources: { requests: capacity }, volumeName: namespace, ...rest };
      await world.place.must(
        [
          `cat > claim.json <<'END'`,
          JSON.stringify({ apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name: namespace }, spec: volume }),
          JSON.stringify({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'cache' }, spec: claim }),
          'END',
          './kubectl create -f claim.json',
        ].join('\n'),
      );
      try {
        await apply(world, reading('second'), words);
        const sum = `${(await world.place.must('md5sum < large')).split(' ')[0]}  /pfs/data/large\n`;
        for (const pod of ['first', 'second']) expect(await ended(world, pod)).toEqual({ exitCode: 0, log: sum });
        const packs = (): string[] =>
          state.requests.flatMap(({ method, url: path = '' }) => {
            return method === 'GET' ? (/\/data\/[0-9a-f]{2}\/([^?]*)/.exec(path)?.[1] ?? []) : [];
          });
        expect(packs()).not.toEqual([]);
        state.requests.length = 0;
        await apply(world, reading('third'), words);
        expect(await ended(world, 'third')).toEqual({ exitCode: 0, log: sum });
        expect(packs()).toEqual([]);
        expect(await readdir(place)).toEqual([
          expect.stringMatching(new RegExp(String.raw`^${namespace}\.[0-9a-f]{16}\.default$`)),
        ]);
        // A link in the place of a project's folder leads no pod out of what it was given.
        const elsewhere = await mkdtemp(join(tmpdir(), 'pach-node-elsewhere-'));
        const [folder = ''] = await readdir(place);
        await rm(join(place, folder), { recursive: true });
        await symlink(elsewhere, join(place, folder));
        await apply(world, reading('fourth'), words);
        await until('the pod is refused', async () => {
          const pod = await cluster.get({ kind: 'Pod', name: 'fourth' });
          return /subPath|failed to/i.test(JSON.stringify(pod?.['status'])) || undefined;
        });
        expect(await readdir(elsewhere)).toEqual([]);
        await rm(elsewhere, { recursive: true });
      } finally {
        await world.place.must(
          `./kubectl delete pod --all --timeout=60s; ./kubectl delete pv ${namespace} --wait=false`,
        );
      }
    } finally {
      server.close();
      await rm(place, { recursive: true });
    }
  },
);
