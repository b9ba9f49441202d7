/**
 * pach worker as people use it: commands that stay up, jobs that are stopped, and what is wrong with a
 * command line or a machine.
 */
import { expect, test } from 'vitest';
import { linesOf, PipelinePlace, type RunLine } from '../pipelines/cli-world.ts';

/** Runs a pipeline of the place with one worker. */
async function ranElsewhere(here: PipelinePlace, name: string): Promise<RunLine | undefined> {
  const { stdout } = await here.shell(`
    pach worker & worker=$!
    pach run pipeline ${name} --pool store -o json
    kill $worker; wait $worker`);
  return linesOf<RunLine>(stdout)[0];
}

test('commands that stay up give what they give without workers', async () => {
  await using here = await PipelinePlace.make({ a: '1', b: '2', c: '3' });
  const loop = 'while e=$(next datum); do eval "$e"; echo up; test $(cat $in) != 2 || continue; cp $in /pfs/out/; done';
  const shown: unknown[] = [];
  for (const name of ['local', 'elsewhere']) {
    await here.spec(name, loop, { transform: { datum_batching: true } });
    await here.must(`pach create pipeline -f ${name}.json`);
    const line = name === 'local' ? (await here.run(name)).lines[0] : await ranElsewhere(here, name);
    const files = await here.must(`pach list file ${name}@master -r -o json | sed 's/"modified":"[^"]*"//'`);
    const logs = await here.must(`pach logs -p ${name} | sort`);
    shown.push({ state: line?.state, datums: line?.datums, files, logs });
  }
  expect(shown[1]).toEqual(shown[0]);
  expect(shown[0]).toMatchObject({ state: 'success', datums: { processed: 3 } });
});

test('a job that is stopped has its commands ended, and its worker goes on', async () => {
  await using here = await PipelinePlace.make({ a: '1' });
  await here.spec('p', 'echo begun; sleep 98123');
  await here.must('pach create pipeline -f p.json');
  await here.must(`
    pach worker 2> worker.txt & worker=$!
    pach run pipeline p --pool store > run.txt 2>&1 & run=$!
    until pach logs -p p | grep -q begun; do sleep 0.1; done
    pach stop job $(pach list job -p p -o json | sed 's/.*"job":"\\([^"]*\\).*/\\1/')
    wait $run; [ $? = 1 ]
    ! pgrep -f '[s]leep 98123'
    kill -0 $worker; kill $worker; wait $worker; [ $? = 130 ]`);
  expect(await here.must('cat run.txt')).toContain('killed');
  expect(await here.must('find $PACH_HOME/store/projects/default/work -type f; find $PACH_HOME/run -mindepth 1')).toBe(
    '',
  );
});

test('what is wrong is said', async () => {
  await using here = await PipelinePlace.make({ a: '1' });
  await here.spec('p', 'cp $in /pfs/out/');
  await here.must('pach create pipeline -f p.json');
  expect(await here.shell('pach worker -j abcdef')).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('no such job'),
  });
  const workers = await here.shell('pach run pipeline p --pool store --workers 2');
  expect(workers).toMatchObject({ code: 2, stderr: expect.stringContaining('pach worker') });
  // Another PATH finds other programs.
  await here.must(`
    pach run pipeline p --pool store 2> told & run=$!
    PATH=/nowhere:$PATH pach worker 2> other & other=$!
    until grep -q differs other; do sleep 0.1; done
    kill $other; wait $other
    pach worker & worker=$!
    wait $run; ended=$?; kill $worker; wait $worker; exit $ended`);
  for (const file of ['told', 'other']) expect(await here.must(`cat ${file}`)).toContain('it differs in: environment');
  const job = (await here.must(`pach list job -p p -o json | sed 's/.*"job":"\\([^"]*\\).*/\\1/'`)).trim();
  // Its job has ended: there is nothing to do.
  expect((await here.shell(`pach worker -j ${job.slice(0, 8)}`)).code).toBe(0);
});
