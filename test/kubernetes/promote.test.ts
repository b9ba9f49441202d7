/**
 * Promotion on a real cluster, as users do it: what was computed here is not computed there, what is so
 * already is not written, and a pipeline has one place at a time.
 */
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { Connection } from '../../src/kubernetes/client/connection.ts';
import type { KubeObject } from '../../src/kubernetes/client/objects.ts';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { canRun, Running, summaryOf } from './support/running.ts';
import { faultyWay } from './support/way.ts';

interface Shown {
  readonly place: string;
  readonly changed: boolean;
  readonly checks: readonly { readonly check: string; readonly state: string; readonly says: string }[];
  readonly controller: readonly { readonly kind: string; readonly change: string }[];
  readonly pipelines: readonly {
    readonly change: string;
    readonly fields: readonly object[];
    readonly datums: { readonly total: number; readonly computed: number };
  }[];
  readonly jobs: readonly { readonly state: string; readonly datums: { readonly processed: number } }[];
}

const files = { a: 'one', b: 'two', c: 'three' };

async function sizes(): Promise<object> {
  return {
    pipeline: { name: 'sizes' },
    input: { pfs: { repo: 'data', glob: '/*' } },
    transform: {
      image: await busyboxImage(await dockerForTests()),
      cmd: ['sh'],
      stdin: ['for f in /pfs/data/*; do wc -c < $f > /pfs/out/$(basename $f)', 'done'],
    },
  };
}

test.skipIf(!canRun)(
  'a spec that ran here runs there: nothing is computed again, a second promotion writes nothing, and it has one place',
  async () => {
    await using world = await Running.make(files);
    await using way = await faultyWay();
    const { place, namespace } = world;
    await place.must(`cat > sizes.json <<'END'\n${JSON.stringify(await sizes())}\nEND`);
    const here = await place.run('pach run pipeline -f sizes.json --branch trial --executor docker -o json', 150);
    expect(summaryOf(here).datums.processed).toBe(3);
    const words = `${world.inPods.replace('--executor kubernetes ', '')} -f sizes.json -o json`;
    const promote = async (more: string, kubeconfig = namespace.kubeconfig) => {
      const done = await place.run(`KUBECONFIG=${kubeconfig} pach promote ${words} ${more}`, 150);
      if (!done.stdout.startsWith('{')) throw new Error(done.stderr);
      return { code: done.code, shown: JSON.parse(done.stdout) as Shown };
    };
    const head = () => place.must('pach op log --all -o json | head -1');

    const before = await head();
    const planned = await promote('--dry-run');
    expect(planned.shown.checks.filter(({ state }) => state === 'failed')).toEqual([]);
    expect(planned.code).toBe(10);
    expect(planned.shown.pipelines[0]).toMatchObject({ change: 'added', datums: { total: 3, computed: 3 } });
    expect(await head()).toBe(before);
    expect(await world.left()).toEqual([]);

    // What is printed is what the server takes.
    const own = '--store-secret store --print';
    const printed = parseAllDocuments(await place.must(`pach promote ${words.replace('-o json', '')} ${own}`));
    const objects = printed.map((document) => document.toJS() as KubeObject);
    expect(objects.map(({ kind }) => kind)).toEqual(['ServiceAccount', 'Role', 'RoleBinding', 'Deployment']);
    for (const object of objects) await namespace.cluster.create(object, { dryRun: true });
    // Somebody else has an object of ours.
    using other = await Connection.open({ kubeconfig: namespace.kubeconfig, namespace: namespace.name });
    const [, role] = objects;
    await other.json({
      method: 'POST',
      path: `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace.name}/roles`,
      what: 'role',
      query: { fieldManager: 'other' },
      body: { ...role, rules: [] },
    });
    const refused = await promote('--yes');
    expect(refused.code).toBe(1);
    expect(refused.shown.checks.find(({ state }) => state === 'failed')?.says).toMatch(
      /role "pach-default.*conflict.*"other"/,
    );
    expect(await namespace.cluster.list('Deployment')).toEqual([]);
    expect(await head()).toBe(before);

    const done = await promote('--yes --force');
    expect(done.code).toBe(0);
    expect(done.shown.jobs).toMatchObject([{ state: 'success', datums: { processed: 0, skipped: 3, total: 3 } }]);
    const [there, trial] = (await place.must('pach list job -p sizes -o json')).trim().split('\n');
    expect(there).toContain('"executor":"kubernetes"');
    expect(trial).toContain('"executor":"docker"');

    const after = await head();
    const again = await promote('--yes', way.kubeconfig);
    expect(again).toMatchObject({ code: 0, shown: { changed: false } });
    const written = way.requests.filter(
      (url) => /fieldManager=/.test(url) && !/dryRun=All|selfsubject(?:access|rules)reviews/.test(url),
    );
    expect(written).toEqual([]);
    expect(await promote('--dry-run')).toMatchObject({ code: 0, shown: { changed: false } });
    expect(await head()).toBe(after);

    const run = await place.run(`pach run pipeline sizes ${world.inPods}`);
    expect(run.code).toBe(4);
    expect(run.stderr).toContain(`it was promoted to ${done.shown.place}`);
    await place.must('printf four | pach put file data@master:/d -f -');
    expect(await place.run('pach wait commit sizes', 150)).toMatchObject({ code: 0 });
    const [newest = ''] = (await place.must('pach list job -p sizes -o json')).split('\n');
    expect(JSON.parse(newest)).toMatchObject({ state: 'success', datums: { processed: 1, skipped: 3 } });

    await place.must(`pach demote sizes --namespace ${namespace.name}`);
    expect(await namespace.cluster.list('Deployment')).toEqual([]);
    expect(await world.left()).toEqual([]);
    expect(summaryOf(await world.run('sizes')).datums).toMatchObject({ processed: 0, skipped: 4 });
  },
);
