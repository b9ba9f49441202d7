/**
 * The first hour with pipelines: run, change something, run again, and look at what was done.
 */
import { expect, test } from 'vitest';
import { linesOf, PipelinePlace } from './cli-world.ts';

const upper = 'tr a-z A-Z < $in > /pfs/out/$(basename $in)';
const three = { 'a.txt': 'a\n', 'b.txt': 'b\n', 'c.txt': 'c\n' };

test.each(['root', 'user'] as const)('only what changed is computed again (%s)', async (who) => {
  await using here = await PipelinePlace.make(three, who);
  await here.spec('up', upper);
  const first = await here.ran('-f up.json');
  expect(first).toMatchObject({
    pipeline: 'up',
    state: 'success',
    datums: { total: 3, processed: 3, skipped: 0, failed: 0, recovered: 0 },
    output: { added: 3, changed: 0, removed: 0 },
    different: [],
    outside: 0,
  });
  expect(Object.keys(first).slice(0, 6)).toEqual(['job', 'pipeline', 'state', 'commit', 'datums', 'seconds']);
  expect(await here.read('up@master:/b.txt')).toBe('B\n');

  const again = await here.ran('up');
  expect(again).toMatchObject({ commit: first.commit, datums: { processed: 0, skipped: 3 } });
  expect(again.job).not.toBe(first.job);

  await here.put('in', { 'b.txt': 'bb\n' });
  const changed = await here.ran('up');
  expect(changed).toMatchObject({ datums: { processed: 1, skipped: 2 }, output: { added: 0, changed: 1, removed: 0 } });
  expect(await here.read('up@master:/b.txt')).toBe('BB\n');

  await here.must('pach delete file in@master:/a.txt');
  const deleted = await here.ran('up');
  expect(deleted).toMatchObject({ datums: { total: 2, processed: 0 }, output: { added: 0, removed: 1 } });
  expect(await here.files('up@master')).toEqual(['/b.txt', '/c.txt']);

  // What was there once is computed once.
  await here.put('in', { 'a.txt': 'a\n' });
  expect(await here.ran('up')).toMatchObject({ datums: { total: 3, processed: 0 }, output: { added: 1 } });

  await here.spec('up', `${upper}.2`);
  expect(await here.ran('-f up.json')).toMatchObject({ datums: { processed: 3 }, output: { added: 3, removed: 3 } });
  expect(linesOf(await here.must('pach list commit up -o json'))).toHaveLength(5);
});

test('YAML on standard input does as JSON in a file does', async () => {
  await using here = await PipelinePlace.make(three);
  await here.spec('up', upper);
  const { commit } = await here.ran('-f up.json');
  const yaml = `pipeline: {name: up}
transform: {cmd: [sh, -c, "${upper}"]}
input: {pfs: {repo: in, glob: "/*"}}
datumTries: 1`;
  const { code, stdout } = await here.shell(`pach run pipeline -f - -o json <<'E'\n${yaml}\nE`);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ datums: { processed: 0, skipped: 3 } });
  const text = await here.must('pach run pipeline up');
  expect(text).toMatch(
    /^up: success: 3 datums: 0 processed, 3 skipped; \d+\.\d\d s; job [0-9a-f]{32}\nup: files: 0 added/,
  );
  expect(await here.must('pach diff file up@master up@' + String(commit))).toBe('');
});

test('what has a result can be computed again, all of it or a datum', async () => {
  await using here = await PipelinePlace.make(three);
  await here.spec('up', upper);
  const { commit } = await here.ran('-f up.json');
  const dryRun = async (more = ''): Promise<string[]> => {
    const lines = linesOf<{ state: string; why: string }>(
      await here.must(`pach update pipeline -f up.json --dry-run -o json ${more}`),
    );
    return [...new Set(lines.map(({ state, why }) => `${state}: ${why.replace(/job \w+/, 'a job')}`))];
  };
  const [computed, again] = ['skipped: a job already computed it', 'new: earlier results are ignored'];
  expect(await dryRun()).toEqual([computed]);
  expect(await dryRun('--reprocess')).toEqual([again]);
  expect(await here.ran('-f up.json --reprocess')).toMatchObject({ datums: { processed: 3 }, output: { changed: 0 } });
  // A change that has been made so counts without being said again.
  expect(await dryRun()).toEqual([computed]);
  await here.must('pach update pipeline -f up.json --reprocess');
  expect(await dryRun()).toEqual(['new: no result yet']);
  await here.ran('up');
  const [datum] = await here.datums('up');
  const id = datum?.id.slice(0, 8);
  expect(await here.must(`pach why up ${id}`)).toMatch(/^success: changed since job \w+: salt\n$/);
  await here.must(`pach restart datum up ${id}`);
  expect(await here.ran('up')).toMatchObject({ datums: { processed: 1, skipped: 2 }, commit });
  expect(await here.must(`pach why up ${id}`)).toContain('but earlier results were ignored');
  expect(await here.ran('up')).toMatchObject({ datums: { processed: 0, skipped: 3 } });

  await here.spec('every', upper, { reprocess_spec: 'every_job' });
  const first = await here.ran('-f every.json');
  expect(await here.ran('every')).toMatchObject({ datums: { processed: 3, skipped: 0 }, commit: first.commit });
});

test('commands that give something else each time are found', async () => {
  await using here = await PipelinePlace.make(three);
  await here.spec('up', upper);
  await here.spec('random', 'head -c 8 /dev/urandom > /pfs/out/$(basename $in)');
  await here.ran('-f up.json');
  const { commit } = await here.ran('-f random.json');
  const again = await here.ran('up --recompute 2');
  expect(again).toMatchObject({ datums: { skipped: 3 }, different: [] });
  expect(again.recomputed?.map(({ now, files }) => `${now} ${files[0]?.repo} ${files[0]?.path.length}`)).toEqual([
    'same in 6',
    'same in 6',
  ]);
  expect(await here.must('pach run pipeline up --recompute 9')).toContain(
    'up: computed again to compare: 3 datums: 3 same (',
  );
  expect((await here.ran('up')).recomputed).toBe(null);
  const { code, lines, stderr } = await here.run('random --recompute 2');
  expect(code).toBe(10);
  expect(lines[0]?.recomputed?.map(({ id, now }) => `${id} ${now}`)).toEqual(
    lines[0]?.different.map((id) => `${id} different`),
  );
  expect(stderr).toMatch(/\(in:\/[abc]\.txt\) gave a different result when it was run again\n/);
  expect(lines).toMatchObject([{ state: 'success', commit, datums: { processed: 0, skipped: 3 } }]);
  expect(lines[0]?.different).toHaveLength(2);
  expect(stderr.match(/gave a different result when it was run again/g)).toHaveLength(2);
});

test('why tells which part of the key differs', async () => {
  await using here = await PipelinePlace.make({ a: '1' });
  await here.must('mkdir app; echo 1 > app/x; echo 1 > conf');
  const code = [
    { from: 'app', to: '/app' },
    { from: 'conf', to: '/etc/conf' },
  ];
  const why = async (): Promise<string[]> => {
    await here.ran('-f p.json');
    const [datum] = await here.datums('p');
    const line = await here.must(`pach why p ${datum?.id} -o json`);
    return (JSON.parse(line) as { differs: string[] }).differs;
  };
  await here.spec('p', 'true', { dev: { code } });
  expect(await why()).toEqual([]);
  await here.must('echo 2 > conf');
  expect(await why()).toEqual(['code /etc/conf']);
  await here.put('in', { a: '2' });
  expect(await why()).toEqual(['input in:/a']);
  await here.spec('p', 'true', { dev: { code }, transform: { env: { MODE: 'x' } } });
  expect(await why()).toEqual(['env.MODE']);
  await here.spec('p', ':', { dev: { code }, transform: { env: { MODE: 'x' } }, salt: 's' });
  expect(await why()).toEqual(['cmd', 'salt']);
});

test('jobs, datums, logs and times can be looked at', async () => {
  await using here = await PipelinePlace.make({ a: '1', b: '2' });
  await here.spec('p', 'echo saw $(cat $in); cp $in /pfs/out');
  const { code, stdout } = await here.shell('pach create pipeline -f p.json');
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'p\n' });
  const preview = async (): Promise<unknown[]> => {
    const lines = linesOf<{ state: string }>(await here.must('pach create pipeline -f p.json --dry-run -o json'));
    return lines.map(({ state }) => state);
  };
  expect(await preview()).toEqual(['new', 'new']);
  const { job } = await here.ran('p');
  expect(await preview()).toEqual(['skipped', 'skipped']);
  expect(await here.must('pach list datum -f p.json')).toContain('skipped');
  const again = await here.ran('p');

  const jobs = linesOf(await here.must('pach list job -p p -o json'));
  expect(jobs).toMatchObject([
    { job: again.job, state: 'success', datums: { skipped: 2 } },
    { job, state: 'success', reason: '', executor: 'process', inputs: [{ repo: 'in', branch: 'master' }], code: null },
  ]);
  expect(JSON.parse(await here.must(`pach inspect job ${job.slice(0, 6)} -o json`))).toEqual(jobs[1]);
  const datums = await here.datums(job);
  expect(datums).toMatchObject([{ state: 'success' }, { state: 'success' }]);
  expect(new Set(datums.map(({ files }) => files[0]?.path))).toEqual(new Set(['/a', '/b']));
  expect(await here.datums(again.job)).toMatchObject([{ state: 'skipped' }, { state: 'skipped' }]);
  const [first] = datums;
  expect(JSON.parse(await here.must(`pach inspect datum ${job} ${first?.id} -o json`))).toMatchObject({
    job,
    stats: { inputBytes: 1, outputBytes: 1 },
    output: { files: 1, bytes: 1 },
  });
  expect(
    linesOf<object>(await here.must(`pach logs -j ${job} -o json`)).map((line) => 'line' in line && line.line),
  ).toEqual(expect.arrayContaining(['saw 1', 'saw 2']));
  expect(await here.must('pach logs -p p')).toBe('');
  // A terminal gets colours and nothing else that acts on it, a pipe all that was printed.
  await here.spec('c', String.raw`printf '\033[31mred\033[2J\007\n'`, { input: { pfs: { repo: 'in', glob: '/' } } });
  const { job: coloured } = await here.ran('-f c.json');
  expect(await here.must(`pach logs -j ${coloured}`)).toContain('\u001b[31mred\u001b[2J\u0007\n');
  const shown = await here.must(`script -qec 'pach logs -j ${coloured}' /dev/null < /dev/null`);
  expect(shown).toContain('\u001b[31mred\\u001b[2J\\u0007\u001b[0m\r\n');
  expect(linesOf(await here.must(`pach profile ${job} -o json`))).toHaveLength(2);
  expect(await here.must(`pach profile ${job} --format svg`)).toMatch(/^<svg[\s\S]*<\/svg>\s*$/);
});

test('a file of an output names the datum that wrote it, and the job that ran it', async () => {
  await using here = await PipelinePlace.make({ a: '1', b: '2' });
  await here.spec('p', 'mkdir /pfs/out/d; cp $in /pfs/out/d/');
  const { job } = await here.ran('-f p.json');
  const commit = await here.put('in', { b: '22' });
  const later = await here.ran('p');
  const datums = await here.datums(later.job);
  for (const [path, ranBy] of [
    ['/a', job],
    ['/b', later.job],
  ] as const) {
    const datum = datums.find(({ files }) => files[0]?.path === path)?.id;
    expect(JSON.parse(await here.must(`pach inspect file p@master:/d${path} --datum -o json`))).toMatchObject({
      path: `/d${path}`,
      writer: { pipeline: 'p', job: ranBy, datum, files: [{ repo: 'in', commit, path }] },
    });
    expect(await here.must(`pach inspect file p@master:/d${path} --datum`)).toMatch(
      new RegExp(`\nDatum: +${datum} of job ${ranBy}\nFrom: +in@${commit}:${path}\n$`),
    );
  }
  for (const nobodys of ['p@master:/d', 'in@master:/a']) {
    const info = JSON.parse(await here.must(`pach inspect file ${nobodys} --datum -o json`)) as object;
    expect(info).toMatchObject({ writer: null });
  }
});
