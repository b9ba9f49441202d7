/**
 * Services of a cluster that commands on this machine reach while `pach dev` runs, as a user reaches
 * them who may do nothing else.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { ForwardedServices } from '../../src/app/forwarded-services.ts';
import { serviceUse } from '../../src/app/services-here.ts';
import { Dev } from '../cli/dev-loop.ts';
import { PipelinePlace } from '../pipelines/cli-world.ts';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { namespaceForTests, restrictedUser, until, type Rule, type TestNamespace } from './support/cluster.ts';
import { busybox, running } from './support/pods.ts';

const guide = readFileSync(new URL('../../src/cli/guide/kubernetes.md', import.meta.url), 'utf8');

let namespace: TestNamespace;
let user: { path: string } & Disposable;

/** Says who it is, and then what it was told, until it has heard `end`. */
const answers = 'nc -ll -p 8000 -e sh -c \'hostname; while read line && [ "$line" != end ]; do echo "$line"; done\'';

async function serve(name: string, isReady = true): Promise<void> {
  const { apiVersion, kind, spec } = busybox(name, answers);
  const [container] = (spec as { containers: object[] }).containers;
  const ports = [{ name: 'sql', containerPort: 8000 }];
  const probe = isReady ? { tcpSocket: { port: 8000 } } : { exec: { command: ['false'] } };
  const readinessProbe = { ...probe, periodSeconds: 1 };
  const containers = [{ ...container, ports, readinessProbe }];
  const metadata = { name, labels: { app: 'db' } };
  await namespace.cluster.create({ apiVersion, kind, metadata, spec: { ...(spec as object), containers } });
}

function ready(name: string): Promise<true> {
  return until(`${name} is ready`, async () => {
    const { conditions = [] } = ((await namespace.cluster.get({ kind: 'Pod', name }))?.['status'] ?? {}) as {
      conditions?: { type: string; status: string }[];
    };
    return conditions.some(({ type, status }) => type === 'Ready' && status === 'True') || undefined;
  });
}

beforeAll(async () => {
  namespace = await namespaceForTests();
  const role = /```yaml\n([^`]*name: pach-forward\n[^`]*)```/.exec(guide)?.[1] ?? '';
  user = await restrictedUser(namespace, (parse(role) as { rules: Rule[] }).rules);
  const service = (name: string, spec: object) =>
    namespace.cluster.create({ apiVersion: 'v1', kind: 'Service', metadata: { name }, spec });
  const ports = [{ port: 5432, targetPort: 'sql' }];
  await service('db', { selector: { app: 'db' }, ports });
  await service('outside', { ports });
  await service('misnamed', { selector: { app: 'db' }, ports: [{ port: 5432, targetPort: 'other' }] });
  // One that runs, and takes no connections yet.
  await Promise.all([serve('one'), serve('two'), serve('unready', false)]);
  await Promise.all([ready('one'), ready('two'), running(namespace.cluster, 'unready')]);
});

afterAll(async () => {
  user?.[Symbol.dispose]();
  await namespace?.[Symbol.asyncDispose]();
});

async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  await once(server.close(), 'close');
  return port;
}

/** All that a connection gives that says `text` and `end`. */
async function ask(port: number, text = ''): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(`${text}end\n`);
  let said = '';
  for await (const piece of socket) said += String(piece);
  return said;
}

test('each connection gets to a ready pod; those that go are replaced without an end', async () => {
  const port = await freePort();
  const notes: string[] = [];
  const choice = { kubeconfig: user.path, namespace: namespace.name };
  const use = serviceUse(`${port}:svc/db:5432`);
  await using forwarded = await ForwardedServices.open([use], choice, (line) => notes.push(line));
  expect(forwarded.lines).toEqual([`127.0.0.1:${port} leads to service db:5432 of namespace ${namespace.name}`]);

  // By turns, and whole: more than what is under way at a time.
  const lines = 'a line that is sent and comes back\n'.repeat(30_000);
  const both = await Promise.all([ask(port, lines), ask(port)]);
  expect(new Set(both.map((said) => said.split('\n')[0]))).toEqual(new Set(['one', 'two']));
  expect(both[0]?.slice(both[0].indexOf('\n') + 1) === lines).toBe(true);

  await namespace.cluster.remove({ kind: 'Pod', name: 'one' });
  for (let times = 0; times < 3; times++) expect(await ask(port)).toBe('two\n');
  await namespace.cluster.remove({ kind: 'Pod', name: 'two' });
  await expect(ask(port)).rejects.toThrow('ECONNRESET');
  await expect(ask(port)).rejects.toThrow('ECONNRESET');
  expect(notes).toEqual(['service db:5432: service "db": none of its pods is ready']);
  await serve('three');
  await ready('three');
  expect(await ask(port)).toBe('three\n');

  // It is taken now, and whoever closes it has closed all.
  const taken = ForwardedServices.open([use], choice, () => undefined);
  const next = `--forward ${port + 10_000 > 65_535 ? port - 10_000 : port + 10_000}:svc/db:5432`;
  await expect(taken).rejects.toMatchObject({ code: 'conflict', what: `--forward ${port}:svc/db:5432`, next });
  const open = connect(port, '127.0.0.1');
  await once(open, 'data');
  await forwarded[Symbol.asyncDispose]();
  await once(open, 'close');
  await expect(ask(port)).rejects.toThrow('ECONNREFUSED');
});

test('what can never be reached is told before anything runs', async () => {
  const choice = { kubeconfig: user.path, namespace: namespace.name };
  const opened = async (text: string, from: object = choice): Promise<void> => {
    await using _ = await ForwardedServices.open([serviceUse(text)], from, () => undefined);
  };
  await expect(opened('svc/none:5432')).rejects.toMatchObject({ code: 'not-found', what: 'service "none"' });
  const port = { code: 'not-found', why: 'it has no TCP port 80 (it has 5432)' };
  await expect(opened('svc/db:80')).rejects.toMatchObject(port);
  const outside = { code: 'usage', why: 'it names no pods that a connection could go to' };
  await expect(opened('svc/outside:5432')).rejects.toMatchObject(outside);
  using reader = await restrictedUser(namespace, [{ apiGroups: [''], resources: ['services'], verbs: ['get'] }]);
  const rights = { code: 'denied', why: 'you have no right to: list pods; create pods/portforward' };
  await expect(opened('svc/db:5432', { ...choice, kubeconfig: reader.path })).rejects.toMatchObject(rights);
  // A name of a port that no container has, and a namespace in the service's name.
  const notes: string[] = [];
  const here = await freePort();
  const use = serviceUse(`${here}:svc/misnamed.${namespace.name}:5432`);
  await using _ = await ForwardedServices.open([use], { kubeconfig: user.path }, (line) => notes.push(line));
  await ready('three');
  await expect(ask(here)).rejects.toThrow('ECONNRESET');
  expect(notes).toEqual(['service misnamed:5432: service "misnamed": its pods have no port named "other"']);
});

test('commands of pach dev find a service by name and by variables, in containers too, unless they have no network', async () => {
  await ready('three');
  const engine = await dockerForTests();
  const image = await busyboxImage(engine);
  await using here = await PipelinePlace.make({ a: '1' }, 'root', { DOCKER_HOST: engine.host, KUBECONFIG: user.path });
  const script =
    'for host in db "$DB_SERVICE_HOST"; do echo end | busybox nc "$host" "$DB_SERVICE_PORT"; done > /pfs/out/said';
  await here.spec('p', script, { transform: { image } });
  for (const executor of ['process', 'docker']) {
    const words = ['--namespace', namespace.name, '--forward', `${await freePort()}:svc/db:5432`];
    await using dev = new Dev(here, ['-f', 'p.json', '--executor', executor, ...words]);
    expect((await dev.next('notice'))['line']).toContain('leads to service db:5432');
    expect(await dev.job()).toMatchObject({ state: 'success', datums: { processed: 1 } });
    expect(await here.read('p@dev-root:/said')).toBe('three\nthree\n');
    expect(await dev.interrupt()).toBe(130);
  }
  const offline = 'echo "$DB_SERVICE_HOST" > /pfs/out/said';
  await here.spec('p', offline, { transform: { image }, dev: { network: 'none' } });
  await using dev = new Dev(here, [
    '-f',
    'p.json',
    '--namespace',
    namespace.name,
    '--forward',
    `${await freePort()}:svc/db:5432`,
  ]);
  expect(await dev.job()).toMatchObject({ state: 'success' });
  expect(await here.read('p@dev-root:/said')).toBe('\n');
});
