/**
 * A promotion that takes no result on trust, on a real cluster: what was made here is made again in pods, and
 * moves nothing where that gives something else.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import type { PromotionInfo } from '../../src/shown/promotion.ts';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { restrictedUser } from './support/cluster.ts';
import { canRun, Running, summaryOf } from './support/running.ts';

/** Of a file with `where` in it, it writes something else in pods. */
const script = [
  'for f in /pfs/data/*; do cp $f /pfs/out/; done',
  'grep -q where /pfs/data/* && test -d /pach-run && echo pods >> $(ls /pfs/out/*)',
  'true',
];

/** The rules of the Role that the guide shows. */
function roleOfGuide(): Parameters<typeof restrictedUser>[1] {
  const page = readFileSync(new URL('../../src/cli/guide/promotion.md', import.meta.url), 'utf8');
  const [, text = ''] = /```yaml\n([^`]*name: pach-promotion\n[^`]*)```/.exec(page) ?? [];
  return (parse(text) as { rules: Parameters<typeof restrictedUser>[1] }).rules;
}

async function spec(): Promise<object> {
  return {
    pipeline: { name: 'copies' },
    input: { pfs: { repo: 'data', glob: '/*' } },
    parallelism_spec: { constant: 2 },
    transform: { image: await busyboxImage(await dockerForTests()), cmd: ['sh'], stdin: script },
    dev: { trust: 'recompute' },
  };
}

test.skipIf(!canRun)(
  'results of elsewhere are made again in pods: where one differs nothing is moved, and those that are the same are used',
  async () => {
    await using world = await Running.make({ a: 'one', b: 'where', c: 'three' });
    const { place, namespace } = world;
    await place.must(`cat > copies.json <<'END'\n${JSON.stringify(await spec())}\nEND`);
    const here = await place.run('pach run pipeline -f copies.json --branch trial --executor docker -o json', 150);
    expect(summaryOf(here).datums.processed).toBe(3);
    const words = `${world.inPods.replace('--executor kubernetes ', '')} -f copies.json -o json`;
    using user = await restrictedUser(namespace, roleOfGuide());
    const promote = async (more: string, path = user.path) => {
      const done = await place.run(`KUBECONFIG=${path} pach promote ${words} ${more}`, 150);
      if (!done.stdout.startsWith('{')) throw new Error(done.stderr);
      return { code: done.code, shown: JSON.parse(done.stdout) as PromotionInfo };
    };

    const planned = await promote('--dry-run', namespace.kubeconfig);
    expect(planned).toMatchObject({
      code: 10,
      shown: {
        pipelines: [{ verify: 3, datums: { total: 3, computed: 3, elsewhere: 3 } }],
        verified: [],
      },
    });
    expect(planned.shown.checks).toContainEqual({
      check: 'nodes for copies',
      state: 'ok',
      says: expect.stringMatching(/^\d+ nodes? (is|are) linux\//) as string,
      next: null,
    });

    const differs = await promote('--yes');
    expect(differs.shown.checks.filter(({ state }) => state === 'failed')).toEqual([]);
    expect(differs).toMatchObject({
      code: 10,
      shown: {
        changed: false,
        jobs: [],
        verified: [
          {
            pipeline: 'copies',
            compared: 3,
            different: 1,
            failed: 0,
            datums: [
              {
                files: [{ repo: 'data', path: '/b' }],
                madeBy: { job: summaryOf(here).job, executor: 'docker', place: null },
                output: { changed: 1, files: [{ path: '/b', old: { bytes: 5 }, new: { bytes: 10 } }] },
              },
            ],
          },
        ],
      },
    });
    // The right to see nodes is not needed.
    const nodes = differs.shown.checks.find(({ check }) => check === 'nodes for copies');
    expect(nodes).toMatchObject({ state: 'ok', says: expect.stringContaining('no right to list nodes') as string });
    expect(await namespace.cluster.list('Deployment')).toEqual([]);
    expect(await world.left()).toEqual([]);
    expect(await place.must('pach list pipeline -o json')).not.toContain(planned.shown.place);

    // What was the same is known to be so; the other one is no more.
    await place.must('printf two | pach put file data@master:/b -f -');
    const done = await promote('--yes');
    expect(done).toMatchObject({
      code: 0,
      shown: { verified: [], jobs: [{ state: 'success', datums: { total: 3, processed: 1, skipped: 2 } }] },
    });
    expect(await promote('--dry-run')).toMatchObject({
      code: 0,
      shown: { pipelines: [{ change: 'same', verify: 0 }] },
    });
  },
);
