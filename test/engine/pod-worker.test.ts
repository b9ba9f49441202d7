/**
 * The worker of a pod: its results are Docker's, and whatever is killed, nothing is lost or taken for done.
 */
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { connectTo } from '../../src/base/unix-socket.ts';
import { Orders } from '../../src/execution/store/orders.ts';
import type { JobId } from '../../src/model/records/pipelines.ts';
import { openFolder } from '../../src/store/folder.ts';
import { busyboxImage, dockerForTests, type TestEngine } from '../support/docker.ts';
import { linesOf, PipelinePlace, type RunLine } from '../pipelines/cli-world.ts';
import { openTestProject } from '../versions/project.ts';
import { TestPod } from './pod-place.ts';

const isRoot = process.getuid?.() === 0;

/** Begins a job whose datums workers take from the store; resolves to its id once work is offered. */
async function begin(
  here: PipelinePlace,
  engine: TestEngine,
  pipeline: string,
): Promise<{ job: string; ended: Promise<number | null> }> {
  const script = `DOCKER_HOST=${engine.host} exec pach run pipeline ${pipeline} --executor docker --pool store -o json > ${pipeline}.run 2> ${pipeline}.told`;
  const child = here.place.start(['sh', '-c', script]);
  const ended = once(child, 'exit').then(([code]) => code as number | null);
  const find =
    'until offer=$(ls store-link/projects/default/work/*/offer 2>/dev/null); do sleep 0.05; done; basename $(dirname $offer)';
  await here.must(`ln -sfn ${here.place.store} store-link`);
  return { job: (await here.must(find)).trim(), ended };
}

const filesOf = (here: PipelinePlace, name: string): Promise<string> =>
  here.must(`pach list file ${name}@master -r -o json | sed 's/"modified":"[^"]*"//'`);

test.skipIf(!isRoot)('a pod gives what Docker gives, and what it computed Docker does not compute', async () => {
  const engine = await dockerForTests();
  const image = await busyboxImage(engine, { changes: ['ENV GREETING=hello', 'WORKDIR /home'] });
  await using here = await PipelinePlace.make({ a: '1', 'b/c': '2' });
  // More than is written out where there are mounts.
  await here.must(
    `head -c 2000000 /dev/zero | tr '\\0' x > big; pach put file in@master:/big -f big; mkdir code; echo 'echo of the code' > code/run.sh; echo one > single`,
  );
  const script =
    'sh /code/run.sh; cat /single; pwd; echo $GREETING $HOSTNAME $HOME; cp -r $in /pfs/out/; ls -la /pfs /tmp | cut -c1-10; touch /tmp/left';
  const code = [
    { from: 'code', to: '/code' },
    { from: 'single', to: '/single' },
  ];
  for (const name of ['p', 'q']) {
    await here.spec(name, script, { transform: { image }, dev: { code } });
    await here.must(`pach create pipeline -f ${name}.json`);
  }
  await here.must(`DOCKER_HOST=${engine.host} pach run pipeline q --executor docker --reprocess`);
  const { job, ended } = await begin(here, engine, 'p');
  await using pod = await TestPod.start(here, engine, { image, job, code: ['/code', '/single'] });
  expect(await ended).toBe(0);
  expect(await pod.launcherEnded()).toBe(0);
  expect(await pod.workerEnded()).toBe(0);
  expect(await filesOf(here, 'p')).toBe(await filesOf(here, 'q'));
  expect(await here.must('pach logs -p p | sort')).toBe(await here.must('pach logs -p q | sort'));
  await here.put('in', { new: '3' });
  const { stdout } = await here.shell(`DOCKER_HOST=${engine.host} pach run pipeline p --executor docker -o json`);
  expect(linesOf<RunLine>(stdout)[0]).toMatchObject({ datums: { processed: 1, skipped: 3 } });
});

test.skipIf(!isRoot)('a warm pod runs one job after another in its container, each with its own code', async () => {
  const engine = await dockerForTests();
  const image = await busyboxImage(engine);
  await using here = await PipelinePlace.make({ a: '1', b: '2' });
  const code = [
    { from: 'code', to: '/code' },
    { from: 'single', to: '/single' },
  ];
  await here.spec('p', 'sh /code/run.sh; cat /single; ls /code; cp -r $in /pfs/out/', {
    transform: { image },
    dev: { code },
  });
  await here.must('mkdir code; echo echo one > code/run.sh; echo first > single; echo > code/old');
  await here.must('pach create pipeline -f p.json');
  const first = await begin(here, engine, 'p');
  const project = openTestProject(await openFolder(here.place.store));
  await using orders = await Orders.begin(project, first.job as JobId);
  await using pod = await TestPod.start(here, engine, {
    image,
    job: first.job,
    code: ['/code', '/single'],
    isWarm: true,
  });
  const logs = (job: string) => here.must(`pach logs -j ${job} | cut -d' ' -f2 | sort -u | tr '\\n' ' '`);
  expect(await first.ended).toBe(0);
  expect(await logs(first.job)).toBe('first old one run.sh ');
  await here.must('rm code/old; echo echo two > code/run.sh; echo second > single; pach update pipeline -f p.json');
  const second = await begin(here, engine, 'p');
  await orders.workFor(second.job as JobId);
  expect(await second.ended).toBe(0);
  expect(await logs(second.job)).toBe('run.sh second two ');
  const { stdout } = await here.shell('pach inspect job p -o json');
  expect(stdout).toContain('"processed":2');
  expect((await pod.container.inspect()).State).toMatchObject({ Running: true });
  await orders[Symbol.asyncDispose]();
  expect([await pod.launcherEnded(), await pod.workerEnded()]).toEqual([0, 0]);
  expect(await here.must('find store-link/projects/default/work -type f')).toBe('');
});

test.skipIf(!isRoot)('whatever of a pod is killed, its datum is run again, and nothing is taken for done', async () => {
  const engine = await dockerForTests();
  const image = await busyboxImage(engine);
  await using here = await PipelinePlace.make({ a: '1' });
  await here.spec('p', 'echo begun; until [ -e /pfs/out/go ]; do sleep 0.05; done; cat $in > /pfs/out/go', {
    transform: { image },
  });
  await here.must('pach create pipeline -f p.json');
  const { job, ended } = await begin(here, engine, 'p');
  const work = `store-link/projects/default/work/${job}`;
  const claims = () => here.must(`ls ${work} | grep -c ^claim || :`);
  /** Its command runs, so often by now. Fails when its worker has ended. */
  const runs = ({ dir, worker }: TestPod, times = 1) =>
    here.must(
      `until [ "$(cat ${dir}/home/logs/${job}/* 2>/dev/null | grep -c begun)" = ${times} ]; do kill -0 ${worker.pid} || exit 1; sleep 0.05; done`,
    );
  const other = await here.shell(
    `PACH_STORE=${here.place.store} PACH_POD_UID=u PACH_STORE_ID=0123 pach worker -j ${job} --pod other`,
  );
  expect(other).toMatchObject({ code: 4, stderr: expect.stringContaining('it is another store') as string });
  // Somebody's own folder is not taken for a pod's.
  await here.must('mkdir -p mine/code && echo precious > mine/code/notes');
  const mine = await here.shell(`PACH_STORE=${here.place.store} pach worker -j ${job} --pod mine`);
  expect(mine).toMatchObject({ code: 2, stderr: expect.stringContaining('there is code in it') as string });
  expect(await here.must('cat mine/code/notes; ls -A mine')).toBe('precious\ncode\n');
  {
    await using pod = await TestPod.start(here, engine, { image, job });
    await runs(pod);
    pod.worker.kill('SIGKILL');
    expect(await pod.launcherEnded()).toBe(70);
  }
  {
    await using pod = await TestPod.start(here, engine, { image, job });
    await runs(pod);
    expect((await here.must(`strings ${work}/claim-*`)).includes(`pod ${pod.name}, ${pod.uid}`)).toBe(true);
    pod.worker.kill('SIGTERM');
    expect([await pod.workerEnded(), await pod.launcherEnded()]).toEqual([130, 70]);
    expect((await claims()).trim()).toBe('0');
  }
  {
    await using pod = await TestPod.start(here, engine, { image, job });
    await runs(pod);
    // As the kubelet does when a pod is deleted: SIGKILL would come much later.
    await pod.container.stop({ t: 60 });
    expect([await pod.launcherEnded(), await pod.workerEnded()]).toEqual([70, 0]);
    expect((await claims()).trim()).toBe('0');
  }
  await using pod = await TestPod.start(here, engine, { image, job });
  await runs(pod);
  await pod.container.kill();
  await here.must("until grep -q 'the launcher of this pod: it has gone' p.told; do sleep 0.05; done");
  await pod.launch();
  await runs(pod, 2);
  // A command can reach the socket too; it is no launcher.
  const stranger = await connectTo(join(pod.dir, 'run/socket'));
  // It may be closed before anybody listens for that.
  if (!stranger.closed) await once(stranger.resume(), 'close');
  await writeFile(join(pod.dir, 'slot/out/go'), '');
  expect(await ended).toBe(0);
  expect([await pod.launcherEnded(), await pod.workerEnded()]).toEqual([0, 0]);
  expect(linesOf<RunLine>(await here.must('cat p.run'))[0]).toMatchObject({
    state: 'success',
    datums: { processed: 1 },
  });
  expect(await here.must('find store-link/projects/default/work -type f')).toBe('');
});
