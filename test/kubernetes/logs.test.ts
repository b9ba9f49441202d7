/**
 * `pach logs -f` of a job in pods: what a command prints is shown while it runs, and what the store has in
 * the end comes to the same.
 */
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { until } from './support/cluster.ts';
import { canRun, Running, summaryOf } from './support/running.ts';

test.skipIf(!canRun)('what a datum prints in a pod is followed while it runs, each line once', async () => {
  await using world = await Running.make({ a: 'one' });
  const { place, namespace } = world;
  const image = await busyboxImage(await dockerForTests());
  const cmd = ['sh', '-c', 'echo begun; until test -e /tmp/go; do sleep 0.1; done; echo done'];
  await world.set({
    pipeline: { name: 'says' },
    input: { pfs: { repo: 'data', glob: '/*' } },
    transform: { image, cmd },
  });
  const running = world.run('says');
  const [pod = ''] = await world.podsRunning();
  const follower = place.start(['sh', '-c', `exec pach logs -p says -f --namespace ${namespace.name}`]);
  const ended = once(follower, 'exit');
  let shown = '';
  follower.stdout?.on('data', (bytes: Buffer) => (shown += bytes.toString()));
  await until('the first line is shown', () => Promise.resolve(shown.includes(' begun\n') || undefined));
  expect(shown).not.toContain('done');
  await namespace.cluster.exec(pod, 'user', ['touch', '/tmp/go']);
  expect(summaryOf(await running)).toMatchObject({ state: 'success', datums: { processed: 1 } });
  expect(await ended).toEqual([0, null]);
  expect(shown.match(/ (begun|done)$/gm)).toEqual([' begun', ' done']);
  expect(await place.must('pach logs -p says')).toBe(shown);
});
