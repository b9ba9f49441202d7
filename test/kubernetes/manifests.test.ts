/**
 * What a real API server says of the objects of each plan: their fields, and whether a namespace that
 * enforces "restricted" takes their pods.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { KubeObject } from '../../src/kubernetes/client/objects.ts';
import { podObjects } from '../../src/kubernetes/objects/pods.ts';
import type { PodsPlan } from '../../src/kubernetes/objects/plan.ts';
import { planOf, plans } from '../pods/plans.ts';
import { namespaceForTests, until, type TestNamespace } from './support/cluster.ts';

let namespace: TestNamespace;

beforeAll(async () => {
  namespace = await namespaceForTests({ 'pod-security.kubernetes.io/enforce': 'restricted' });
});

afterAll(async () => {
  await namespace?.[Symbol.asyncDispose]();
});

function objectsOf(plan: PodsPlan): KubeObject[] {
  return podObjects({ ...plan, namespace: namespace.name });
}

/** A pod of the Job, without what would have to be in the cluster first. */
function podOf(plan: PodsPlan): KubeObject {
  const [job] = objectsOf(plan);
  const { template } = (job as unknown as { spec: { template: { metadata: object; spec: object } } }).spec;
  const { serviceAccountName: _, runtimeClassName: __, ...spec } = template.spec as Record<string, unknown>;
  return { apiVersion: 'v1', kind: 'Pod', metadata: { ...template.metadata, name: 'pod' }, spec };
}

test.each(Object.entries(plans))('%s: every field is one that Kubernetes knows', async (_, plan) => {
  for (const object of objectsOf(plan)) {
    expect(await namespace.cluster.create(object, { dryRun: true })).toMatchObject({ kind: object.kind });
  }
});

const allowed = Object.entries(plans).filter(
  ([name]) => !['root', 'mounting', 'device', 'node-cache', 'node-claim'].includes(name),
);

test.each(allowed)('%s: "restricted" allows it', async (_, plan) => {
  expect(await namespace.cluster.create(podOf(plan), { dryRun: true })).toMatchObject({ kind: 'Pod' });
});

test('root is not allowed there, and what is wrong is told', async () => {
  await expect(namespace.cluster.create(podOf(plans['root'] as PodsPlan), { dryRun: true })).rejects.toMatchObject({
    code: 'denied',
    why: expect.stringContaining('runAsNonRoot'),
  });
});

test('a typo in a patch is named, from the server’s answer', async () => {
  const [job] = objectsOf(planOf({ pod_patch: [{ op: 'add', path: '/hostnam', value: 'x' }] }));
  await expect(namespace.cluster.create(job as KubeObject, { dryRun: true })).rejects.toMatchObject({
    code: 'usage',
    why: expect.stringContaining('spec.template.spec.hostnam'),
  });
});

test('a limit of the namespace below that of the spec, and a quota, say why', async () => {
  const { cluster } = namespace;
  const refusal = async (name: string, plan: PodsPlan): Promise<string> => {
    const [job] = objectsOf({ ...plan, name });
    await cluster.create(job as KubeObject);
    return until(`the pods of ${name} are refused`, async () => {
      const events = await cluster.list('Event', { fields: `involvedObject.kind=Job,involvedObject.name=${name}` });
      const failed = events.find((event) => event['reason'] === 'FailedCreate');
      return failed?.['message'] as string | undefined;
    });
  };
  const limits = { apiVersion: 'v1', kind: 'LimitRange', metadata: { name: 'small' } };
  await cluster.create({ ...limits, spec: { limits: [{ type: 'Container', max: { memory: '512Mi' } }] } });
  const large = planOf({ resource_limits: { memory: '1Gi' } });
  expect(await refusal('large', large)).toContain('maximum memory usage per Container is 512Mi, but limit is 1Gi');
  await cluster.remove({ kind: 'LimitRange', name: 'small' });
  const quota = { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'none' }, spec: { hard: { pods: '0' } } };
  await cluster.create(quota);
  await until('the quota is counted', async () => {
    const { status } = ((await cluster.get({ kind: 'ResourceQuota', name: 'none' })) ?? {}) as {
      status?: { hard?: object };
    };
    return status?.hard;
  });
  expect(await refusal('more', planOf({}))).toContain('exceeded quota: none');
});
