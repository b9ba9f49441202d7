/**
 * An experiment on a real cluster, as users do it: a graph on a branch beside production, with a controller of
 * its own, which moves nothing of production and goes without a trace.
 */
import { expect, test } from 'vitest';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { canRun, Running } from './support/running.ts';

interface Shown {
  readonly branch: string | null;
  readonly changed: boolean;
  readonly checks: readonly { readonly check: string; readonly state: string; readonly says: string }[];
  readonly controller: readonly { readonly kind: string; readonly name: string; readonly change: string }[];
  readonly pipelines: readonly {
    readonly pipeline: string;
    readonly change: string;
    readonly fields: readonly object[];
    readonly datums: { readonly total: number; readonly computed: number } | null;
  }[];
  readonly jobs: readonly { readonly pipeline: string; readonly state: string; readonly datums: object }[];
}

test.skipIf(!canRun)(
  'an experiment runs beside production on every put, moves none of its heads, and its end leaves nothing in the cluster',
  async () => {
    await using world = await Running.make({ a: 'one', b: 'three' });
    const { place, namespace } = world;
    const image = await busyboxImage(await dockerForTests());
    const spec = (name: string, repo: string, line: string) => ({
      pipeline: { name },
      input: { pfs: { repo, glob: '/*' } },
      transform: {
        image,
        cmd: ['sh'],
        stdin: [`for f in /pfs/${repo}/*; do ${line} $f > /pfs/out/$(basename $f)`, 'done'],
      },
    });
    const write = (name: string, ...specs: object[]) =>
      place.must(`mkdir -p ${name} && cat > ${name}/all.json <<'END'\n${JSON.stringify(specs)}\nEND`);
    await write('production', spec('sizes', 'data', 'wc -c'), spec('sums', 'sizes', 'md5sum'));
    await write('trial', spec('sizes', 'data', 'wc -lc'), spec('lines', 'sizes', 'cat'));
    const words = world.inPods.replace('--executor kubernetes ', '');
    const promote = async (more: string) => {
      const done = await place.run(`pach promote ${words} -o json ${more}`, 150);
      if (!done.stdout.startsWith('{')) throw new Error(done.stderr);
      return { code: done.code, shown: JSON.parse(done.stdout) as Shown };
    };
    const deployments = async () => (await namespace.cluster.list('Deployment')).map(({ metadata }) => metadata.name);
    const heads = () => place.must('pach inspect commit sizes@master -o json; pach inspect commit sums@master -o json');

    expect(await promote('-f production --yes')).toMatchObject({ code: 0, shown: { branch: null } });
    const before = await heads();
    const production = await deployments();

    const planned = await promote('-f trial --branch exp --dry-run');
    expect(planned.shown.checks.filter(({ state }) => state === 'failed')).toEqual([]);
    expect(planned).toMatchObject({ code: 10, shown: { branch: 'exp', changed: true } });
    expect(planned.shown.pipelines).toMatchObject([
      { pipeline: 'sizes', change: 'added', fields: [{ field: 'transform.stdin' }], datums: { total: 2, computed: 0 } },
      { pipeline: 'lines', change: 'added', datums: null },
    ]);
    expect(await deployments()).toEqual(production);
    const printed = await place.must(
      `pach promote ${words} -f trial --branch exp --store-secret store --print | grep -c -e '- exp$'`,
    );
    expect(printed.trim()).toBe('1');

    const done = await promote('-f trial --branch exp --yes');
    expect(done).toMatchObject({ code: 0, shown: { changed: true } });
    expect(done.shown.jobs).toMatchObject([
      { pipeline: 'sizes', state: 'success', datums: { processed: 2 } },
      { pipeline: 'lines', state: 'success', datums: { processed: 2 } },
    ]);
    expect(await deployments()).toHaveLength(2);
    expect(await heads()).toBe(before);
    expect(await promote('-f trial --branch exp --yes')).toMatchObject({ code: 0, shown: { changed: false } });
    expect(await place.must('pach op log -n 1')).toContain('on branch exp');
    expect(await place.run('pach run pipeline lines --branch exp')).toMatchObject({ code: 4 });

    await place.must("printf 'x\\ny' | pach put file data@master:/c -f -");
    expect(await place.run('pach wait commit lines@exp', 150)).toMatchObject({ code: 0 });
    expect(await place.run('pach wait commit sums@master', 150)).toMatchObject({ code: 0 });
    expect((await place.must('pach get file lines@exp:/c')).trim().split(/\s+/).slice(0, 2)).toEqual(['1', '3']);
    expect(await place.must('pach get file sizes@master:/c')).toContain('3');
    const status = JSON.parse(await place.must('pach status -o json')) as { engines: { branch: string | null }[] };
    expect(new Set(status.engines.map(({ branch }) => branch))).toEqual(new Set(['exp', null]));

    const after = await heads();
    await place.must(`pach demote --branch exp --namespace ${namespace.name}`);
    expect(await deployments()).toEqual(production);
    const left = await Promise.all(
      (['ServiceAccount', 'Role', 'RoleBinding', 'Secret'] as const).map((kind) => namespace.cluster.list(kind)),
    );
    expect(left.flat().filter(({ metadata }) => metadata.name?.includes('-exp-'))).toEqual([]);
    expect(await heads()).toBe(after);
    expect(await place.must('pach list file lines@exp')).toContain('/c');
    expect(await place.run(`pach demote --branch exp --namespace ${namespace.name}`)).toMatchObject({ code: 3 });
    // What production runs, it runs still.
    await place.must('printf four | pach put file data@master:/d -f -');
    expect(await place.run('pach wait commit sums@master', 150)).toMatchObject({ code: 0 });
    await place.must(`pach demote sizes sums --namespace ${namespace.name}`);
    expect(await world.left()).toEqual([]);
  },
);
