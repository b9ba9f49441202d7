/**
 * Versions of a pipeline and what a command sees of its own: names belong to the key, the code of
 * every job stays, and what older programs stored is read.
 */
import { cp } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { linesOf, PipelinePlace } from './cli-world.ts';

const code = [
  { from: 'src', to: '/app' },
  { from: 'conf', to: '/etc/app.conf' },
];

/** A place with a pipeline `p` whose code says `one`. */
async function withCode(): Promise<PipelinePlace> {
  const here = await PipelinePlace.make({ a: '1' });
  await here.must('mkdir -p src/deep; echo "echo one" > src/deep/run; chmod +x src/deep/run; echo k=1 > conf');
  await here.spec('p', '/app/deep/run > /pfs/out/said', { dev: { code } });
  return here;
}

test('the code of every version that a job ran stays, and can be had', async () => {
  await using here = await withCode();
  const one = await here.ran('-f p.json');
  await here.must('printf "#!/bin/sh\\necho two\\n" > src/deep/run');
  const two = await here.ran('-f p.json');
  await here.must('printf "#!/bin/sh\\necho three\\n" > src/deep/run; pach update pipeline -f p.json');
  await here.must('echo "echo four" > src/deep/run');
  const four = await here.ran('-f p.json --branch exp');
  await here.must('pach gc --grace 0; pach cache clear; pach fsck --read-data 100%');

  await here.must(`pach get code ${one.job.slice(0, 8)} -o first; pach get code ${two.commit} -o second`);
  expect(
    await here.must('cat first/app/deep/run first/etc/app.conf; ./second/app/deep/run; find first -type f | sort'),
  ).toBe('echo one\nk=1\ntwo\nfirst/app/deep/run\nfirst/etc/app.conf\n');
  // Numbers name one version each, on whatever branch it is.
  const versions = [1, 2, 3, 4].map((n) => here.shell(`pach inspect pipeline p@${n} -o json`));
  const shown = (await Promise.all(versions)).map(({ stdout }) => JSON.parse(stdout) as object);
  const places = { origin: null, to: ['/app', '/etc/app.conf'] };
  expect(shown).toMatchObject([
    { pipeline: 'p', version: 1, outputBranch: 'master', lastJob: { job: one.job }, code: places },
    { version: 2, lastJob: { job: two.job } },
    { version: 3, state: 'running', outputBranch: 'master', lastJob: { job: two.job } },
    { version: 4, state: 'running', outputBranch: 'exp', lastJob: { job: four.job } },
  ]);
  expect(shown[0]).not.toHaveProperty('state');
  expect(JSON.parse(await here.must('pach inspect pipeline p@4 --branch exp -o json'))).toEqual(shown[3]);
  // What no job has run is not kept.
  await here.must('echo "echo five" > src/deep/run');
  const five = await here.ran('-f p.json');
  for (const [command, why] of [
    ['inspect pipeline p@3', 'pipeline p@3: it was not kept, because no job ran it'],
    ['inspect pipeline p@9', 'pipeline p@9: there is no such version yet'],
    ['inspect pipeline p@4 --branch nope', 'pipeline p@4: it was not kept, because no job ran it'],
    ['inspect pipeline x@1', 'pipeline x: there is no such pipeline'],
    ['get code abc -o x', 'job abc: there is no such job'],
  ] as const) {
    const { code: exit, stderr } = await here.shell(`pach ${command}`);
    expect({ command, exit, stderr }).toMatchObject({ command, exit: 3, stderr: expect.stringContaining(why) });
  }

  // The commits that stay are explained by their jobs; with the repo all of it goes.
  await here.must('pach delete pipeline p --keep-repo; pach gc --grace 0; pach fsck');
  expect(await here.must(`pach get code ${five.commit} -o last; cat last/app/deep/run`)).toBe('echo five\n');
  expect(linesOf(await here.must('pach list job -o json'))).toHaveLength(4);
  await here.must('pach delete repo p --force');
  expect(await here.must('pach list job -o json')).toBe('');
});

test('code is written to a folder, and through no link in it', async () => {
  await using here = await withCode();
  const { job } = await here.ran('-f p.json');
  await here.must('mkdir there victim; ln -s ../victim there/app');
  const { code: exit, stderr } = await here.shell('pach get code p -o there');
  expect({ exit, stderr }).toMatchObject({ exit: 4, stderr: expect.stringContaining('there/app: it is not a folder') });
  expect(await here.must('ls -A victim')).toBe('');
  await here.spec('q', 'true');
  const without = await here.ran('-f q.json');
  expect(await here.shell('pach get code q -o x')).toMatchObject({
    code: 3,
    stderr: `pach: the code of job ${without.job}: it ran version 1 of q, which has no code (dev.code)\ntry: pach inspect job ${without.job}\n`,
  });
  expect((await here.shell(`pach get code ${job}`)).code).toBe(2);
});

test('content and executable bits make a version, times do not', async () => {
  await using here = await withCode();
  const version = async (change: string): Promise<unknown> => {
    await here.must(`${change}; pach update pipeline -f p.json`);
    return (JSON.parse(await here.must('pach inspect pipeline p -o json')) as { version: number }).version;
  };
  expect(await version('true')).toBe(1);
  expect(await version('touch -d 2001-01-01 src/deep/run conf src/deep src')).toBe(1);
  expect(await version('cp src/deep/run x; rm src/deep/run; mv x src/deep/run; chmod +x src/deep/run')).toBe(1);
  expect(await version('chmod -x src/deep/run')).toBe(2);
  expect(await version('echo more >> conf')).toBe(3);
});

test('the names of pipeline and project belong to the key', async () => {
  await using here = await PipelinePlace.make({ a: '1' });
  const script = 'echo $PPS_PROJECT_NAME $PPS_PIPELINE_NAME > /pfs/out/who';
  for (const name of ['train', 'test']) {
    await here.spec(name, script);
    expect(await here.ran(`-f ${name}.json`)).toMatchObject({ datums: { processed: 1 } });
    expect(await here.read(`${name}@master:/who`)).toBe(`default ${name}\n`);
  }
  // A pipeline beside production is the same one.
  expect(await here.ran('-f test.json --branch exp')).toMatchObject({ datums: { skipped: 1 } });
  expect(await here.ran('test --branch other')).toMatchObject({ datums: { skipped: 1 } });
});

test('pipelines of older programs are read, and go on', async () => {
  await using here = await PipelinePlace.make({});
  await cp('fixtures/format/pipelines-store', `${here.place.dir}/old`, { recursive: true });
  const old = async (command: string): Promise<{ code: number; stdout: string; stderr: string }> => {
    return here.shell(`export PACH_STORE=$PWD/old; ${command}`);
  };
  const jobs = linesOf<{ job: string; branch: string; version: number }>((await old('pach list job -o json')).stdout);
  // Versions were counted by branch then.
  expect(jobs.map(({ branch, version }) => `${branch} ${version}`)).toEqual([
    'exp 1',
    'master 2',
    'master 2',
    'master 1',
  ]);
  const [exp, , two, one] = jobs.map(({ job }) => job);
  expect((await old('pach fsck')).code).toBe(0);
  expect((await old(`pach logs -j ${one} | cut -d' ' -f2`)).stdout).toBe('one\none\n');
  expect((await old(`pach get code ${two} -o two && cat two/app/run.sh`)).stdout).toBe('echo two\n');
  expect((await old(`pach get code ${exp} -o exp && cat exp/app/run.sh`)).stdout).toBe('echo three\n');
  const lost = await old(`pach get code ${one} -o one`);
  expect(lost).toMatchObject({ code: 3, stderr: expect.stringContaining('and did not keep the code') });
  expect((await old(`pach why ${two} $(pach list datum ${two} -o json | head -1 | cut -d'"' -f4)`)).stdout).toMatch(
    /^success: changed since job \w+: code \/app\n$/,
  );
  expect((await old('pach delete repo p --force')).code).toBe(4);
  // Its results are those of another recipe: none is taken, and nothing is lost.
  const again = await old('pach run pipeline p -o json');
  expect(linesOf(again.stdout)).toMatchObject([{ state: 'success', datums: { processed: 2, skipped: 0 } }]);
  expect((await old("pach why p $(pach list datum p -o json | head -1 | cut -d'\"' -f4)")).stdout).toMatch(
    /^success: changed since job \w+: the format of keys, .*\bpipeline, project\b/,
  );
  expect((await old('pach gc --grace 0 && pach fsck --read-data 100% && pach purge in:/a')).code).toBe(0);
  expect((await old(`pach gc --grace 0 && pach fsck && pach get code p -o now && cat now/app/run.sh`)).stdout).toMatch(
    /echo two\n$/,
  );
});
