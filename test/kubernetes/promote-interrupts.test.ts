/**
 * Ctrl-C in the middle of a promotion on a real cluster: nothing is left of one that was the first, and of a
 * later one the graph that was there runs on.
 */
import { once } from 'node:events';
import { expect, test } from 'vitest';
import type { Kind } from '../../src/kubernetes/client/objects.ts';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { until } from './support/cluster.ts';
import { canRun, Running } from './support/running.ts';

test.skipIf(!canRun)(
  'at the look at the store and at the wait for the controller it leaves nothing, or the graph that was there',
  async () => {
    const image = await busyboxImage(await dockerForTests());
    await using world = await Running.make({ a: 'one' });
    const { place, namespace } = world;
    const { cluster } = namespace;
    const write = (version: string) => {
      const stdin = ['for f in /pfs/data/*; do cp $f /pfs/out', `echo ${version} >> /pfs/out/$(basename $f)`, 'done'];
      const spec = {
        pipeline: { name: 'p' },
        input: { pfs: { repo: 'data', glob: '/*' } },
        transform: { image, cmd: ['sh'], stdin },
      };
      return place.must(`cat > p.json <<'END'\n${JSON.stringify(spec)}\nEND`);
    };
    const words = `${world.inPods.replace('--executor kubernetes ', '')} -f p.json --yes -o json`;
    const managed = (kind: Kind) => cluster.list(kind, { labels: 'app.kubernetes.io/managed-by=pach' });
    const generation = async () => {
      const [deployment] = await cluster.list('Deployment');
      return (deployment?.metadata as { generation?: number } | undefined)?.generation ?? 0;
    };
    const probed = async () =>
      (await cluster.list('Job', { labels: 'pachmount.io/probe' })).length > 0 ? true : undefined;
    /** Ctrl-C once `isReached`. */
    const interrupted = async (
      step: string,
      more: string,
      isReached: () => Promise<true | undefined>,
    ): Promise<void> => {
      const child = place.start(['bash', '-c', `exec pach promote ${words} ${more}`]);
      const ended = once(child, 'exit');
      await until(step, isReached);
      child.kill('SIGINT');
      expect({ step, code: (await ended)[0] as unknown }).toEqual({ step, code: 130 });
      expect({ step, jobs: await managed('Job') }).toEqual({ step, jobs: [] });
    };
    const left = async () => {
      const kinds = ['Deployment', 'Role', 'RoleBinding', 'ServiceAccount', 'Secret', 'Pod'] as const;
      return (await Promise.all(kinds.map(managed))).flat().map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    };

    await write('first');
    const head = await place.must('pach op log --all -o json | head -1');
    await interrupted('the first look', '', probed);
    expect(await left()).toEqual([]);
    await interrupted('the first controller', '', async () => ((await generation()) > 0 ? true : undefined));
    expect(await left()).toEqual([]);
    expect(await place.must('pach op log --all -o json | head -1')).toBe(head);

    await place.must(`pach promote ${words}`);
    const before = await generation();
    await write('second');
    // Another controller, so that both steps come again.
    const other = '--pods-mount privileged';
    await interrupted('a later look', other, probed);
    expect(await generation()).toBe(before);
    await interrupted('a later controller', other, async () => ((await generation()) > before ? true : undefined));
    expect(JSON.parse(await place.must('pach list pipeline -o json'))).toMatchObject({ pipeline: 'p', version: 1 });
    await place.must('printf two | pach put file data@master:/b -f -');
    expect(await place.run('pach wait commit p', 150)).toMatchObject({ code: 0 });
    expect(await place.must('pach get file p@master:/b')).toBe('twofirst\n');

    // Again finishes.
    expect(JSON.parse(await place.must(`pach promote ${words} ${other}`))).toMatchObject({ changed: true });
    expect(await place.must('pach get file p@master:/b')).toBe('twosecond\n');
    await place.must(`pach demote p --remove --namespace ${namespace.name}`);
    expect(await left()).toEqual([]);
  },
);
