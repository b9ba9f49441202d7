/**
 * Inputs that are mounted in pods, in a real cluster: the same outputs as of inputs that are written out, a
 * user's container without rights, and nothing that stays when servers, workers or pods are killed.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { until } from './support/cluster.ts';
import { nextPod } from './support/pods.ts';
import { podNode, podProcess } from './support/pod-processes.ts';
import { canRun, Running, summaryOf } from './support/running.ts';
import { ownCluster } from './support/store.ts';

/** Processes are killed on this machine, which is the node. */
const isNode = canRun && ownCluster !== undefined;
const privileged = '--pods-mount privileged';

/** With files that are small, and one that is too large to be written out where it can be mounted. */
async function worldOfFiles(): Promise<Running> {
  const world = await Running.make({ a: 'one', b: 'two' });
  await world.place.must('mkdir large; for n in 1 2 3; do head -c 700000 /dev/urandom > large/$n; done');
  await world.place.must('pach put file data@master:/large -r -f large/');
  return world;
}

async function sums(name: string, more: object = {}): Promise<object> {
  const image = await busyboxImage(await dockerForTests());
  const script = [
    'find /pfs/data -type f | sort | xargs md5sum > /pfs/out/sums',
    'grep " /pfs/" /proc/mounts; grep CapEff /proc/self/status; id -u',
    'touch /pfs/data/new && echo written',
    'umask 077; mkdir /pfs/out/own; echo own > /pfs/out/own/file',
  ];
  return {
    pipeline: { name },
    input: { pfs: { repo: 'data', glob: '/' } },
    transform: { image, user: '1000', cmd: ['sh', '-c', script.join('\n')] },
    ...more,
  };
}

test.skipIf(!canRun)('outputs are the same as with files that are written out, and commands get no right', async () => {
  await using world = await worldOfFiles();
  const onlyA = { repo: 'data', glob: '/a' };
  await world.set(await sums('mounted'));
  await world.set(await sums('written'));
  await world.set({ ...(await sums('small')), input: { pfs: onlyA } });
  await world.set({ ...(await sums('lazy')), input: { pfs: { ...onlyA, lazy: true } } });
  const logOf = async (name: string, words: string): Promise<string> => {
    const run = await world.run(name, words);
    expect(run).toMatchObject({ code: 0 });
    const { job, datums } = summaryOf(run);
    expect(datums.processed).toBe(1);
    return world.place.must(`pach logs -j ${job}`);
  };
  const none = '--pods-mount example.com/none';
  const [waiting, _, ...logs] = await Promise.all([
    world.run('lazy', `${none} --pending-timeout 10s`),
    // Small inputs are written out, so nothing is asked for that no node has; lazy ones are not.
    logOf('small', none),
    logOf('mounted', privileged),
    logOf('written', ''),
  ]);
  expect(waiting.code).not.toBe(0);
  expect(waiting.stderr).toContain('example.com/none');
  expect(await world.output('mounted')).toEqual(await world.output('written'));
  const [mounted, written] = logs;
  expect(mounted).toMatch(/ \/pfs\/data fuse\.pachmount ro,nosuid,nodev/);
  expect(written).not.toContain('fuse.pachmount');
  for (const log of logs) {
    expect(log).toMatch(/CapEff:\t0{16}\n.* 1000\n/);
    expect(log).toContain('Read-only file system');
  }
  expect(await world.left()).toEqual([]);
});

test.skipIf(!isNode)(
  'servers and workers that are killed leave no pod and no mount, and change no result',
  async () => {
    await using world = await worldOfFiles();
    // What a pod has fetched that is killed is for the next one.
    const cache = join(world.place.dir, 'node-cache');
    const { cluster } = world.namespace;
    const image = await busyboxImage(await dockerForTests());
    // It begins to read, and reads on when it is told to.
    const script =
      'exec 3< /pfs/data/large/1; head -c 9 <&3 > /dev/null; touch /tmp/begun; until [ -e /tmp/go ]; do sleep 0.1; done; find /pfs/data -type f | sort | xargs md5sum > /pfs/out/sums';
    await world.set({
      pipeline: { name: 'slow' },
      input: { pfs: { repo: 'data', glob: '/' } },
      transform: { image, cmd: ['sh', '-c', script] },
    });
    const ended = world.run('slow', `${privileged} --node-cache ${cache}`);
    const met = new Set<string>();
    const begun = (name: string): Promise<true> =>
      until('the command reads', async () => {
        const { code } = await cluster.exec(name, 'user', ['test', '-e', '/tmp/begun']).catch(() => ({ code: 1 }));
        return code === 0 || undefined;
      });

    // The worker with its mounts: the pod is given up, and its work is done by the next one.
    const first = await nextPod(world, met);
    await begun(first.name);
    expect(mountsOfNode()).toEqual([]);
    process.kill(podProcess(first.uid, 'worker', '--pod'), 'SIGKILL');
    // The server of the mount: another one goes on.
    const second = await nextPod(world, met);
    await begun(second.name);
    process.kill(podNode(second.uid, '--max-semi-space-size=4'), 'SIGKILL');
    await cluster.exec(second.name, 'user', ['touch', '/tmp/go']);
    const run = await ended;
    expect(run).toMatchObject({ code: 0 });
    expect(summaryOf(run).datums).toMatchObject({ processed: 1, failed: 0 });
    const put = 'cp -r large files/ && cd files && find . -type f | sort | xargs md5sum | sed s,./,/pfs/data/,';
    expect(await world.place.must('pach get file slow@master:/sums')).toBe(await world.place.must(put));
    expect(await world.left()).toEqual([]);
    expect(mountsOfNode()).toEqual([]);
  },
);

/** Of ours, as the node sees them. */
function mountsOfNode(): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return lines.filter((line) => line.includes('fuse.pachmount') && line.includes('/kubelet/'));
}
