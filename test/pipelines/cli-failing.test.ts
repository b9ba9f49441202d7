/**
 * Commands that fail, hang or are broken off: what is said, what stays, and what the next run does.
 */
import { expect, test } from 'vitest';
import { isLong } from '../support/long.ts';
import { PipelinePlace } from './cli-world.ts';

const three = { '1': '1', '2': '2', '3': '3' };
const failsAt2 = 'test $(cat $in) != 2 || { echo oh no >&2; exit 7; }; cp $in /pfs/out';

test('a failed datum fails the job, and its siblings stay', async () => {
  await using here = await PipelinePlace.make({ '1': '1', '3': '3' });
  await here.spec('p', failsAt2, { datum_tries: 2 });
  const good = await here.ran('-f p.json');
  await here.put('in', { '2': '2', '4': '4' });
  const { code, lines, stderr } = await here.run('p');
  expect(code).toBe(1);
  expect(lines).toMatchObject([
    { state: 'failure', datums: { total: 4, processed: 1, skipped: 2, failed: 1 }, reason: '1 of 4 datums failed' },
  ]);
  const [{ job } = { job: '' }] = lines;
  expect(stderr).toMatch(/datum [0-9a-f]{16}: the command ended with exit code 7; pach logs -j/);
  expect(lines[0]?.commit).toBe(job);
  expect(await here.files('p@master')).toEqual(['/1', '/3']);
  expect(await here.files(`p@${job}`)).toEqual(['/1', '/3', '/4']);
  expect(JSON.parse(await here.must('pach list branch p -o json'))).toMatchObject({ head: good.commit });
  const failed = (await here.datums(job)).find(({ state }) => state === 'failed');
  expect(failed).toMatchObject({ files: [{ path: '/2' }], why: 'the command ended with exit code 7' });
  const log = await here.must(`pach logs -j ${job} --datum ${failed?.id}`);
  expect(log.match(/oh no/g)).toHaveLength(2);
  const table = await here.must('pach list job');
  expect(table).toMatch(/\n[0-9a-f]{32} +p .* 1 \+ 2 \/ 4 +failure\n/);
  expect((await here.shell(`pach wait job ${job}`)).code).toBe(1);

  expect((await here.run('p')).lines).toMatchObject([{ datums: { processed: 0, skipped: 3, failed: 1 } }]);
  await here.must('pach delete file in@master:/2');
  expect(await here.ran('p')).toMatchObject({ datums: { total: 3, processed: 0 }, output: { added: 1 } });
});

test.each([
  ['kill -SEGV $$', {}, 'signal SIGSEGV ended the command'],
  ['exit 255', {}, 'the command ended with exit code 255'],
  ['sleep 60 & sleep 60', { datum_timeout: '1s' }, 'the command took longer than datum_timeout allows'],
  [
    'mkfifo /pfs/out/a-pipe',
    {},
    "pach can't store its output: /pfs/out/a-pipe: sockets, devices and FIFOs are not stored",
  ],
  [
    'head -c 2000000 /dev/zero > /pfs/out/x',
    { dev: { limits: { output: '1MB' } } },
    'the command wrote more to /pfs/out than dev.limits.output allows',
  ],
  ['', { transform: { cmd: ['no-such-program'] } }, 'the command did not start: there is no program no-such-program'],
  [
    '',
    { transform: { cmd: ['true'], working_dir: '/no-such' } },
    'the command did not start: there is no folder /no-such',
  ],
] as const)('%s %j: %s', async (script, more, why) => {
  await using here = await PipelinePlace.make({ a: 'a' });
  await here.spec('p', script, more);
  const { code, stderr } = await here.run('-f p.json');
  expect(code).toBe(1);
  expect(stderr).toContain(why);
  expect(stderr).not.toMatch(/\n\s+at /);
});

test('accepted exit codes are success, and err_cmd recovers', async () => {
  await using here = await PipelinePlace.make(three);
  await here.spec('ok', 'cp $in /pfs/out; exit 3', { transform: { accept_return_code: [3] } });
  expect(await here.ran('-f ok.json')).toMatchObject({ datums: { processed: 3 }, output: { added: 3 } });

  const errCmd = ['sh', '-c', 'echo handling $(cat $in)'];
  await here.spec('p', failsAt2, { datum_tries: 2, transform: { err_cmd: errCmd } });
  const first = await here.ran('-f p.json');
  expect(first).toMatchObject({ state: 'success', datums: { processed: 2, recovered: 1 }, output: { added: 2 } });
  expect((await here.must('pach logs -p p')).match(/handling 2/g)).toHaveLength(2);
  // Recovered is not computed: it is tried again each time.
  expect(await here.ran('p')).toMatchObject({
    datums: { processed: 0, skipped: 2, recovered: 1 },
    commit: first.commit,
  });

  await here.spec('p', failsAt2, { transform: { err_cmd: ['false'] } });
  expect((await here.run('-f p.json')).lines).toMatchObject([
    { state: 'failure', datums: { failed: 1, recovered: 0 } },
  ]);
});

test('a job that takes too long is killed, and its logs stay', async () => {
  await using here = await PipelinePlace.make(three);
  await here.spec('p', 'echo at $(cat $in); cp $in /pfs/out; test $(cat $in) != 2 || sleep 60', { job_timeout: '3s' });
  const { code, lines, stderr } = await here.run('-f p.json --workers 3');
  expect(code).toBe(1);
  expect(lines).toMatchObject([
    {
      state: 'killed',
      commit: null,
      datums: { total: 3, processed: 2 },
      reason: 'it took longer than job_timeout allows',
    },
  ]);
  expect(stderr).toContain(`job ${lines[0]?.job} of p: it took longer than job_timeout allows`);
  expect(await here.must('pach logs -p p')).toContain('at 2');
  expect((await here.run('p')).lines).toMatchObject([{ state: 'killed', datums: { total: 3, skipped: 2 } }]);
});

const begun = 'until pach logs -p p 2>/dev/null | grep -q begun; do sleep 0.2; done';
const left = 'find "$PACH_HOME/run" -mindepth 1; grep -c "$PACH_HOME" /proc/self/mounts; pgrep -cxf "sleep 98765"';

test.each(isLong ? ['INT', 'TERM', 'HUP'] : ['INT', 'HUP'])(
  'SIG%s in the middle ends it and leaves nothing; the next run goes on',
  async (signal) => {
    await using here = await PipelinePlace.make(three, 'user');
    await here.must('head -c 2000000 /dev/urandom > big; pach put file in@master:/big -f big');
    const script = 'test ! -s $in; cp $in /pfs/out; case $in in */3) echo begun; sleep 98765;; esac';
    await here.spec('p', script);
    const { stdout, stderr } = await here.shell(`
    pach run pipeline -f p.json --workers 4 -o json & run=$!
    ${begun}; sleep 1
    kill -${signal} $run; wait $run; echo code $?
    ${left}`);
    expect(stdout).toBe('code 130\n0\n0\n');
    // It says what is left, and where to go on.
    expect(stderr).toMatch(
      /(^|\n)pach: job [0-9a-f]{32} of p: it was interrupted: the results of 3 datums that it computed are kept; its output branch is unchanged\ntry: pach run pipeline p\n$/,
    );
    expect(JSON.parse(await here.must('pach inspect job p -o json'))).toMatchObject({
      state: 'killed',
      reason: 'it was interrupted',
    });
    // What is kept is what the next run does not compute.
    expect(await here.must('pach create pipeline -f p.json --dry-run -o json | grep -c skipped')).toBe('3\n');
    await here.spec('p', script.replace('98765', '0'));
    await here.must('pach update pipeline -f p.json');
    expect(await here.ran('p')).toMatchObject({ state: 'success', datums: { total: 4 } });
  },
);

test('an engine that is killed is followed by one that goes on; two at a time are refused', async () => {
  await using here = await PipelinePlace.make(three);
  await here.spec('p', 'cp $in /pfs/out; test -e /pfs/in/3 || exit 0; echo begun; sleep 87654', { job_timeout: '20s' });
  const { stdout } = await here.shell(`
    (pach run pipeline -f p.json & echo $! > pid; exec sleep 60) & # nobody waits for the engine
    ${begun}; sleep 1.5; run=$(cat pid)
    pach run pipeline p; echo second $?
    pach delete pipeline p; echo delete $?
    kill -9 $run; until grep -q '^State:.*Z' /proc/$run/status; do :; done
    sleep 0.5; pgrep -cxf "sleep 87654"
    pach wait job p; echo wait $?
    (sleep 2; pach stop job p) & stop=$!; pach run pipeline p -o json; echo third $?; wait $stop
    grep '^State' /proc/$run/status; kill %1`);
  expect(stdout).toContain('second 4\n');
  expect(stdout).toContain('delete 4\n0\nwait 1\n');
  expect(stdout).toContain('third 1\n');
  expect(stdout).toContain('State:\tZ');
  const jobs = (await here.must('pach list job -p p -o json')).trim().split('\n');
  // The same job went on.
  expect(jobs).toHaveLength(1);
  expect(JSON.parse(jobs[0] as string)).toMatchObject({
    state: 'killed',
    reason: 'it was stopped',
    datums: { processed: 2 },
  });
});
