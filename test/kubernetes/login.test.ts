/** Kubeconfigs as users have them: several files, no such context, login programs, tokens that expire meanwhile. */
import { createSign } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { Cluster } from '../../src/kubernetes/client/cluster.ts';
import {
  changedKubeconfig,
  namespaceForTests,
  restrictedUser,
  type KubeconfigFile,
  type TestNamespace,
} from './support/cluster.ts';
import { ownCluster } from './support/store.ts';

let namespace: TestNamespace;
let dir: string;
let token: string;

beforeAll(async () => {
  namespace = await namespaceForTests();
  dir = mkdtempSync(join(tmpdir(), 'pach-login-'));
  using user = await restrictedUser(namespace, [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }]);
  token = tokenOf(user.path);
});

afterAll(async () => {
  rmSync(dir, { recursive: true });
  await namespace?.[Symbol.asyncDispose]();
});

function tokenOf(path: string): string {
  const { users } = parse(readFileSync(path, 'utf8')) as KubeconfigFile;
  return String(users[0]?.user['token']);
}

function withUser(user: Record<string, unknown>): { path: string } & Disposable {
  return changedKubeconfig((file) => {
    file.users = file.users.map(({ name }) => ({ name, user }));
  });
}

function open(kubeconfig: string, context?: string): Promise<Cluster> {
  return Cluster.open({ kubeconfig, context, namespace: namespace.name });
}

/** A program that logs in: its script, as a user of a kubeconfig. */
function program(name: string, script: string): Record<string, unknown> {
  const command = join(dir, name);
  writeFileSync(command, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return { exec: { apiVersion: 'client.authentication.k8s.io/v1', command, interactiveMode: 'Never' } };
}

const credential = (text: string): string =>
  `echo "{\\"apiVersion\\": \\"client.authentication.k8s.io/v1\\", \\"kind\\": \\"ExecCredential\\", \\"status\\": {\\"token\\": \\"${text}\\"}}"`;

test('a kubeconfig or a context that is not there is named, with those that are', async () => {
  await expect(Cluster.open({ kubeconfig: join(dir, 'none') })).rejects.toMatchObject({
    code: 'not-found',
    what: join(dir, 'none'),
    why: 'there is no kubeconfig',
  });
  await expect(open(namespace.kubeconfig, 'prod')).rejects.toMatchObject({
    code: 'not-found',
    what: 'context "prod"',
    why: expect.stringMatching(/no such context \(it has .*\)$/),
  });
  writeFileSync(join(dir, 'broken'), 'clusters: [{}]\n');
  await expect(Cluster.open({ kubeconfig: join(dir, 'broken') })).rejects.toMatchObject({
    code: 'usage',
    what: join(dir, 'broken'),
    why: 'it is no kubeconfig: clusters[0].name is missing',
  });
  await expect(Cluster.open({ kubeconfig: '/dev/null' })).rejects.toMatchObject({
    code: 'usage',
    why: 'it is no kubeconfig: it has no clusters',
  });
  using dangling = changedKubeconfig((file) => (file.users = []));
  await expect(open(dangling.path)).rejects.toMatchObject({
    code: 'not-found',
    why: expect.stringContaining('no user'),
  });
});

test('files are merged as kubectl merges them: the first to name something wins', async () => {
  using first = changedKubeconfig((file) => {
    file.contexts = file.contexts.map(({ context }) => ({ name: 'mine', context: { ...context, namespace: 'own' } }));
    file['current-context'] = 'mine';
    file.users = file.users.map(({ name }) => ({ name, user: { token: 'wrong' } }));
  });
  const both = [first.path, join(dir, 'missing'), namespace.kubeconfig].join(':');
  using cluster = await Cluster.open({ kubeconfig: both });
  expect(cluster).toMatchObject({ context: 'mine', namespace: 'own' });
  await expect(cluster.list('Pod')).rejects.toMatchObject({ code: 'denied' });
  // The other way round the administrator's credentials come first.
  using admin = await Cluster.open({ kubeconfig: [namespace.kubeconfig, first.path].join(':'), context: 'mine' });
  expect(await admin.list('Pod')).toEqual([]);
});

test('a login program is told how it is asked, and runs once for many requests', async () => {
  const told = `case "$KUBERNETES_EXEC_INFO" in *ExecCredential*) ;; *) echo "not told" >&2; exit 1;; esac`;
  using config = withUser(program('login', `${told}\necho x >> ${dir}/calls\n${credential(token)}`));
  using cluster = await open(config.path);
  for (let each = 0; each < 3; each++) expect(await cluster.list('Pod')).toEqual([]);
  expect(readFileSync(join(dir, 'calls'), 'utf8')).toBe('x\n');
});

test('a login program that fails, or is not there, is named with what it says', async () => {
  using failing = withUser(program('failing', 'echo "please run: aws sso login" >&2; exit 255'));
  using one = await open(failing.path);
  const denied = {
    code: 'denied',
    what: `context "${one.context}"`,
    next: expect.stringContaining('kubectl --context'),
  };
  await expect(one.list('Pod')).rejects.toMatchObject({
    ...denied,
    why: `its login program ${dir}/failing failed: please run: aws sso login`,
  });
  using absent = withUser({ exec: { command: 'no-such-login', apiVersion: 'client.authentication.k8s.io/v1' } });
  using two = await open(absent.path);
  await expect(two.list('Pod')).rejects.toMatchObject({
    ...denied,
    why: expect.stringContaining('no-such-login failed'),
  });
  await expect(two.exec('pod', 'user', ['true'])).rejects.toMatchObject(denied);
});

test('credentials that have expired are read again from the kubeconfig, and are refused by name', async () => {
  using config = withUser({ token: 'expired' });
  using cluster = await open(config.path);
  await expect(cluster.list('Pod')).rejects.toMatchObject({
    code: 'denied',
    what: `context "${cluster.context}"`,
    why: expect.stringContaining('expired'),
  });
  // Somebody logs in again.
  const file = readFileSync(config.path, 'utf8');
  writeFileSync(config.path, file.replace('token: expired', `token: ${token}`));
  expect(await cluster.list('Pod')).toEqual([]);
  // And a program gives another token once the first is not taken any more.
  using rotating = withUser(
    program(
      'rotating',
      `if [ -e ${dir}/again ]; then ${credential(token)}; else touch ${dir}/again; ${credential('old')}; fi`,
    ),
  );
  using other = await open(rotating.path);
  expect(await other.list('Pod')).toEqual([]);
});

test.skipIf(ownCluster === undefined)('a token of the cluster whose time is over is expired credentials', async () => {
  const [head = '', body = ''] = token.split('.');
  const claims = JSON.parse(Buffer.from(body, 'base64url').toString('utf8')) as object;
  const key = readFileSync(join(ownCluster ?? '', 'pki/sa.key'));
  const now = Math.floor(Date.now() / 1000);
  const withToken = (exp: number): { path: string } & Disposable => {
    const changed = { ...claims, exp, iat: now - 7200, nbf: now - 7200 };
    const signed = `${head}.${Buffer.from(JSON.stringify(changed)).toString('base64url')}`;
    return withUser({ token: `${signed}.${createSign('RSA-SHA256').update(signed).sign(key, 'base64url')}` });
  };
  using valid = withToken(now + 3600);
  using inTime = await open(valid.path);
  expect(await inTime.list('Pod')).toEqual([]);
  using over = withToken(now - 60);
  using late = await open(over.path);
  await expect(late.list('Pod')).rejects.toMatchObject({ code: 'denied', what: `context "${late.context}"` });
});
