/** The client against a real API server: objects, logs, commands, ports, rights, and what refusals mean. */
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Cluster } from '../../src/kubernetes/client/cluster.ts';
import type { KubeObject } from '../../src/kubernetes/client/objects.ts';
import { changedKubeconfig, namespaceForTests, restrictedUser, type TestNamespace } from './support/cluster.ts';
import { busybox, running } from './support/pods.ts';

let namespace: TestNamespace;
let cluster: Cluster;

beforeAll(async () => {
  namespace = await namespaceForTests();
  ({ cluster } = namespace);
});

afterAll(async () => {
  await namespace?.[Symbol.asyncDispose]();
});

function configMap(name: string, data: Record<string, string>): KubeObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data };
}

test('an unknown field is refused and named, by each way of writing', async () => {
  const pod = busybox('typo', 'true', { restartPolicyy: 'Never' });
  const named = { code: 'usage', what: 'pod "typo"', why: expect.stringContaining('"spec.restartPolicyy"') };
  await expect(cluster.create(pod)).rejects.toMatchObject(named);
  await expect(cluster.create(pod, { dryRun: true })).rejects.toMatchObject(named);
  await expect(cluster.apply(pod)).rejects.toMatchObject({
    code: 'usage',
    why: expect.stringContaining('.spec.restartPolicyy'),
  });
  await cluster.create(configMap('strict', {}));
  const patched = cluster.patch({ kind: 'ConfigMap', name: 'strict' }, { dataa: {} });
  await expect(patched).rejects.toMatchObject({ code: 'usage', why: expect.stringContaining('"dataa"') });
  // A value that is wrong is named too.
  const wrong = busybox('wrong', 'true', { restartPolicy: 'Sometimes' });
  await expect(cluster.create(wrong)).rejects.toMatchObject({
    code: 'usage',
    why: expect.stringContaining('spec.restartPolicy'),
  });
  expect(await cluster.get({ kind: 'Pod', name: 'typo' })).toBeUndefined();
});

test('a dry run checks and does nothing', async () => {
  await cluster.create(configMap('dry', {}), { dryRun: true });
  await cluster.apply(configMap('dry', {}), { dryRun: true });
  expect(await cluster.get({ kind: 'ConfigMap', name: 'dry' })).toBeUndefined();
});

test('what is there is a conflict for create; apply makes it so, and meets other owners', async () => {
  await cluster.create(configMap('mine', { a: '1' }));
  await expect(cluster.create(configMap('mine', {}))).rejects.toMatchObject({
    code: 'conflict',
    what: 'config map "mine"',
  });
  await cluster.apply(configMap('applied', { a: '1' }));
  await cluster.apply(configMap('applied', { b: '2' }));
  expect(await cluster.get({ kind: 'ConfigMap', name: 'applied' })).toMatchObject({ data: { b: '2' } });
  // Made by a plain write under another operation: its field has another owner.
  await cluster.patch({ kind: 'ConfigMap', name: 'applied' }, { data: { b: '3' } });
  const conflict = { code: 'conflict', why: expect.stringContaining('.data.b') };
  await expect(cluster.apply(configMap('applied', { b: '4' }))).rejects.toMatchObject(conflict);
  await cluster.apply(configMap('applied', { b: '4' }), { force: true });
  expect(await cluster.get({ kind: 'ConfigMap', name: 'applied' })).toMatchObject({ data: { b: '4' } });
});

test('lists are whole objects, selected by label; what is removed may be removed again', async () => {
  const labelled = configMap('labelled', {});
  await cluster.create({ ...labelled, metadata: { ...labelled.metadata, labels: { group: 'one' } } });
  const [found, ...more] = await cluster.list('ConfigMap', { labels: 'group=one' });
  expect(more).toEqual([]);
  expect(found).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'labelled' } });
  const ref = { kind: 'ConfigMap', name: 'labelled' } as const;
  await cluster.remove(ref);
  await cluster.remove(ref);
  expect(await cluster.get(ref)).toBeUndefined();
});

test('a namespace that is not there is named, with a way to make it', async () => {
  await expect(
    cluster.create({ ...configMap('x', {}), metadata: { name: 'x', namespace: 'no-such-one' } }),
  ).rejects.toMatchObject({
    code: 'not-found',
    what: 'namespace "no-such-one"',
    next: expect.stringMatching(/^kubectl --context \S+ create namespace no-such-one$/),
  });
});

test('values of secrets appear in no message', async () => {
  const value = 'not*base64*but*secret';
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'Wrong Name' }, data: { key: value } };
  const failure = (await cluster.create(secret).catch((error: unknown) => error)) as Error & { why: string };
  expect(failure).toMatchObject({ code: 'usage' });
  const labels = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'x', labels: { a: value } },
    stringData: { key: value },
  };
  const quoted = (await cluster.create(labels).catch((error: unknown) => error)) as Error & { why: string };
  expect(quoted.why).toContain('Invalid value: "…"');
  for (const { message, stack, cause } of [failure, quoted])
    expect(`${message}${stack}${String(cause)}`).not.toContain(value);
});

test('logs, commands and ports of a pod', async () => {
  await cluster.create(busybox('talks', 'echo first; nc -ll -p 8000 -e cat'));
  await running(cluster, 'talks');
  const lines: string[] = [];
  const stop = new AbortController();
  const follow = (async () => {
    for await (const piece of cluster.logs('talks', 'user', { follow: true, signal: stop.signal })) {
      lines.push(piece.toString('utf8'));
      stop.abort();
    }
  })();
  await follow.catch(() => undefined);
  expect(lines.join('')).toBe('first\n');

  const ended = await cluster.exec('talks', 'user', ['sh', '-c', 'wc -c; echo oops >&2; exit 3'], {
    stdin: Buffer.alloc(3_000_000, 'x'),
  });
  expect({ ...ended, output: String(ended.output), errors: String(ended.errors) }).toEqual({
    code: 3,
    output: '3000000\n',
    errors: 'oops\n',
  });
  const absent = cluster.exec('talks', 'user', ['no-such-program']);
  await expect(absent).rejects.toMatchObject({ what: 'pod "talks"', why: expect.stringContaining('no-such-program') });
  const elsewhere = cluster.exec('talks', 'other', ['true']);
  await expect(elsewhere).rejects.toMatchObject({ code: 'usage', why: expect.stringContaining('container other') });

  const port = await cluster.forward('talks', 8000);
  const sent = Buffer.alloc(1_000_000, 'abc');
  port.write(sent);
  const back: Buffer[] = [];
  let bytes = 0;
  for await (const piece of port as AsyncIterable<Buffer>) {
    back.push(piece);
    bytes += piece.length;
    if (bytes >= sent.length) break;
  }
  expect(Buffer.concat(back).equals(sent)).toBe(true);

  const nobody = await cluster.forward('talks', 8001);
  const [error] = (await once(nobody, 'error')) as [Error];
  expect(error).toMatchObject({ code: 'unreachable', why: 'nothing listens on port 8001' });
});

test('a command is given up, and its stream ends, when nobody waits for it any more', async () => {
  await cluster.create(busybox('waits', 'sleep 1000'));
  await running(cluster, 'waits');
  const reason = new Error('enough');
  await expect(
    cluster.exec('waits', 'user', ['sleep', '100'], { signal: AbortSignal.timeout(300) }),
  ).rejects.toMatchObject({
    name: 'TimeoutError',
  });
  await expect(cluster.exec('waits', 'user', ['true'], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
});

test('a restricted user learns which rights are missing, by review and by refusal', async () => {
  using user = await restrictedUser(namespace, [
    { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] },
    { apiGroups: ['batch'], resources: ['jobs'], verbs: ['create'] },
  ]);
  using restricted = await Cluster.open({ kubeconfig: user.path, namespace: namespace.name });
  const rights = [
    { verb: 'get', resource: 'pods' },
    { verb: 'create', resource: 'pods/exec' },
    { verb: 'create', resource: 'jobs', group: 'batch' },
    { verb: 'create', resource: 'jobs' },
    { verb: 'list', resource: 'secrets' },
  ];
  expect(await restricted.lacking(rights)).toEqual([rights[1], rights[3], rights[4]]);
  expect(await cluster.lacking(rights)).toEqual([]);
  await expect(restricted.list('Secret')).rejects.toMatchObject({
    code: 'denied',
    what: 'secrets',
    why: expect.stringMatching(/cannot list resource "secrets" .*namespace "pach-test-/),
    next: 'pach help kubernetes',
  });
  await expect(restricted.exec('talks', 'user', ['true'])).rejects.toMatchObject({
    code: 'denied',
    why: expect.stringContaining('"pods/exec"'),
  });
});

test('credentials that the cluster does not take are refused by the name of their context', async () => {
  using wrong = changedKubeconfig((file) => {
    file.users = file.users.map(({ name }) => ({ name, user: { token: 'expired' } }));
  });
  using stranger = await Cluster.open({ kubeconfig: wrong.path, namespace: namespace.name });
  const denied = { code: 'denied', what: `context "${stranger.context}"`, why: expect.stringContaining('expired') };
  await expect(stranger.list('Pod')).rejects.toMatchObject(denied);
  await expect(stranger.exec('talks', 'user', ['true'])).rejects.toMatchObject(denied);
});
