/**
 * Versions of repos in pods of the user's own, in a real cluster: the job of the guide, in a namespace that allows
 * nothing; and mounts, in a container that has no rights.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { namespaceForTests } from './support/cluster.ts';
import { apply, contextOf, ended, hasKubectl, podThat, statusOf, worldWithSecret } from './support/sidecars.ts';
import { workerImage } from './support/store.ts';

const guide = new URL('../../src/cli/guide/pods.md', import.meta.url);
const jobOfGuide = /```yaml\n(.*?)```/s.exec(readFileSync(guide, 'utf8'))?.[1] ?? '';
const files = { a: 'one', b: 'two', c: 'three' };

test.skipIf(!hasKubectl)('the job of the guide trains in two workers, and its results know their data', async () => {
  await using world = await worldWithSecret(files, {
    namespace: await namespaceForTests({ 'pod-security.kubernetes.io/enforce': 'restricted' }),
  });
  const { place } = world;
  // What the namespace refuses is told before there is a pod, with what helps.
  const context = await contextOf(world);
  const there = `--store-secret store --worker-image ${workerImage} --context ${context} --namespace ${world.namespace.name}`;
  const refused = await place.run(`pach print sidecar data@master --container main ${there} --pods-mount privileged`);
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toContain('leave --pods-mount out');
  await place.must(`pach print sidecar data@master --container main ${there}`);
  const pinned = (await place.must('pach inspect commit data@master -o json | grep -o \'"commit":"[0-9a-f]*"\'')).slice(
    10,
    42,
  );
  const job = jobOfGuide
    .replaceAll('/pfs/images', '/pfs/data')
    .replace('registry.example.org/train:1', 'busybox\n          imagePullPolicy: IfNotPresent');
  await apply(world, job, "data@master --container train --put 'models@master:/$(JOB_COMPLETION_INDEX)/'");
  // It is not what the pods are shown.
  await place.must('echo later | pach put file data@master:/later -f -');
  await place.must('./kubectl wait --for=condition=complete job/train --timeout=170s');
  const sums = await place.must('for n in 0 1; do pach get file models@master:/$n/model.txt; done | sort');
  expect(sums).toBe(await place.must("cd files; md5sum * | sed 's,  ,  /pfs/data/,' | sort"));
  const lineage = await place.must('pach lineage models@master -o json');
  expect(lineage).toContain(pinned);
  expect(lineage).toContain('declared');
});

test.skipIf(!hasKubectl)('a container without rights sees a mount, and is the command itself', async () => {
  await using world = await worldWithSecret(files);
  const script = [
    'cat /pfs/data/*; echo; grep " /pfs/data " /proc/mounts; grep CapEff /proc/self/status; id -u',
    'tr "\\0" " " < /proc/1/cmdline; touch /pfs/data/new; echo result > /pfs/out/file; exit 7',
  ].join('; ');
  const rights = {
    securityContext: { runAsUser: 1000, allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
  };
  const mounted = 'data@master --container main --kind pod --pods-mount privileged';
  await apply(world, podThat('mounted', { args: ['sh', '-c', script], ...rights }), mounted);
  // The command is on the command line, and is not there.
  await apply(world, podThat('absent', rights), `${mounted} -- no-such-program`);
  // What is mounted at such a volume would come to the node.
  const spec = JSON.parse(podThat('shared', { args: ['true'], securityContext: { privileged: true } })) as {
    spec: { containers: { volumeMounts?: object[] }[]; volumes?: object[] };
  };
  spec.spec.volumes = [{ name: 'own', emptyDir: {} }];
  spec.spec.containers[0]!.volumeMounts = [{ name: 'own', mountPath: '/pfs/data', mountPropagation: 'Bidirectional' }];
  await apply(world, JSON.stringify(spec), mounted);

  const { exitCode, log } = await ended(world, 'mounted');
  expect(log).toMatch(/^onetwothree\n/);
  expect(log).toMatch(/ \/pfs\/data fuse\.pachmount ro,nosuid,nodev/);
  expect(log).toMatch(/^CapEff:\t0{16}\n1000$/m);
  // Its first process.
  expect(log).toMatch(/^sh -c cat /m);
  expect(log).toContain('Read-only file system');
  expect(exitCode).toBe(7);
  expect(await ended(world, 'absent')).toMatchObject({ exitCode: 127 });
  const refused = await ended(world, 'shared');
  expect(refused.exitCode).toBe(70);
  expect(refused.log).toContain("/data: it can't be shown in a container (EPERM)");
  await world.place.must('./kubectl delete pod --all --timeout=60s');
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toMatch(
    /fuse\.pachmount.*\/kubelet\/|\/kubelet\/.*fuse\.pachmount/,
  );
});

test.skipIf(!hasKubectl)('without its data a pod does not begin, and says why', async () => {
  await using world = await worldWithSecret(files);
  const { place, namespace } = world;
  await apply(world, podThat('other', { args: ['true'] }), 'data@master --container main --kind pod', ({ spec }) => {
    const id = spec.initContainers[0]?.env.find(({ name }) => name === 'PACH_STORE_ID');
    if (id) id.value = '0'.repeat(32);
  });
  const status = await statusOf(world, 'other', ({ initContainerStatuses: [worker] = [] }) => {
    return worker?.lastState?.terminated?.message !== undefined;
  });
  expect(status.initContainerStatuses?.[0]?.lastState?.terminated?.message).toContain('it is another store here');
  expect(status.containerStatuses?.[0]?.state).toHaveProperty('waiting');
  // A Secret is looked for where the cluster is named.
  const context = await contextOf(world);
  const { stderr } = await place.run(
    `pach print sidecar data@master --container main --store-secret none --worker-image x --context ${context} --namespace ${namespace.name}`,
  );
  expect(stderr).toContain('secret "none"');
});
