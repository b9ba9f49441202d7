/**
 * The worker of a pod: its results are Docker's, and whatever is killed, nothing is lost or taken for done.
 */
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { busyboxImage, dockerForTests, type TestEngine } from '../support/docker.ts';
import { PipelinePlace } from '../pipelines/cli-world.ts';
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
  const find = `until job=$(ls store-link/projects/default/work 2>/dev/null | head -1); [ -n "$job" ] && [ -e store-link/projects/default/work/$job/offer ]; do sleep 0.05; done; echo $job`;
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
});
