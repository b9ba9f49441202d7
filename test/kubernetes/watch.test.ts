/** A watch tells each change once, whatever becomes of the way to the API server and of that itself. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { assert } from '../../src/base/errors.ts';
import { Cluster } from '../../src/kubernetes/client/cluster.ts';
import type { KubeObject } from '../../src/kubernetes/client/objects.ts';
import { namespaceForTests, until, type TestNamespace } from './support/cluster.ts';
import { faultyWay } from './support/way.ts';

const run = promisify(execFile);
const script = fileURLToPath(new URL('./cluster/kubernetes.sh', import.meta.url));

let namespace: TestNamespace;

beforeAll(async () => {
  namespace = await namespaceForTests();
});

afterAll(async () => {
  await namespace?.[Symbol.asyncDispose]();
});

function configMap(name: string, value: string): KubeObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels: { watched: 'yes' } }, data: { value } };
}

/** What a watch of the labelled config maps has told: `ADDED a=1`. */
class Told implements AsyncDisposable {
  readonly changes: string[] = [];
  readonly away: string[] = [];
  private readonly stop = new AbortController();
  private readonly watching: Promise<void>;

  constructor(cluster: Cluster) {
    this.watching = cluster.watch(
      'ConfigMap',
      { labels: 'watched=yes' },
      {
        each: (change, { kind, metadata, data }) => {
          assert(kind === 'ConfigMap', 'objects of a list have their kind');
          this.changes.push(`${change} ${metadata.name}=${(data as { value?: string }).value}`);
        },
        away: (error) => this.away.push(error?.code ?? 'back'),
        signal: this.stop.signal,
      },
    );
    this.watching.catch(() => undefined);
  }

  /** What is told next: as many changes as are awaited, and those that came with them. */
  async next(count: number): Promise<string[]> {
    await until(`a watch tells ${count} changes, not only ${this.changes.join(', ')}`, async () =>
      Promise.resolve(this.changes.length >= count || undefined),
    );
    return this.changes.splice(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop.abort();
    await this.watching;
  }
}

test('a closed connection, a version that is too old, and a server that is away lose and repeat nothing', async () => {
  const { cluster, name } = namespace;
  await using way = await faultyWay();
  using client = await Cluster.open({ kubeconfig: way.kubeconfig, namespace: name });
  await cluster.create(configMap('a', '1'));
  await using told = new Told(client);
  expect(await told.next(1)).toEqual(['ADDED a=1']);
  await cluster.patch({ kind: 'ConfigMap', name: 'a' }, { data: { value: '2' } });
  expect(await told.next(1)).toEqual(['MODIFIED a=2']);
  const follows = (): Promise<unknown> =>
    until('it watches', async () => Promise.resolve(way.watches > 0 || undefined));

  await follows();
  way.cut();
  await cluster.create(configMap('b', '1'));
  expect(await told.next(1)).toEqual(['ADDED b=1']);
  expect(told.away.splice(0)).toEqual(['unreachable', 'back']);

  await follows();
  const lists = (): number => way.requests.filter((path) => !path.includes('watch=1')).length;
  const before = lists();
  way.tooOld();
  await until('it lists again', async () => Promise.resolve(lists() > before || undefined));
  await cluster.patch({ kind: 'ConfigMap', name: 'b' }, { data: { value: '2' } });
  expect(await told.next(1)).toEqual(['MODIFIED b=2']);
  expect(told.away).toEqual([]);

  // Away for longer than a try: what was made, changed and removed meanwhile is told, by its last state.
  await follows();
  await way.away();
  await until('it is missed', async () => Promise.resolve(told.away.length > 0 || undefined));
  await cluster.remove({ kind: 'ConfigMap', name: 'a' });
  await cluster.create(configMap('c', '1'));
  await cluster.patch({ kind: 'ConfigMap', name: 'c' }, { data: { value: '2' } });
  await cluster.create(configMap('d', '1'));
  await cluster.remove({ kind: 'ConfigMap', name: 'd' });
  await way.back();
  expect(await told.next(2)).toEqual(['DELETED a=2', 'ADDED c=2']);
  expect(told.away).toEqual(['unreachable', 'back']);
});

test('requests meet a kept connection that was closed, and a server that is away is named', async () => {
  const { name } = namespace;
  await using way = await faultyWay();
  using client = await Cluster.open({ kubeconfig: way.kubeconfig, namespace: name });
  for (let each = 0; each < 5; each++) {
    await client.list('ConfigMap');
    way.cut();
  }
  await way.away();
  await expect(client.list('ConfigMap')).rejects.toMatchObject({
    code: 'unreachable',
    what: `the cluster of context "${client.context}"`,
    why: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+ does not answer: .*ECONNREFUSED/),
  });
});

test('rights that are missing end a watch at once, and so does what its listener throws', async () => {
  const { cluster } = namespace;
  const signal = AbortSignal.timeout(60_000);
  const wrong = cluster.watch('ConfigMap', { labels: 'not a selector' }, { each: () => undefined, signal });
  await expect(wrong).rejects.toMatchObject({ code: 'usage' });
  await cluster.create(configMap('e', '1'));
  const reason = new Error('enough');
  const each = (): never => {
    throw reason;
  };
  await expect(cluster.watch('ConfigMap', {}, { each, signal })).rejects.toBe(reason);
});

const programs = process.env['K8S_BIN'] ?? '';
const hasPrograms = existsSync(join(programs, 'kube-apiserver'));

test.skipIf(!hasPrograms)('a watch goes on with an API server that was killed and started again', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'pachmount-test-plane-'));
  const first = 21_000 + 20 * (randomBytes(2).readUInt16BE() % 400);
  const env = { ...process.env, K8S_NODE: 'no', K8S_PORT: String(first) };
  try {
    await run(script, ['up', dir], { env, timeout: 120_000 });
    using client = await Cluster.open({ kubeconfig: join(dir, 'kubeconfig') });
    await client.create(configMap('a', '1'));
    await using told = new Told(client);
    expect(await told.next(1)).toEqual(['ADDED a=1']);
    const [pid = ''] = readFileSync(join(dir, 'run/kube-apiserver.pid'), 'utf8').split(' ');
    process.kill(Number(pid), 'SIGKILL');
    await until('it is missed', async () => Promise.resolve(told.away.length > 0 || undefined));
    await run(script, ['up', dir], { env, timeout: 120_000 });
    await client.create(configMap('b', '1'));
    expect(await told.next(1)).toEqual(['ADDED b=1']);
    expect(told.away).toEqual(['unreachable', 'back']);
  } finally {
    await run(script, ['down', dir], { env });
    expect((await run(script, ['left', dir], { env })).stdout).not.toMatch(/^process/m);
    rmSync(dir, { recursive: true });
  }
});
