/**
 * The cluster of a run: `KUBECONFIG`'s. Each test file has a namespace of its own in it.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { Cluster } from '../../../src/kubernetes/client/cluster.ts';
import { Connection } from '../../../src/kubernetes/client/connection.ts';
import type { KubeObject } from '../../../src/kubernetes/client/objects.ts';

export interface TestNamespace extends AsyncDisposable {
  readonly name: string;
  /** An administrator's way to it. */
  readonly cluster: Cluster;
  readonly kubeconfig: string;
}

export function adminKubeconfig(): string {
  const file = process.env['KUBECONFIG'];
  if (file === undefined || file === '') throw new Error('KUBECONFIG is not set: run make test-kubernetes');
  return file;
}

/** A new namespace; `labels` such as the pod security standard that it enforces. It goes with all that is in it. */
export async function namespaceForTests(labels: Readonly<Record<string, string>> = {}): Promise<TestNamespace> {
  const kubeconfig = adminKubeconfig();
  const name = `pach-test-${randomBytes(4).toString('hex')}`;
  const cluster = await Cluster.open({ kubeconfig, namespace: name });
  await cluster.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
  return {
    name,
    cluster,
    kubeconfig,
    async [Symbol.asyncDispose]() {
      await cluster.remove({ kind: 'Namespace', name });
      cluster[Symbol.dispose]();
    },
  };
}

/** Part of a kubeconfig file. */
export interface KubeconfigFile {
  clusters: { name: string; cluster: Record<string, unknown> }[];
  contexts: { name: string; context: { cluster: string; user: string; namespace?: string } }[];
  users: { name: string; user: Record<string, unknown> }[];
  'current-context'?: string;
}

/** A copy of the administrator's kubeconfig, changed. */
export function changedKubeconfig(change: (file: KubeconfigFile) => void): { path: string } & Disposable {
  const file = parse(readFileSync(adminKubeconfig(), 'utf8')) as KubeconfigFile;
  change(file);
  const dir = mkdtempSync(join(tmpdir(), 'pach-kubeconfig-'));
  const path = join(dir, 'config');
  writeFileSync(path, stringify(file), { mode: 0o600 });
  return { path, [Symbol.dispose]: () => rmSync(dir, { recursive: true }) };
}

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  /** Only these objects. */
  readonly resourceNames?: readonly string[];
}

/** The kubeconfig of a user who may do in a namespace what `rules` say, and nothing else. */
export async function restrictedUser(
  { name: namespace, cluster }: TestNamespace,
  rules: readonly Rule[],
): Promise<{ path: string } & Disposable> {
  const user = `user-${randomBytes(4).toString('hex')}`;
  const rbac = 'rbac.authorization.k8s.io';
  const objects: KubeObject[] = [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: user } },
    { apiVersion: `${rbac}/v1`, kind: 'Role', metadata: { name: user }, rules },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'RoleBinding',
      metadata: { name: user },
      roleRef: { apiGroup: rbac, kind: 'Role', name: user },
      subjects: [{ kind: 'ServiceAccount', name: user, namespace }],
    },
  ];
  for (const object of objects) await cluster.create(object);
  using connection = await Connection.open({ kubeconfig: adminKubeconfig(), namespace });
  const answer = (await connection.json({
    method: 'POST',
    path: `/api/v1/namespaces/${namespace}/serviceaccounts/${user}/token`,
    what: 'token',
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } },
  })) as { status: { token: string } };
  return changedKubeconfig((file) => {
    file.users = file.users.map((one) => ({ name: one.name, user: { token: answer.status.token } }));
  });
}

/** Calls until the answer is not undefined, and fails after a minute. */
export async function until<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  const end = performance.now() + 60_000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > end) throw new Error(`not after a minute: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
