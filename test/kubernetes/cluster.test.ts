/** What tests in a cluster rely on: the worker image is there, and one address of the store holds for pods and this machine. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Place } from '../support/place.ts';
import { namespaceForTests, type TestNamespace } from './support/cluster.ts';
import { phase } from './support/pods.ts';
import { hasStore, ownCluster, storeForPods, workerImage } from './support/store.ts';

let namespace: TestNamespace;

beforeAll(async () => {
  namespace = await namespaceForTests({ 'pod-security.kubernetes.io/enforce': 'restricted' });
});

afterAll(async () => {
  await namespace?.[Symbol.asyncDispose]();
});

const hasImage = ownCluster !== undefined || process.env['PACH_TEST_LOAD'] !== undefined;

test.skipIf(!hasStore || !hasImage)(
  'a restricted pod of the worker image reads what this machine has stored',
  async () => {
    const { cluster } = namespace;
    const { url, env } = await storeForPods();
    await using place = await Place.make('root', { ...env, PACH_STORE: url });
    await place.must('pach create repo seen-by-pods');
    const security = {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      runAsNonRoot: true,
      seccompProfile: { type: 'RuntimeDefault' },
    };
    const container = {
      name: 'pach',
      image: workerImage,
      imagePullPolicy: 'IfNotPresent',
      args: ['list', 'repo', '-o', 'json'],
      env: Object.entries({ ...env, PACH_STORE: url }).map(([name, value]) => ({ name, value })),
      securityContext: security,
    };
    const spec = { restartPolicy: 'Never', automountServiceAccountToken: false, containers: [container] };
    await cluster.create({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'reader' }, spec });
    const ended = await phase(cluster, 'reader', 'Succeeded', 'Failed');
    const printed: Buffer[] = [];
    for await (const piece of cluster.logs('reader', 'pach')) printed.push(piece);
    const text = Buffer.concat(printed).toString('utf8');
    expect({ ended, text }).toEqual({ ended: 'Succeeded', text: expect.stringContaining('"repo":"seen-by-pods"') });
  },
);
