/**
 * What goes wrong beside a container of the user's while it reads, in a real cluster: servers that are killed, and
 * disks that are full.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { until } from './support/cluster.ts';
import { podNode, podProcess } from './support/pod-processes.ts';
import { apply, ended, hasKubectl, podThat, statusOf, worldWithSecret, type Status } from './support/sidecars.ts';
import type { Running } from './support/running.ts';

const mounted = 'data@master --container main --kind pod --pods-mount privileged';
const restricted = {
  runAsUser: 1000,
  runAsNonRoot: true,
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
};

/** Of ours, as the node sees them. */
const mountsOfNode = (): string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8').match(/.*fuse\.pachmount.*kubelet.*/g) ?? [];

/** With a file that is read in parts. */
async function worldOfLarge(): Promise<Running> {
  const world = await worldWithSecret({ a: 'one' });
  await world.place.must('head -c 9000000 /dev/urandom > large; pach put file data@master:/large -f large');
  return world;
}

/** Resolves when the container has made the file. */
async function made({ namespace }: Running, pod: string, path: string): Promise<void> {
  await until(`${pod} has made ${path}`, async () => {
    const { code } = await namespace.cluster.exec(pod, 'main', ['test', '-e', path]).catch(() => ({ code: 1 }));
    return code === 0 || undefined;
  });
}

test.skipIf(!hasKubectl)(
  'a server that is killed is followed by another; without its sidecar a container gets an error',
  async () => {
    await using world = await worldOfLarge();
    const { cluster } = world.namespace;
    const script = [
      'exec 3< /pfs/data/large; head -c 9 <&3 > /tmp/read; echo > /tmp/begun; until [ -e /tmp/on ]; do sleep 0.1; done',
      'cat <&3 >> /tmp/read; md5sum < /tmp/read; echo > /tmp/done; until [ -e /tmp/last ]; do sleep 0.1; done',
      'ls /pfs/data; echo result > /pfs/out/file && echo written',
    ];
    await apply(world, podThat('reads', { args: ['sh', '-c', script.join('\n')] }), mounted);
    await made(world, 'reads', '/tmp/begun');
    const uid = (await cluster.get({ kind: 'Pod', name: 'reads' }))?.metadata.uid ?? '';
    process.kill(podNode(uid, '--max-semi-space-size=4'), 'SIGKILL');
    await cluster.exec('reads', 'main', ['touch', '/tmp/on']);
    await made(world, 'reads', '/tmp/done');
    // All of the sidecar ends with its first process.
    process.kill(podProcess(uid, 'sidecar', '--pod'), 'SIGKILL');
    await statusOf(
      world,
      'reads',
      ({ initContainerStatuses: [worker] = [] }) => worker?.lastState?.terminated !== undefined,
    );
    await cluster.exec('reads', 'main', ['touch', '/tmp/last']);
    const { exitCode, log } = await ended(world, 'reads');
    expect(log).toContain((await world.place.must('md5sum < large')).split(' ')[0]);
    expect(log).toContain('Transport endpoint is not connected');
    // Results don't go through the mount.
    expect({ exitCode, last: log.trim().split('\n').at(-1) }).toEqual({ exitCode: 0, last: 'written' });
    await world.place.must('./kubectl delete pod reads --timeout=60s');
  },
);

test.skipIf(!hasKubectl)(
  'a cache whose disk is full is done without, and results that find no room are not taken for put',
  async () => {
    await using world = await worldOfLarge();
    const { place } = world;
    const small = (mebibytes: number) => ({ emptyDir: { medium: 'Memory', sizeLimit: `${mebibytes}Mi` } });
    const sum = (await place.must('md5sum < large')).split(' ')[0];
    // The cache of a node.
    await apply(
      world,
      podThat('cache', { args: ['sh', '-c', 'md5sum < /pfs/data/large; md5sum < /pfs/data/large'] }),
      `${mounted} --node-cache /var/cache/none`,
      ({ spec }) => {
        const at = spec.volumes.findIndex(({ name }) => name === 'node-cache');
        spec.volumes[at] = { name: 'node-cache', ...small(4) };
      },
    );
    // The pod's own disk, where results lie too: of a command that fails then, and of one that goes on.
    const filling = 'md5sum < /pfs/data/large; dd if=/dev/zero of=/pfs/out/model bs=1M count=30 2>&1';
    for (const [name, end] of [
      ['out', ''],
      ['full', '; rm /pfs/out/model; echo result > /pfs/out/file; dd if=/dev/zero of=/pfs/out/more bs=4k; true'],
    ] as const) {
      const manifest = JSON.parse(
        podThat(name, { args: ['sh', '-c', filling + end], securityContext: restricted }),
      ) as {
        spec: { initContainers?: object[]; containers: object[] };
      };
      manifest.spec.initContainers = manifest.spec.containers;
      manifest.spec.containers = [];
      await apply(world, JSON.stringify(manifest), `${mounted} --put models@master:/${name}/`, ({ spec }) => {
        const at = spec.volumes.findIndex((volume) => volume.name === 'pachmount');
        spec.volumes[at] = { name: 'pachmount', ...small(16) };
      });
    }
    const cache = await ended(world, 'cache');
    expect(cache).toEqual({ exitCode: 0, log: `${sum}  -\n${sum}  -\n` });
    const isOver = ({ phase }: Status): boolean => phase === 'Failed' || phase === 'Succeeded';
    expect(await statusOf(world, 'out', isOver)).toMatchObject({ phase: 'Failed' });
    const log = await place.must('./kubectl logs out -c main');
    expect(log).toContain(sum);
    expect(log).toContain('No space left on device');
    // What is written whole is put whole, without a byte of disk left.
    expect(await statusOf(world, 'full', isOver)).toMatchObject({ phase: 'Succeeded' });
    expect(await place.must('pach get file models@master:/full/file')).toBe('result\n');
    expect(await place.must('pach list file models@master:/ -o json')).not.toContain('/out');
  },
);

test.skipIf(!hasKubectl)('a pod can be deleted at any step of its mounts, and nothing stays', async () => {
  await using world = await worldOfLarge();
  const { cluster } = world.namespace;
  const steps: Readonly<Record<string, (status: Status) => boolean>> = {
    seen: () => true,
    sidecar: ({ initContainerStatuses: [worker] = [] }) => 'running' in (worker?.state ?? {}),
    main: ({ containerStatuses: [main] = [] }) => 'running' in (main?.state ?? {}),
  };
  for (const [name, isReached] of Object.entries(steps)) {
    const script = 'while :; do cat /pfs/data/large > /dev/null; done';
    await apply(world, podThat(name, { args: ['sh', '-c', script] }), mounted);
    await statusOf(world, name, isReached);
    await world.place.must(`./kubectl delete pod ${name} --timeout=60s`);
  }
  expect(await cluster.list('Pod')).toEqual([]);
  expect(mountsOfNode()).toEqual([]);
});

test.skipIf(!hasKubectl)('a container finds no way from /pfs to the sidecar, and nothing of the store', async () => {
  await using world = await worldOfLarge();
  const secret = (await world.place.must('echo "$AWS_SECRET_ACCESS_KEY"')).trim();
  const script = [
    // What it has, was given, and can reach.
    'env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr "\\0" "\\n"; ls -a / /pach /pach-run /pach-bin /pfs /pfs/..',
    // Other programs in the places of ours, other mounts, and back to what lies under these.
    'for at in /pach-bin/launcher /pach-run/mounts /pach-run/socket /pfs/data/a /pfs/new; do (: > $at) 2>&1; rm -f $at 2>&1; done',
    'umount /pfs/data 2>&1; mount -t tmpfs none /pfs 2>&1; unshare -m true 2>&1; chroot /pfs/data /a 2>&1',
    'ln -s /pach/home /pfs/out/link && ls /pfs/out/link/ 2>&1',
    'cat /pfs/data/a && echo " still there"; echo end',
  ];
  const manifest = podThat('attacker', { args: ['sh', '-c', script.join('\n')], securityContext: restricted });
  await apply(world, manifest, mounted);
  const { exitCode, log } = await ended(world, 'attacker');
  expect(exitCode).toBe(0);
  expect(log).toContain('one still there\nend\n');
  expect(log).not.toContain(secret);
  expect(log).not.toMatch(/AWS_|PACH_STORE/);
  expect(log).toMatch(/\/pach: No such file or directory/);
  expect(log).toMatch(
    /umount: can't unmount \/pfs\/data: Operation not permitted|umount: .*permitted|must be superuser/,
  );
  for (const at of ['/pach-bin/launcher', '/pfs/data/a', '/pfs/new'])
    expect(log).toMatch(new RegExp(`can't create ${at}`));
  expect(log).toMatch(/ls: \/pfs\/out\/link\/: No such file/);
});
