/**
 * What a cluster, its registries and its nodes may do to pods so that they can't work: each is told by its cause,
 * ends the job where nothing will help, and leaves nothing behind.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dockerEngine } from '../../src/execution/executors/docker-engine.ts';
import { pushImage } from '../../src/execution/executors/docker-push.ts';
import { Connection } from '../../src/kubernetes/client/connection.ts';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { startRegistry } from '../support/image-registry.ts';
import { canRun, load, Running, summaryOf } from './support/running.ts';
import { ownCluster, workerImage } from './support/store.ts';

const run = promisify(execFile);
/** Servers of this machine's loopback are the API server's and the node's too. */
const isHere = canRun && ownCluster !== undefined;
const input = { pfs: { repo: 'data', glob: '/*' } };
let world: Running;

beforeAll(async () => {
  if (isHere) world = await Running.make({ a: 'one' });
}, 120_000);
afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

/** Runs pach until it says this, and interrupts it. */
async function interruptedAt(reason: string, words: string, env = ''): Promise<{ code: number | null; said: string }> {
  const wait = `until grep -q "${reason}" said; do kill -0 $pid || break; sleep 0.1; done; kill -INT $pid; wait $pid`;
  const { code } = await world.place.run(`${env} pach ${words} 2>said & pid=$!; ${wait}`, 150);
  return { code, said: await world.place.must('cat said') };
}

/** An admission webhook that answers pods of the namespace with a patch. */
async function webhook({ namespace }: Running, patch: readonly object[]): Promise<AsyncDisposable> {
  const dir = await mkdtemp(join(tmpdir(), 'pach-webhook-'));
  const [key, cert] = [join(dir, 'key'), join(dir, 'cert')];
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'];
  await run('openssl', [
    ...request,
    '-subj',
    '/CN=webhook',
    '-addext',
    'subjectAltName=IP:127.0.0.1',
    '-keyout',
    key,
    '-out',
    cert,
  ]);
  const server = createServer({ key: await readFile(key), cert: await readFile(cert) }, (asked, answer) => {
    void text(asked).then((body) => {
      const { request: review } = JSON.parse(body) as { request: { uid: string } };
      const patched = { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64') };
      const response = { uid: review.uid, allowed: true, ...patched };
      answer.end(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response }));
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  const connection = await Connection.open({ kubeconfig: namespace.kubeconfig });
  const path = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
  const clientConfig = { url: `https://127.0.0.1:${port}/`, caBundle: (await readFile(cert)).toString('base64') };
  await connection.json({
    method: 'POST',
    path,
    what: 'webhook',
    body: {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: { name: namespace.name },
      webhooks: [
        {
          name: 'strips.pachmount.io',
          clientConfig,
          rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }],
          namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace.name } },
          admissionReviewVersions: ['v1'],
          sideEffects: 'None',
        },
      ],
    },
  });
  return {
    async [Symbol.asyncDispose]() {
      await connection.json({ method: 'DELETE', path: `${path}/${namespace.name}`, what: 'webhook' });
      connection[Symbol.dispose]();
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
      await rm(dir, { recursive: true });
    },
  };
}

test.skipIf(!isHere)('a context keeps how images get into the cluster, and all else that a run needs', async () => {
  const { place, namespace } = world;
  // A new one, which no node has.
  const image = await busyboxImage(await dockerForTests());
  await world.set({ pipeline: { name: 'kept' }, input, transform: { image, cmd: ['true'] } });
  const ways = `--namespace ${namespace.name} --worker-image ${workerImage} --load '${load}'`;
  await place.must(`pach context create cluster --store "$PACH_STORE" ${ways} && pach context use cluster`);
  const result = await place.run('pach run pipeline kept -o json --executor kubernetes', 150);
  expect(summaryOf(result)).toMatchObject({ state: 'success', datums: { processed: 1 } });
  // Whose way does not work is told what it said.
  await world.set({
    pipeline: { name: 'kept' },
    input,
    transform: { image: await busyboxImage(await dockerForTests()), cmd: ['true'] },
  });
  const wrong = await place.run("pach run pipeline kept --executor kubernetes --load 'echo no such cluster; false'");
  expect(wrong.stderr).toMatch(/--load echo no such cluster; false: no such cluster/);
  expect(wrong.code).toBe(1);
  expect(await world.left()).toEqual([]);
});

test.skipIf(!isHere)('a webhook that takes the sidecar out of pods is told of before there are any', async () => {
  const image = await busyboxImage(await dockerForTests());
  await world.set({ pipeline: { name: 'stripped' }, input, transform: { image, cmd: ['true'] } });
  await using _ = await webhook(world, [{ op: 'remove', path: '/spec/initContainers' }]);
  // The server hears of a new webhook a moment later: until then pods run.
  let result = await world.run('stripped', '--reprocess');
  for (let tries = 0; tries < 20 && result.code === 0; tries++) result = await world.run('stripped', '--reprocess');
  expect(result.stderr).toMatch(/pods in namespace "pach-test-.*": the cluster changes their container "worker"/);
  expect(result.stderr).toMatch(/admission webhook/);
  expect(result.code).toBe(1);
  expect(await world.left()).toEqual([]);
});

test.skipIf(!isHere)('a private image is told to need a pull secret, and runs with one', async () => {
  const engine = await dockerForTests();
  // The password of `tester` is `right`.
  await using registry = await startRegistry('tester:$2y$05$abcdefghijklmnopqrstuu8xaCxxL82bnl.UY74PMksDxIJShppPC\n');
  const auth = Buffer.from('tester:right').toString('base64');
  const login = JSON.stringify({ auths: { [registry.address]: { auth } } });
  const dockerConfig = join(world.place.dir, 'login');
  await mkdir(dockerConfig);
  await writeFile(join(dockerConfig, 'config.json'), login);
  const local = await busyboxImage(engine);
  const image = await pushImage(dockerEngine({ host: engine.host }), local, {
    registry: registry.address,
    dockerConfig,
  });
  const transform = { image, cmd: ['sh', '-c', 'cp /pfs/data/a /pfs/out/'] };
  await world.set({ pipeline: { name: 'private' }, input, transform });
  const env = `DOCKER_CONFIG=${dockerConfig}`;
  const words = `run pipeline private -o json ${world.inPods}`;
  const reason = "private waits for pods: image .* can't be had: .*; transform.image_pull_secrets names the secret";
  expect(await interruptedAt(reason, words, env)).toMatchObject({ code: 130 });
  expect(await world.left()).toEqual([]);
  const data = { '.dockerconfigjson': login };
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'registry' }, stringData: data };
  await world.namespace.cluster.create({ ...secret, type: 'kubernetes.io/dockerconfigjson' });
  await world.set({
    pipeline: { name: 'private' },
    input,
    transform: { ...transform, image_pull_secrets: ['registry'] },
  });
  const result = await world.place.run(`${env} pach ${words}`, 150);
  expect(summaryOf(result)).toMatchObject({ state: 'success', datums: { processed: 1 } });
});

test.skipIf(!isHere)(
  'a datum that has more input than a pod may have on its disk is told before there are pods',
  async () => {
    const transform = { image: await busyboxImage(await dockerForTests()), cmd: ['true'] };
    await world.set({ pipeline: { name: 'large' }, input, transform, resource_limits: { disk: 2 } });
    const result = await world.run('large');
    expect(result.stderr).toMatch(
      /pipeline large: resource_limits.disk: a datum has 3 bytes of input, and a pod may have 2/,
    );
    expect(result.code).toBe(2);
    expect(await world.left()).toEqual([]);
  },
);
