/**
 * The API server and the store are away for a while in the middle of a job: what was computed is neither lost nor
 * computed again.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readKubeconfig } from '../../src/kubernetes/client/kubeconfig.ts';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { changedKubeconfig, until } from './support/cluster.ts';
import { canRun, Running, summaryOf } from './support/running.ts';
import { ownCluster, storeAt, storeForPods } from './support/store.ts';
import { tcpProxy } from '../support/tcp-proxy.ts';

/** Pods write to this machine, which is the node. */
const isNode = canRun && ownCluster !== undefined;
const contentOf = (name: string): string => `content of ${name}`;
/** By hand: how long each is away at least. After 60 s, requests that were tried as long as usual would have been given up. */
const awaySeconds = Number(process.env['PACH_TEST_AWAY_SECONDS'] ?? 0);
const pause = (): Promise<void> => new Promise((go) => setTimeout(go, awaySeconds * 1000));
const names = Array.from({ length: 8 }, (_, n) => `file-${n}`);

test.skipIf(!isNode)('the API server, and then the store, are away in the middle of a job', async () => {
  const { server } = await readKubeconfig({ kubeconfig: process.env['KUBECONFIG'] });
  const api = new URL(server);
  await using apiWay = await tcpProxy({ host: api.hostname, port: Number(api.port) });
  using kubeconfig = changedKubeconfig((file) => {
    // By a name that its certificate does not have.
    const way = { server: `https://localhost:${apiWay.port}`, 'tls-server-name': 'kubernetes.default' };
    file.clusters = file.clusters.map(({ name, cluster }) => ({ name, cluster: { ...cluster, ...way } }));
  });
  const store = await storeForPods();
  await using storeWay = await tcpProxy({ host: '127.0.0.1', port: Number(new URL(store.endpoint).port) });
  const ways = { store: await storeAt(store, storeWay.port), kubeconfig: kubeconfig.path };
  await using world = await Running.make(Object.fromEntries(names.map((name) => [name, contentOf(name)])), ways);
  const seen = mkdtempSync(join(tmpdir(), 'pach-seen-'));
  /** So many commands may end. */
  let given = 0;
  const allow = (count: number): void => {
    for (let n = 0; n < count; n++) writeFileSync(join(seen, `token-${(given += 1)}`), '');
  };
  const ended = (): number => readdirSync(seen).filter((name) => name.startsWith('used-')).length;
  const begun = (): string[] => {
    return readdirSync(seen).includes('begun') ? readFileSync(join(seen, 'begun'), 'utf8').trim().split('\n') : [];
  };
  const script = [
    'name=$(basename /pfs/data/*)',
    'echo $name >>/seen/begun',
    'take() { for token in /seen/token-*; do mv $token /seen/used-$name 2>/dev/null && return; done; false; }',
    'until take; do sleep 0.1; done',
    'md5sum </pfs/data/$name >/pfs/out/$name',
  ];
  await world.set({
    pipeline: { name: 'sums' },
    input: { pfs: { repo: 'data', glob: '/*' } },
    transform: { image: await busyboxImage(await dockerForTests()), cmd: ['sh', '-c', script.join('\n')] },
    parallelism_spec: { constant: 2 },
    pod_patch: [
      { op: 'add', path: '/volumes/-', value: { name: 'seen', hostPath: { path: seen } } },
      { op: 'add', path: '/containers/0/volumeMounts/-', value: { name: 'seen', mountPath: '/seen' } },
    ],
  });
  const { place } = world;
  let isOver = false;
  const running = place.run(`pach run pipeline sums -o json ${world.inPods} 2>said`, 300);
  void running.then(() => (isOver = true));
  const told = (line: string) =>
    until(`the engine says: ${line}`, async () => {
      const said = await place.must('cat said');
      if (said.includes(line)) return true;
      if (isOver) throw new Error(`it has ended, and never said: ${line}\n${said}`);
      return undefined;
    });

  await until('commands run', async () => begun().length > 0 || undefined);
  apiWay.away();
  await told('pods go on without it');
  await pause();
  allow(3);
  await until('datums are run without it', async () => ended() === 3 || undefined);
  apiWay.back();
  await told('the cluster answers again');

  storeWay.away();
  await told('waiting for the store');
  allow(names.length - 3);
  await until('a command ends meanwhile', async () => ended() > 3 || undefined);
  await pause();
  storeWay.back();
  await told('the store answers again');

  const result = await running;
  expect(summaryOf(result)).toMatchObject({ state: 'success', datums: { processed: names.length, failed: 0 } });
  const said = (await place.must('cat said')).split('\n');
  expect(said.filter((line) => /pods go on|answers again|waiting for the store/.test(line))).toHaveLength(4);
  expect(begun().toSorted()).toEqual(names);
  expect(await world.left()).toEqual([]);
  const sums = names.map((name) => `${createHash('md5').update(contentOf(name)).digest('hex')}  -\n`);
  expect(await place.must('pach get file sums@master:/ -r -o got >&2 && cat got/*')).toBe(sums.join(''));
  await place.must('pach fsck');
  rmSync(seen, { recursive: true });
});
