/**
 * What pods have read stays on their node for the next ones of the project, in a real cluster: what the second
 * pod asks of the store is counted by a proxy that pods alone go through.
 */
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { startProxy } from '../support/s3-proxy.ts';
import { canRun, Running, summaryOf } from './support/running.ts';
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
