/** What is wrong with a namespace for a job is told before the job's pods are asked for, and nothing is made. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { Cluster } from '../../src/kubernetes/client/cluster.ts';
import type { KubeObject } from '../../src/kubernetes/client/objects.ts';
import type { PodsPlan } from '../../src/kubernetes/objects/plan.ts';
import { podObjects } from '../../src/kubernetes/objects/pods.ts';
import { preflight } from '../../src/kubernetes/preflight.ts';
import type { MountRights } from '../../src/kubernetes/objects/plan.ts';
import { planOf } from '../pods/plans.ts';
import {
  changedKubeconfig,
  namespaceForTests,
  restrictedUser,
  until,
  type Rule,
  type TestNamespace,
} from './support/cluster.ts';

let namespace: TestNamespace;
let cluster: Cluster;

beforeAll(async () => {
  namespace = await namespaceForTests({ 'pod-security.kubernetes.io/enforce': 'restricted' });
  ({ cluster } = namespace);
  // The namespace's own service account is made a little later than it.
  await until('there is a service account', () => cluster.get({ kind: 'ServiceAccount', name: 'default' }));
});

afterAll(async () => {
  await namespace?.[Symbol.asyncDispose]();
});

/** The objects of a job with the Secret that its workers get. */
function objectsOf(plan: PodsPlan): KubeObject[] {
  const metadata = { name: plan.name, namespace: namespace.name };
  const own = { apiVersion: 'v1', kind: 'Secret', metadata, stringData: { AWS_SECRET_ACCESS_KEY: 'x' } };
  return [...podObjects({ ...plan, namespace: namespace.name }), own];
}

function failure(plan: PodsPlan): Promise<unknown> {
  return preflight(cluster, objectsOf(plan)).catch((error: unknown) => error);
}

const withSecret = (secret: object): PodsPlan => planOf({ transform: { secrets: [secret] } });

test('a job that can run passes, and nothing is made of it', async () => {
  expect(await preflight(cluster, objectsOf(planOf({ dev: { network: 'none' } })))).toEqual([]);
  for (const kind of ['Job', 'Pod', 'Secret', 'NetworkPolicy'] as const) expect(await cluster.list(kind)).toEqual([]);
});

test('a namespace that is not there', async () => {
  using elsewhere = await Cluster.open({ kubeconfig: namespace.kubeconfig, namespace: 'no-such-one' });
  await expect(preflight(elsewhere, objectsOf(planOf({})))).rejects.toMatchObject({
    code: 'not-found',
    what: 'namespace "no-such-one"',
    next: expect.stringMatching(/create namespace no-such-one$/),
  });
});

test('credentials that have expired, and a server that is not there', async () => {
  using expired = changedKubeconfig((file) => {
    file.users = file.users.map(({ name }) => ({ name, user: { token: 'expired' } }));
  });
  using stranger = await Cluster.open({ kubeconfig: expired.path, namespace: namespace.name });
  await expect(preflight(stranger, objectsOf(planOf({})))).rejects.toMatchObject({ code: 'denied' });
  using nowhere = changedKubeconfig((file) => {
    file.clusters = file.clusters.map(({ name, cluster: one }) => ({
      name,
      cluster: { ...one, server: 'https://127.0.0.1:1' },
    }));
  });
  using gone = await Cluster.open({ kubeconfig: nowhere.path, namespace: namespace.name });
  await expect(preflight(gone, objectsOf(planOf({})))).rejects.toMatchObject({
    code: 'unreachable',
    why: expect.stringContaining('https://127.0.0.1:1 does not answer'),
  });
});

test('secrets and keys that the spec names, by their names only', async () => {
  expect(await failure(withSecret({ name: 'db', key: 'password', env_var: 'P' }))).toMatchObject({
    code: 'not-found',
    what: 'secret "db"',
    next: expect.stringMatching(/ create secret generic db --from-literal=password=VALUE$/),
  });
  const metadata = { name: 'db' };
  await cluster.create({ apiVersion: 'v1', kind: 'Secret', metadata, stringData: { user: 'value-of-user' } });
  expect(await failure(withSecret({ name: 'db', key: 'user', env_var: 'U' }))).toEqual([]);
  const missing = await failure(withSecret({ name: 'db', key: 'password', env_var: 'P' }));
  expect(missing).toMatchObject({
    code: 'not-found',
    why: expect.stringMatching(/no key "password" .*\(it has user\)/),
  });
  expect(String((missing as Error).stack)).not.toContain('value-of-user');
  expect(await failure(planOf({ transform: { image_pull_secrets: ['registry'] } }))).toMatchObject({
    what: 'secret "registry"',
    next: expect.stringContaining('create secret docker-registry registry '),
  });
});

test('what the cluster would refuse: fields, pod security, classes, service accounts', async () => {
  const typo = planOf({ pod_patch: [{ op: 'add', path: '/hostnam', value: 'x' }] });
  expect(await failure(typo)).toMatchObject({
    code: 'usage',
    why: expect.stringContaining('spec.template.spec.hostnam'),
  });
  expect(await failure(planOf({ transform: { user: '0' } }))).toMatchObject({
    code: 'denied',
    what: `pods in namespace "${namespace.name}"`,
    why: expect.stringMatching(/^violates PodSecurity "restricted:latest"/),
    next: 'give transform.user the number of a user other than 0',
  });
  // Root only because nobody but root can look a name up.
  expect(await failure(planOf({ transform: { user: 'nobody' } }, { imageUser: '' }))).toMatchObject({
    code: 'denied',
    what: expect.stringMatching(/^image registry\.example\/edges@/),
    why: expect.stringContaining(`namespace "${namespace.name}" allows no root: set transform.user`),
    next: expect.stringMatching(/^docker run --rm --user nobody --entrypoint id registry\.example\/edges@\S+ -u$/),
    cause: { why: expect.stringContaining('violates PodSecurity "restricted:latest"') },
  });
  const rights: MountRights[] = [{ kind: 'privileged' }, { kind: 'device', resource: 'smarter-devices/fuse' }];
  for (const mounts of rights) {
    const next = 'leave --pods-mount out: inputs are written out then, which takes no right';
    expect(await failure(planOf({}, { mounts }))).toMatchObject({ code: 'denied', next });
  }
  const nodeCache = { place: { kind: 'path', path: '/var/cache/pach' }, bytesMax: 1e9 } as const;
  expect(await failure(planOf({}, { mounts: { kind: 'privileged' }, nodeCache }))).toMatchObject({
    code: 'denied',
    next: 'leave --pods-mount and --node-cache out: inputs are written out then, which takes no right',
  });
  const priority = planOf({ scheduling_spec: { priority_class_name: 'no-such-class' } });
  expect(await failure(priority)).toMatchObject({ code: 'denied', why: expect.stringContaining('no-such-class') });
  const account = planOf({ dev: { pod: { service_account: 'no-such-account' } } });
  expect(await failure(account)).toMatchObject({ code: 'denied', why: expect.stringContaining('no-such-account') });
});

test('a LimitRange below the spec, a quota that is too small for ever, and one that is used up for now', async () => {
  const limits = { apiVersion: 'v1', kind: 'LimitRange', metadata: { name: 'small' } };
  await cluster.create({ ...limits, spec: { limits: [{ type: 'Container', max: { memory: '512Mi' } }] } });
  const large = planOf({ resource_limits: { memory: '1Gi' } });
  // The server hears of a new limit a moment later.
  const refused = await until('the limit is heard of', async () => {
    const found = await failure(large);
    return Array.isArray(found) ? undefined : found;
  });
  expect(refused).toMatchObject({
    why: 'maximum memory usage per Container is 512Mi, but limit is 1Gi',
    next: expect.stringContaining('resource_limits'),
  });
  await cluster.remove({ kind: 'LimitRange', name: 'small' });

  const quota = (name: string, hard: object): Promise<KubeObject> =>
    cluster.create({ apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name }, spec: { hard } });
  await quota('few', { 'requests.cpu': '100m' });
  const never = await until('the quota is heard of', async () => {
    const found = await failure(planOf({}));
    return Array.isArray(found) ? undefined : found;
  });
  const advice = expect.stringContaining('resource_requests');
  expect(never).toMatchObject({ why: 'failed quota: few: must specify requests.cpu for: user', next: advice });
  const much = { code: 'denied', why: expect.stringContaining('exceeded quota: few'), next: advice };
  expect(await failure(planOf({ resource_requests: { cpu: 0.5 } }))).toMatchObject(much);
  await cluster.remove({ kind: 'ResourceQuota', name: 'few' });

  await quota('now', { pods: '1' });
  const spec = {
    containers: [{ name: 'other', image: 'busybox', imagePullPolicy: 'IfNotPresent', command: ['sleep', '1000'] }],
  };
  const security = { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } };
  const own = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
  await cluster.create({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'other' },
    spec: { securityContext: security, containers: spec.containers.map((each) => ({ ...each, securityContext: own })) },
  });
  const [hint] = await until('the quota is used up', async () => {
    const found = await failure(planOf({}));
    return Array.isArray(found) && found.length > 0 ? (found as string[]) : undefined;
  });
  expect(hint).toMatch(/^pods wait: .*exceeded quota: now, requested: pods=1, used: pods=1, limited: pods=1/);
  await cluster.remove({ kind: 'ResourceQuota', name: 'now' });
});

/** The rules of the Role that the guide shows. */
function documentedRules(): Rule[] {
  const page = readFileSync(join(import.meta.dirname, '../../src/cli/guide/kubernetes.md'), 'utf8');
  const block = /```yaml\n(apiVersion: rbac[\s\S]*?)```/.exec(page)?.[1] ?? '';
  return (parse(block) as { rules: Rule[] }).rules;
}

test('the Role of the guide is enough, and each right that is missing is named', async () => {
  const rules = documentedRules();
  const objects = objectsOf(planOf({ dev: { network: 'none' } }));
  using enough = await restrictedUser(namespace, rules);
  using user = await Cluster.open({ kubeconfig: enough.path, namespace: namespace.name });
  expect(await preflight(user, objects)).toEqual([]);

  using nobody = await restrictedUser(namespace, []);
  using stranger = await Cluster.open({ kubeconfig: nobody.path, namespace: namespace.name });
  await expect(preflight(stranger, objects)).rejects.toMatchObject({
    code: 'denied',
    what: `namespace "${namespace.name}" of context "${stranger.context}"`,
    why:
      'you have no right to: list, watch pods; list, watch events; ' +
      'list, watch, create, patch, delete jobs; create, delete networkpolicies; create, delete secrets',
    next: 'pach help kubernetes',
  });
  const without = rules.map((rule) => ({ ...rule, verbs: rule.verbs.filter((verb) => verb !== 'patch') }));
  using almost = await restrictedUser(namespace, without);
  using other = await Cluster.open({ kubeconfig: almost.path, namespace: namespace.name });
  await expect(preflight(other, objects)).rejects.toMatchObject({ why: 'you have no right to: patch jobs' });

  // What is only looked at is left out for whom may not look.
  const least = rules
    .filter(({ resources }) => resources[0] !== 'pods/log')
    .map((rule) => ({
      ...rule,
      verbs: rule.verbs.filter((verb) => (rule.resources[0] === 'pods' ? verb !== 'create' : verb !== 'get')),
    }));
  using blind = await restrictedUser(namespace, least);
  using last = await Cluster.open({ kubeconfig: blind.path, namespace: namespace.name });
  const named = objectsOf(withSecret({ name: 'unknown', key: 'password', env_var: 'P' }));
  expect(await preflight(last, named)).toEqual([]);
});
