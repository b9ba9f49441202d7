/**
 * Pods that can't run, in a real cluster: it still says why in the words that `pod-state` knows.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { KubeObject } from '../../src/kubernetes/client/objects.ts';
import { podObjects } from '../../src/kubernetes/objects/pods.ts';
import type { PodsPlan } from '../../src/kubernetes/objects/plan.ts';
import { hasWorkerCrashed, reasonOf, reasonOfEvent, workerText } from '../../src/kubernetes/pod-state.ts';
import { planOf } from '../pods/plans.ts';
import { namespaceForTests, until, type TestNamespace } from './support/cluster.ts';

let namespace: TestNamespace;

beforeAll(async () => {
  namespace = await namespaceForTests();
  await namespace.cluster.create({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'store' } });
});

afterAll(async () => {
  await namespace?.[Symbol.asyncDispose]();
});

/** Makes the objects of a plan, whose sidecar has no program of ours. */
async function start(name: string, fields: object, more: Partial<PodsPlan> = {}): Promise<void> {
  const own = { name, namespace: namespace.name, pods: 1, workerImage: 'busybox', image: 'busybox' };
  const plan = planOf(fields, { ...own, credentials: { kind: 'secret', name: 'store' }, ...more });
  for (const object of podObjects(plan)) await namespace.cluster.create(object);
}

/** What `look` says of the pod, or of an event about it, as soon as it says something. */
async function found<T>(
  name: string,
  look: (object: KubeObject) => T | undefined,
  kind: 'Pod' | 'Event' = 'Pod',
): Promise<T> {
  const { cluster } = namespace;
  return until(`${name} tells why it does not run`, async () => {
    const pods = await cluster.list('Pod', { labels: `job-name=${name}` });
    const objects =
      kind === 'Pod'
        ? pods
        : await cluster.list('Event', { fields: `involvedObject.name=${pods[0]?.metadata.name ?? 'none'}` });
    return objects.map(look).find((each) => each !== undefined);
  });
}

test('a node without the processor, an image that is not there, a secret that is not there', async () => {
  await start('gpu', { resource_limits: { gpu: { type: 'nvidia.com/mig-9g.90gb', number: 2 } } });
  await start('image', {}, { workerImage: 'localhost:1/none:v1' });
  await start('credentials', {}, { credentials: { kind: 'secret', name: 'absent' } });
  await start('volume', { transform: { secrets: [{ name: 'gone', mount_path: '/run/gone' }] } });
  expect(await found('gpu', reasonOf)).toEqual({
    kind: 'place',
    text: expect.stringMatching(/Insufficient nvidia\.com\/mig-9g\.90gb$/) as string,
  });
  expect(await found('image', reasonOf)).toEqual({
    kind: 'image',
    text: expect.stringMatching(/^the worker's image localhost:1\/none:v1 can't be had: .*localhost:1/) as string,
  });
  expect(await found('credentials', reasonOf)).toEqual({
    kind: 'setup',
    text: 'container worker: secret "absent" not found',
  });
  expect(await found('volume', reasonOfEvent, 'Event')).toEqual({ kind: 'setup', text: 'secret "gone" not found' });
});

test('a sidecar that ends at once: its last words are in its pod', async () => {
  await start('crash', {});
  const text = await found('crash', (pod) => (hasWorkerCrashed(pod) ? workerText(pod) : undefined));
  expect(text).toContain('worker');
  expect(text).toMatch(/^the worker does not come up: ./);
});
