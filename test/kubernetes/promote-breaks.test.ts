/**
 * Promotions that are broken off, met by others, or refused, and controllers that are killed: on a real cluster,
 * by a user who may do there what the guide's Role says, and nothing else.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import type { Kind } from '../../src/kubernetes/client/objects.ts';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { startRegistry } from '../support/image-registry.ts';
import { restrictedUser, until, type Rule } from './support/cluster.ts';
import { podProcess } from './support/pod-processes.ts';
import { nextPod } from './support/pods.ts';
import { canRun, Running } from './support/running.ts';
import { ownCluster } from './support/store.ts';

/** Processes are killed on this machine, which is the node. */
const isNode = canRun && ownCluster !== undefined;

/** Of the guide. */
function roleRules(): Rule[] {
  const page = readFileSync('src/cli/guide/promotion.md', 'utf8');
  const [, text = ''] = /```yaml\n(apiVersion: rbac[^`]*)```/.exec(page) ?? [];
  return (parse(text) as { rules: Rule[] }).rules;
}

interface Shown {
  readonly changed: boolean;
  readonly checks: readonly { readonly check: string; readonly state: string; readonly says: string }[];
  readonly jobs: readonly {
    readonly pipeline: string;
    readonly state: string;
    readonly datums: { processed: number };
  }[];
}

/** A pipeline of files, and one that a schedule runs, due once. */
function graph(image: string, version: string): object[] {
  const run = (...stdin: readonly string[]) => ({ image, cmd: ['sh'], stdin, env: { VERSION: version } });
  const start = new Date(Date.now() - 2 * 3_600_000).toISOString();
  return [
    {
      pipeline: { name: 'sizes' },
      input: { pfs: { repo: 'data', glob: '/*' } },
      transform: run('sleep 1; for f in /pfs/data/*; do wc -c < $f > /pfs/out/$(basename $f)', 'done'),
    },
    {
      pipeline: { name: 'clock' },
      input: { cron: { name: 'tick', spec: '@hourly', start } },
      transform: run('ls /pfs/tick > /pfs/out/ticks'),
    },
  ];
}

test.skipIf(!isNode)(
  'killed anywhere it leaves the old graph or the new one, and again finishes; two at once are one; a killed controller goes on',
  async () => {
    const image = await busyboxImage(await dockerForTests());
    await using world = await Running.make({ a: 'one', b: 'two' });
    const { place, namespace } = world;
    const { cluster } = namespace;
    using user = await restrictedUser(namespace, roleRules());
    const write = (version: string) =>
      place.must(`cat > graph.json <<'END'\n${JSON.stringify(graph(image, version))}\nEND`);
    await write('1');
    const words = `${world.inPods.replace('--executor kubernetes ', '')} -f graph.json -o json --yes`;
    const command = `KUBECONFIG=${user.path} exec pach promote ${words}`;
    const promote = async (more = ''): Promise<Shown> => {
      const { code, stdout, stderr } = await place.run(`${command} ${more}`, 150);
      if (code !== 0) throw new Error(`${code} ${stdout} ${stderr}`);
      return JSON.parse(stdout) as Shown;
    };
    const list = async () =>
      (await place.must('pach list pipeline -o json'))
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as { pipeline: string; place: string | null; version: number });
    const isThere = (kind: Kind, labels?: string) => async () =>
      (await cluster.list(kind, { labels }))[0] === undefined ? undefined : true;
    const ready = async () => {
      const [deployment] = await cluster.list('Deployment');
      return (deployment?.['status'] as { readyReplicas?: number } | undefined)?.readyReplicas === 1 ? true : undefined;
    };

    // In the middle of the look at the store, of the wait for the controller, and of the move.
    const steps: readonly [string, () => Promise<true | undefined>][] = [
      ['the probe', isThere('Job', 'pachmount.io/probe')],
      ['the controller', isThere('Deployment')],
      ['the move', ready],
    ];
    for (const [step, isReached] of steps) {
      const child = place.start(['bash', '-c', command]);
      await Promise.race([until(step, isReached), endedTooEarly(child, step)]);
      await killed(child);
      const places = new Set((await list()).map((each) => each.place));
      expect({ step, places: places.size }).toEqual({ step, places: Math.min(1, (await list()).length) });
    }
    const done = await promote();
    expect(done.jobs.map(({ pipeline, state }) => `${pipeline} ${state}`).toSorted()).toEqual([
      'clock success',
      'sizes success',
    ]);
    expect((await list()).map(({ pipeline, version }) => `${pipeline} ${version}`).toSorted()).toEqual([
      'clock 1',
      'sizes 1',
    ]);
    // A promoted schedule ticks there, once for what is due.
    expect((await place.must('pach list commit clock_tick@master -o json')).trim().split('\n')).toHaveLength(1);

    await write('2');
    const both = await Promise.all([promote(), promote()]);
    for (const { jobs } of both) for (const { state } of jobs) expect(state).toBe('success');
    expect(both.filter(({ changed }) => changed).length).toBeGreaterThan(0);
    const moves = (await place.must('pach op log -o json'))
      .split('\n')
      .filter((line) => line.includes('promote pipeline'));
    expect(moves.length).toBe(2);
    expect(await cluster.list('Deployment')).toHaveLength(1);
    expect((await list()).every(({ version }) => version === 2)).toBe(true);

    // The job that runs goes on in the next controller.
    const pods = await cluster.list('Pod', { labels: 'pachmount.io/controller' });
    const met = new Set((await cluster.list('Pod')).map(({ metadata }) => metadata.uid ?? ''));
    const controller = pods.find(({ metadata }) => metadata.deletionTimestamp === undefined)?.metadata.uid ?? '';
    await place.must('printf three | pach put file data@master:/c -f -');
    await nextPod(world, met);
    process.kill(podProcess(controller, 'serve'), 'SIGKILL');
    expect(await place.run('pach wait commit sizes', 150)).toMatchObject({ code: 0 });
    const jobs = (await place.must('pach list job -p sizes -o json')).trim().split('\n');
    expect(jobs).toHaveLength(3);
    expect(JSON.parse(jobs[0] ?? '')).toMatchObject({ state: 'success', datums: { processed: 1, skipped: 2 } });

    // Back to the first version, and away; undo says what becomes of it.
    const demote = (more = '') =>
      place.must(`KUBECONFIG=${user.path} pach demote sizes clock --namespace ${namespace.name} -o json ${more}`);
    expect(JSON.parse(await demote())).toMatchObject({
      controllerRemoved: false,
      versions: ['sizes', 'clock'].map((pipeline) => ({ pipeline, version: 1 })),
    });
    expect(await place.run('pach wait commit sizes', 150)).toMatchObject({ code: 0 });
    expect(JSON.parse(await demote())).toMatchObject({ controllerRemoved: true });
    expect(await cluster.list('Deployment')).toEqual([]);
    expect(await place.must('pach undo')).toContain(
      'if its controller is still there; pach promote makes sure of that',
    );
    await promote('--no-wait');
    expect(await cluster.list('Deployment')).toHaveLength(1);
    await place.must(`KUBECONFIG=${user.path} pach demote sizes clock --remove --namespace ${namespace.name}`);
    expect(await cluster.list('Deployment')).toEqual([]);
  },
);

/** Rejects when it ends by itself, with what it said. */
async function endedTooEarly(child: ChildProcess, step: string): Promise<never> {
  let said = '';
  child.stdout?.on('data', (text: Buffer) => (said += text.toString()));
  await once(child, 'exit');
  if (child.signalCode === 'SIGKILL') return new Promise(() => undefined);
  throw new Error(`it ended before ${step}: ${said}`);
}

/** Resolves once it has ended. */
async function killed(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

test.skipIf(!canRun)('what keeps a promotion from being carried out is told, and nothing is changed', async () => {
  const image = await busyboxImage(await dockerForTests());
  await using world = await Running.make({ a: 'one' });
  const { place, namespace } = world;
  const { cluster } = namespace;
  const secrets = [{ name: 'login', key: 'password', env_var: 'PASSWORD' }];
  const spec = {
    pipeline: { name: 'sizes' },
    input: { pfs: { repo: 'data', glob: '/*' } },
    transform: { image, cmd: ['true'], secrets },
  };
  await place.must(`cat > spec.json <<'END'\n${JSON.stringify(spec)}\nEND`);
  await cluster.create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'login' },
    stringData: { user: 'x' },
  });
  const words = `-f spec.json ${world.inPods.replace('--executor kubernetes ', '')}`;
  const failed = async (more: string, kubeconfig = namespace.kubeconfig): Promise<Record<string, string>> => {
    const env = `KUBECONFIG=${kubeconfig}`;
    const { code, stdout, stderr } = await place.run(`${env} pach promote -o json ${words} ${more}`);
    if (!stdout.startsWith('{')) throw new Error(stderr);
    const { changed, checks } = JSON.parse(stdout) as Shown;
    expect([code, changed]).toEqual([1, false]);
    return Object.fromEntries(checks.flatMap(({ check, state, says }) => (state === 'failed' ? [[check, says]] : [])));
  };
  const head = await place.must('pach op log --all -o json | head -1');

  expect(await failed('--yes')).toEqual({
    'pods of sizes': `secret "login": it has no key "password" in namespace "${namespace.name}" (it has user)`,
  });
  await cluster.patch({ kind: 'Secret', name: 'login' }, { stringData: { password: 'y' } });

  // Another store lies at the address that pods are given: a pod finds that out, and goes.
  const elsewhere = (await place.must('echo $PACH_STORE')).trim().replace('?', '/elsewhere?');
  await place.must(
    `pach --store '${elsewhere}' create project default || :; pach --store '${elsewhere}' create repo x`,
  );
  const other = await failed(`--yes --store-in-cluster '${elsewhere}'`);
  expect(Object.keys(other)).toEqual(['store from the cluster']);
  expect(other['store from the cluster']).toMatch(/another store here \([0-9a-f]{32}\) than where the pipelines/);
  expect(await cluster.list('Pod')).toEqual([]);

  // A user who may do nothing learns of all that is missing at once.
  using nobody = await restrictedUser(namespace, []);
  const { rights } = await failed('--yes', nobody.path);
  expect(rights).toContain('list, watch, create, patch, delete jobs; list, watch, create pods; list, watch events;');
  expect(rights).toContain('get, create, patch, delete deployments');

  // A registry that asks for a password that nobody has.
  await using registry = await startRegistry('somebody:$2y$05$8fPpL0y2yE1lmgTAvXMXJu4bfpTgXHwmXW3w4wA5oW7cNnEmR0D5K\n');
  const refused = await failed(`--yes --image-registry http://${registry.address}/team`);
  expect(refused['pipeline sizes']).toContain(registry.address);

  for (const [key, code] of [
    ['n', 1],
    ['C-c', 130],
  ] as const) {
    await using terminal = await place.terminal(`pach promote ${words}`, { columns: 200, rows: 60 });
    await terminal.waitFor(/Promote to .*\[y\/N\]/);
    if (key === 'n') await terminal.type('n\n');
    else await terminal.key(key);
    expect({ key, code: await terminal.exitCode() }).toEqual({ key, code });
  }
  expect(await place.must('pach op log --all -o json | head -1')).toBe(head);
  for (const kind of ['Deployment', 'Job', 'Role'] as const) {
    expect(await cluster.list(kind, { labels: 'app.kubernetes.io/managed-by=pach' })).toEqual([]);
  }

  // What is in a namespace that goes keeps it for a moment.
  const metadata = { name: 'stays', finalizers: ['pachmount.io/test'] };
  await cluster.create({ apiVersion: 'v1', kind: 'ConfigMap', metadata });
  await cluster.remove({ kind: 'Namespace', name: namespace.name });
  expect((await failed('--yes'))['cluster']).toMatch(/namespace ".*": it is being deleted from the cluster/);
  await cluster.patch({ kind: 'ConfigMap', name: 'stays' }, { metadata: { finalizers: null } });
});
