/**
 * Outputs that do not meet what a spec expects of them, and jobs that go on without datums that failed,
 * as a user sees them.
 */
import { expect, test } from 'vitest';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { linesOf, PipelinePlace } from './cli-world.ts';

/** Looks at all that is promised of a check, and says so. */
const check = `ls /pfs; wc -c < /pfs/p/big; cat $p/1 "$(find /pfs/p -name 2)"; echo as=$PPS_PIPELINE_NAME job=$PACH_JOB_ID mode=$MODE out=$(ls /pfs/out | wc -l)
  (echo more >> /pfs/p/1) 2>/dev/null; test -e /app/check.sh || exit 9; exec sh /app/check.sh`;

async function placeWithCode(): Promise<PipelinePlace> {
  const here = await PipelinePlace.make({ '1': 'one', '2': 'two' });
  await here.must('mkdir code && echo "exit 4" > code/check.sh');
  // Inputs of this size are shown by a mount, which does not know an output that is in no commit yet.
  await here.must('head -c 1500000 /dev/zero > big && pach put file in@master:/big -f big');
  return here;
}

test('a check runs where the command runs, and rejects what it does not like', async () => {
  await using here = await placeWithCode();
  const expected = { check: ['sh', '-c', check] };
  const code = [{ from: './code', to: '/app' }];
  const more = { transform: { env: { MODE: 'fast' } }, dev: { code, expect: expected } };
  await here.spec('p', 'cp $in /pfs/out', more);
  await here.spec('q', 'cp $p /pfs/out', { input: { pfs: { repo: 'p', glob: '/*' } } });
  await here.must('pach create pipeline -f p.json && pach create pipeline -f q.json');
  const { code: exit, lines, stderr } = await here.run('q');
  const [{ job } = { job: '' }] = lines;
  const reason = expect.stringMatching(
    /^dev\.expect\.check: expected exit code 0 of sh -c .* found: the command ended with exit code 4; pach logs -j [0-9a-f]{32} --datum check$/s,
  ) as string;
  expect(exit).toBe(1);
  expect(lines).toMatchObject([
    { pipeline: 'p', state: 'rejected', commit: job, datums: { processed: 3, failed: 0 }, output: null, reason },
    { pipeline: 'q', state: 'unrunnable', commit: null },
  ]);
  expect(stderr).toContain(`job ${job} of p: dev.expect.check: `);
  const log = linesOf<{ datum: string; line: string }>(await here.must(`pach logs -j ${job} --datum check -o json`));
  expect(log.map(({ line }) => line)).toEqual([
    'out',
    'p',
    '1500000',
    `onetwoas=p job=${job} mode=fast out=0`,
    '[failed: the command ended with exit code 4]',
  ]);
  expect(log.every(({ datum }) => datum === 'check')).toBe(true);
  expect(await here.must('pach logs -p p')).toContain('onetwo');
  // The branch has no commit; by its id the output is there, as the command wrote it.
  expect(JSON.parse(await here.must('pach list branch p -o json'))).toMatchObject({ head: null });
  expect(await here.read(`p@${job}:/1`)).toBe('one');
  expect(await here.must('pach list job -p p')).toMatch(/ rejected\n$/);
  expect(JSON.parse(await here.must(`pach inspect job ${job} -o json`))).toMatchObject({ state: 'rejected', reason });
  const [datum] = await here.datums(job);
  expect(await here.must(`pach why ${job} ${datum?.id}`)).toContain('\nits job was rejected: dev.expect.check: ');
  expect((await here.shell(`pach wait job ${job}`)).code).toBe(1);
  expect(await here.must('pach draw')).toContain('>rejected<');
  await here.must('pach fsck');

  await here.must('echo "echo fine" > code/check.sh');
  const good = await here.ran('-f p.json');
  expect(good).toMatchObject({ state: 'success', output: { added: 3 } });
  expect(await here.must(`pach logs -j ${good.job} --datum check`)).toMatch(/fine\n$/);
});

test('a check that never ends is killed, and one that is not there does not start', async () => {
  await using here = await PipelinePlace.make({ '1': 'one' });
  const started = performance.now();
  await here.spec('p', 'cp $in /pfs/out', { dev: { expect: { check: ['sleep', '98766'], check_timeout: '1s' } } });
  expect((await here.run('-f p.json')).lines).toMatchObject([
    { state: 'rejected', reason: expect.stringContaining('found: the command took longer than 1 s;') as string },
  ]);
  expect(performance.now() - started).toBeLessThan(98_766);
  expect((await here.shell('pgrep -xf "sleep 98766"')).code).toBe(1);
  await here.spec('p', 'cp $in /pfs/out', { dev: { expect: { check: ['no-such-check'] } } });
  expect((await here.run('-f p.json')).lines).toMatchObject([
    { state: 'rejected', reason: expect.stringContaining('there is no program no-such-check') as string },
  ]);
});

test.skipIf(process.getuid?.() !== 0)('in a container a check sees the same', async () => {
  const engine = await dockerForTests();
  const image = await busyboxImage(engine, { changes: ['USER tester', 'WORKDIR /tmp'] });
  await using here = await placeWithCode();
  const code = [{ from: './code', to: '/app' }];
  const dev = { code, expect: { check: ['sh', '-c', `id -un; ${check}`] } };
  await here.spec('p', 'cp $in /pfs/out', { transform: { image, env: { MODE: 'fast' } }, dev });
  const run = `DOCKER_HOST=${engine.host} pach run pipeline -f p.json --executor docker -o json`;
  const { code: exit, stdout } = await here.shell(run);
  const [line] = linesOf<{ job: string }>(stdout);
  expect(exit).toBe(1);
  expect(line).toMatchObject({ state: 'rejected', reason: expect.stringContaining('exit code 4') as string });
  const log = await here.must('pach logs -p p --datum check');
  expect(log).toContain('tester\n');
  expect(log).toContain(`onetwoas=p job=${line?.job} mode=fast out=0\n`);
  await here.must('echo exit 0 > code/check.sh');
  expect(JSON.parse(await here.must(run))).toMatchObject({ state: 'success' });
});

test('on_datum_failure: skip goes on without what failed, and says so', async () => {
  await using here = await PipelinePlace.make({ '1': '1', '2': '2', '3': '3' });
  const script = 'test $(cat $in) != 2 || { echo oh no >&2; exit 7; }; cp $in /pfs/out';
  await here.spec('p', script, { dev: { on_datum_failure: 'skip' } });
  await here.spec('q', 'cp $p /pfs/out', { input: { pfs: { repo: 'p', glob: '/*' } } });
  await here.must('pach create pipeline -f p.json && pach create pipeline -f q.json');
  const { code, lines, stderr } = await here.run('q');
  expect(code).toBe(0);
  expect(lines).toMatchObject([
    { state: 'success', datums: { total: 3, processed: 2, skipped: 0, failed: 1 }, output: { added: 2 } },
    { state: 'success', datums: { total: 2, processed: 2, failed: 0 } },
  ]);
  const [{ job } = { job: '' }] = lines;
  expect(stderr).toContain(
    `the output of p is incomplete, without 1 datum that failed; pach list datum ${job} --failed`,
  );
  expect(stderr).toMatch(/datum [0-9a-f]{16}: the command ended with exit code 7; pach logs -j/);
  const commits = linesOf(await here.must('pach list commit p@master -o json'));
  expect(commits).toMatchObject([{ commit: job, incomplete: true, files: 2 }]);
  expect(JSON.parse(await here.must('pach inspect commit q@master -o json'))).not.toHaveProperty('incomplete');
  expect(await here.must('pach inspect commit p@master')).toContain('pach list datum p@');
  for (const named of [job, 'p', 'p@master', `p@${job}`]) {
    const failed = linesOf(await here.must(`pach list datum ${named} --failed -o json`));
    expect(failed).toMatchObject([
      { state: 'failed', files: [{ repo: 'in', path: '/2' }], why: 'the command ended with exit code 7' },
    ]);
  }
  expect(linesOf(await here.must('pach list datum p@master -o json'))).toHaveLength(3);
  expect(await here.must('pach list datum q@master --failed -o json')).toBe('');
  expect((await here.shell('pach list datum in@master --failed')).code).toBe(3);
  expect((await here.shell('pach list datum -f p.json --failed')).code).toBe(2);
  await here.must('pach fsck');

  // It is tried again each time; nothing else, and nothing new comes of it.
  expect((await here.run('q')).lines).toMatchObject([
    { state: 'success', commit: job, datums: { processed: 0, skipped: 2, failed: 1 } },
    { state: 'success', commit: lines[1]?.commit, datums: { skipped: 2 } },
  ]);
  // Lineage and differences are those of any commit.
  expect(await here.must('pach lineage p@master:/1')).toContain('in@');
  await here.put('in', { '2': '5' });
  const whole = await here.ran('p');
  expect(whole).toMatchObject({ datums: { processed: 1, skipped: 2, failed: 0 }, output: { added: 1, changed: 0 } });
  expect(JSON.parse(await here.must('pach inspect commit p@master -o json'))).not.toHaveProperty('incomplete');
  const diff = await here.shell(`pach diff file p@${job} p@master --name-only`);
  expect(diff).toMatchObject({ code: 10, stdout: expect.stringContaining('/2') as string });

  // Nothing but failures is a failure.
  await here.spec('none', 'exit 1', { dev: { on_datum_failure: 'skip' } });
  expect((await here.run('-f none.json')).lines).toMatchObject([
    { state: 'failure', reason: '3 of 3 datums failed', commit: expect.any(String) as string },
  ]);
  expect(JSON.parse(await here.must('pach list branch none -o json'))).toMatchObject({ head: null });
});
