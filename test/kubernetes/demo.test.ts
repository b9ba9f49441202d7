/**
 * The whole way, as a user goes it: from `pach init` over the loop of development to a promoted pipeline that runs
 * on a put. The script says itself what must be printed; `make demo-cluster` shows it to a person.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readKubeconfig } from '../../src/kubernetes/client/kubeconfig.ts';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { Place } from '../support/place.ts';
import { namespaceForTests } from './support/cluster.ts';
import { canRun, load } from './support/running.ts';
import { storeForPods, workerImage } from './support/store.ts';

const script = join(import.meta.dirname, '../demo-cluster.sh');

test.skipIf(!canRun)('from an empty folder to a pipeline that the cluster runs on a put', async () => {
  const [store, engine] = await Promise.all([storeForPods(), dockerForTests()]);
  await using namespace = await namespaceForTests();
  await using place = await Place.make('root');
  const dir = join(place.dir, 'demo');
  await mkdir(dir);
  const { PATH, HOME } = process.env;
  const demo = spawn(script, {
    env: {
      PATH,
      HOME,
      ...store.env,
      K8S_BIN: process.env['K8S_BIN'],
      KUBECONFIG: namespace.kubeconfig,
      DOCKER_HOST: engine.host,
      DEMO_DIR: dir,
      DEMO_CONTEXT: (await readKubeconfig({ kubeconfig: namespace.kubeconfig })).context,
      DEMO_NAMESPACE: namespace.name,
      DEMO_STORE: store.url,
      DEMO_IMAGE: await busyboxImage(engine),
      DEMO_WORKER_IMAGE: workerImage,
      DEMO_LOAD: load,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const to = process.env['DEMO_TO'];
  const watcher = to === undefined ? undefined : createWriteStream(to, { flags: 'a' });
  const shown: Buffer[] = [];
  for (const stream of [demo.stdout, demo.stderr]) {
    stream.on('data', (bytes: Buffer) => {
      shown.push(bytes);
      watcher?.write(bytes);
    });
  }
  const [code] = (await once(demo, 'close')) as [number | null];
  watcher?.end();
  expect({ code, shown: Buffer.concat(shown).toString() }).toEqual({
    code: 0,
    shown: expect.stringMatching(/Done, and checked\.\n$/) as string,
  });
});
