/**
 * Pipelines in pods of a real cluster, end to end: the same results as Docker's, reasons of waiting,
 * and nothing left whatever happens.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { busyboxImage, dockerForTests, scratchImage } from '../support/docker.ts';
import { Place } from '../support/place.ts';
import { until as eventually } from './support/cluster.ts';
import { busybox as busyboxPod } from './support/pods.ts';
import { canRun, Running, summaryOf, type Summary } from './support/running.ts';

const files = { a: 'one', b: 'two', c: 'three' };
const input = { pfs: { repo: 'data', glob: '/*' } };
async function busybox(): Promise<string> {
  return busyboxImage(await dockerForTests());
}

test.skipIf(!canRun)('what Docker computed is not computed again in pods, and back; outputs are equal', async () => {
  const engine = await dockerForTests();
  const [image, scratch] = await Promise.all([busyboxImage(engine), scratchImage(engine)]);
  const specs = [
    {
      pipeline: { name: 'shell' },
      input,
      parallelism_spec: { constant: 2 },
      transform: {
        image,
        cmd: ['sh'],
        stdin: [
          'for f in /pfs/data/*; do wc -c < $f > /pfs/out/$(basename $f)',
          'done',
          'echo "$GREETING $(cat /code/word)"; test -s /pfs/data/*',
        ],
        env: { GREETING: 'hello' },
      },
      dev: { code: [{ from: './code', to: '/code' }] },
    },
    {
      pipeline: { name: 'scratch' },
      input,
      transform: { image: scratch, cmd: ['/busybox', 'cp', '-r', '/pfs/data', '/pfs/out/'] },
    },
  ];
  const worlds = await Promise.all([Running.make(files), Running.make(files)]);
  await using first = worlds[0];
  await using second = worlds[1];
  for (const { place } of worlds) await place.must('mkdir code && echo world > code/word');
  const outputs: unknown[] = [];
  for (const [world, ways] of [
    [first, ['--executor docker', first.inPods]],
    [second, [second.inPods, '--executor docker']],
  ] as const) {
    for (const spec of specs) {
      await world.set(spec);
      const { name } = spec.pipeline;
      const runs: Summary[] = [];
      for (const way of ways) {
        const result = await world.place.run(`pach run pipeline ${name} -o json ${way}`, 150);
        expect(result).toMatchObject({ code: 0 });
        runs.push(summaryOf(result));
      }
      expect(runs.map(({ datums }) => datums.processed)).toEqual([3, 0]);
      const logs = await world.place.must(`pach logs -j ${runs[0]?.job}`);
      expect(logs.match(/hello world/g) ?? []).toHaveLength(name === 'shell' ? 3 : 0);
      outputs.push(await world.output(name));
    }
    const jobs = await world.place.must('pach list job -p shell -o json');
    expect(jobs).toContain('"executor":"kubernetes"');
    expect(await world.left()).toEqual([]);
  }
  const [shell, copied, shellAgain, copiedAgain] = outputs;
  expect(shell).toEqual(shellAgain);
  expect(copied).toEqual(copiedAgain);
});

test.skipIf(!canRun)(
  'the reason why pods wait comes before all else, and ends the job when it has been long enough',
  async () => {
    await using world = await Running.make(files);
    const image = await busybox();
    const { cluster } = world.namespace;
    const transform = { image, cmd: ['true'] };
    await world.set({
      pipeline: { name: 'graphics' },
      input,
      transform,
      resource_limits: { gpu: { type: 'nvidia.com/gpu', number: 99 } },
    });
    const graphics = await world.run('graphics', '--pending-timeout 10s');
    const lines = graphics.stderr.split('\n').filter((line) => !line.includes('no registry gives it'));
    expect(lines[0]).toMatch(/^pach: graphics waits for pods: no node takes it: .*Insufficient nvidia.com\/gpu/);
    expect(graphics.code).toBe(1);
    expect(lines.at(1)).toMatch(/^pach: pods of graphics in namespace pach-test-.*: no node takes it: .*nvidia/);

    await world.set({ pipeline: { name: 'plain' }, input, transform });
    /** Runs it until it says why it waits, and interrupts it. */
    const until = async (reason: string, inPods: string): Promise<void> => {
      const words = `pach run pipeline plain ${inPods} 2> said & pid=$!`;
      const script = `${words}; until grep -q "${reason}" said; do kill -0 $pid || break; sleep 0.1; done; kill -INT $pid; wait $pid`;
      const { code } = await world.place.run(script, 150);
      expect({ code, said: await world.place.must('cat said') }).toMatchObject({ code: 130 });
    };
    const wrong = world.inPods.replace(/--worker-image \S+/, '--worker-image localhost/nobody/has-it:1');
    await until("plain waits for pods: the worker's image localhost/nobody/has-it:1 can't be had: ", wrong);

    const limits = { hard: { pods: '1' } };
    await cluster.create(busyboxPod('other', 'sleep 600'));
    await cluster.create({ apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'one' }, spec: limits });
    await eventually('the quota counts', async () => {
      const quota = await cluster.get({ kind: 'ResourceQuota', name: 'one' });
      const { used } = (quota?.['status'] ?? {}) as { used?: { pods?: string } };
      return used?.pods === '1' || undefined;
    });
    await until('plain waits for pods: the cluster refuses pods: .*exceeded quota: one', world.inPods);
    expect(await world.left()).toEqual([]);
    const jobs = await world.place.must('pach list job -p graphics -o json');
    expect(jobs).toMatch(/"state":"failure".*Insufficient nvidia/);
  },
);

test.skipIf(!canRun)(
  'a secret that is missing is named before pods are made; commands have it, and no credentials of ours',
  async () => {
    await using world = await Running.make({ a: 'one' });
    const { cluster } = world.namespace;
    const secrets = [{ name: 'login', key: 'password', env_var: 'PASSWORD' }];
    const cmd = ['sh', '-c', 'echo "$PASSWORD" > /pfs/out/seen; env'];
    await world.set({ pipeline: { name: 'secretive' }, input, transform: { image: await busybox(), cmd, secrets } });
    const without = await world.run('secretive');
    expect(without.code).toBe(3);
    expect(without.stderr).toMatch(/secret "login": namespace "pach-test-.*" has no such secret/);
    expect(await world.left()).toEqual([]);
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'login' },
      stringData: { password: 'sesame' },
    };
    await cluster.create(secret);
    expect(summaryOf(await world.run('secretive'))).toMatchObject({ state: 'success', datums: { processed: 1 } });
    expect((await world.place.must('pach get file secretive@master:/seen')).trim()).toBe('sesame');
    // Nothing of the store's.
    expect(await world.place.must('pach logs -p secretive')).not.toMatch(/AWS_|PACH_STORE/);
  },
);

test.skipIf(!canRun)(
  'whoever ends an engine or a pod: nothing is left in the cluster, and the job finishes in the end',
  async () => {
    await using world = await Running.make({ a: 'one' });
    const { place } = world;
    const { cluster } = world.namespace;
    const cmd = ['sh', '-c', 'until test -e /tmp/go; do sleep 0.1; done; cp /pfs/data/* /pfs/out/'];
    await world.set({ pipeline: { name: 'waits' }, input, transform: { image: await busybox(), cmd } });
    const start = (env = '') =>
      place.run(`${env} pach run pipeline waits -o json ${world.inPods} & echo $! > pid; wait $!`, 150);
    const end = (signal: string) => place.must(`kill -${signal} $(cat pid)`);

    const stopped = start();
    await world.podsRunning();
    const before = await world.left();
    // Another engine at the same time is told who has it, and touches nothing.
    const second = await place.run(`PACH_HOME=$PWD/elsewhere pach run pipeline waits ${world.inPods}`);
    expect(second).toMatchObject({
      code: 4,
      stderr: expect.stringMatching(/pipeline waits: .* is running it/) as string,
    });
    expect(await world.left()).toEqual(before);
    const { job } = JSON.parse((await place.must('pach list job -p waits -o json')).trim()) as { job: string };
    await place.must(`pach stop job ${job}`);
    expect(summaryOf(await stopped)).toMatchObject({ state: 'killed' });
    expect(await world.left()).toEqual([]);

    const interrupted = start();
    await world.podsRunning();
    await end('INT');
    expect(await interrupted).toMatchObject({ code: 130 });
    expect(await world.left()).toEqual([]);

    const killed = start();
    const [first = ''] = await world.podsRunning();
    await end('KILL');
    expect((await killed).code).not.toBe(0);
    // Whoever goes on, here from another home as on another laptop, removes the pods of before, and a pod that goes
    // away is replaced.
    const again = start('PACH_HOME=$PWD/elsewhere');
    const another = (...not: readonly string[]) =>
      eventually('another pod', async () => (await world.podsRunning()).find((name) => !not.includes(name)));
    const next = await another(first);
    await cluster.remove({ kind: 'Pod', name: next }, { graceSeconds: 0 });
    const third = await another(first, next);
    expect((await world.left()).filter((name) => name.startsWith('Job'))).toHaveLength(1);
    await cluster.exec(third, 'user', ['touch', '/tmp/go']);
    expect(summaryOf(await again)).toMatchObject({ state: 'success', datums: { processed: 1 } });
    expect(await world.left()).toEqual([]);
  },
);

test('a store that no pod reaches is refused before anything is asked of a cluster', async () => {
  await using place = await Place.make('root', { KUBECONFIG: '/nowhere' });
  await place.must('pach create repo data; echo x | pach put file data@master:/x -f -');
  await writeFile(
    join(place.dir, 's.json'),
    JSON.stringify({ pipeline: { name: 'p' }, input, transform: { cmd: ['true'] } }),
  );
  const folder = await place.run('pach run pipeline -f s.json --executor kubernetes');
  expect(folder.code).toBe(2);
  expect(folder.stderr).toMatch(/store .*: it is a folder of this machine, and pods of a cluster can't reach it/);
  expect(folder.stderr).toMatch(/pach push/);
  const keys = 'AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b';
  const words = '--executor kubernetes --store-in-cluster "s3://bucket/p?endpoint=http://127.0.0.1:1"';
  const loopback = await place.run(`${keys} pach run pipeline p ${words}`);
  expect(loopback.code).toBe(2);
  expect(loopback.stderr).toMatch(/--store-in-cluster .*a server that only this machine reaches/);
  const twice = await place.run('pach run pipeline p --executor kubernetes --pool store');
  expect(twice).toMatchObject({ code: 2, stderr: expect.stringContaining('pods are workers of the store') as string });
  const useless = await place.run('pach run pipeline p --namespace ml');
  expect(useless.code).toBe(2);
  expect(useless.stderr).toMatch(/--namespace: the executor process uses no cluster/);
});
