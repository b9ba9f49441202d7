/**
 * Stages of DVC to specs of pipelines.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readSpecs } from '../../src/pipelines/spec/specs.ts';
import { makeTestProject, streamOf } from '../versions/project.ts';
import { DvcRepository, hashOf, importInto } from './repository.ts';

const md5 = hashOf('md5', 'x');
const out = (path: string): string => `    - path: ${JSON.stringify(path)}\n      md5: ${md5}\n`;

/** What `pach create pipeline -f FOLDER` reads. */
const specsIn = (path: string) => readSpecs({ path, project: 'default', stdin: () => streamOf() });

test('stages become specs that can be read, with templates as dvc.lock has them', async () => {
  await using repository = await new DvcRepository().init();
  const { project } = await makeTestProject();
  await repository.addFolder('data/raw', { a: 'a' });
  await repository.add('data/[1]*.csv', 'b');
  await repository.object('x');
  await repository.write('src/-x.py', 'code');
  await repository.write('params.yaml', 'lr: 1\n');
  const weird = `echo "a: b # $HOME" '\u0007'`;
  await repository.write(
    'dvc.yaml',
    `stages:
  prepare:
    cmd: \${python} src/-x.py \${lr}
    desc: "Made: of all"
    deps: [data/raw, src/-x.py, s3://bucket/key, nowhere]
    params: [lr]
    outs: [out, {model.pkl: {cache: true}}]
    metrics: [{m.json: {cache: false}}]
  each:
    foreach: [1, 2]
    do: {cmd: "x \${item}", deps: [out/a], outs: ["each/\${item}"]}
  data: {cmd: [${JSON.stringify(weird)}, second], wdir: sub dir, deps: [../data], outs: [r], frozen: true}
  later: {cmd: "x \${unknown}"}
  many: {matrix: {a: [1]}, cmd: x}
`,
  );
  const ran = `  prepare:
    cmd: python src/-x.py 1
    deps:
${out('data/raw')}${out('src/-x.py')}    - path: s3://bucket/key
      etag: x
    params:
      params.yaml:
        lr: 1
    outs:
${out('out')}${out('model.pkl')}${out('m.json')}`;
  const each = (n: number): string =>
    `  each@${n}:\n    cmd: x ${n}\n    deps:\n${out('out/a')}    outs:\n${out(`each/${n}`)}`;
  await repository.write('dvc.lock', `schema: '2.0'\nstages:\n${ran}${each(1)}${each(2)}`);
  repository.commit();

  const { specs } = await importInto(project, repository);
  const folder = join(repository.dir, 'pach-pipelines');
  expect(specs?.pipelines.map(({ stage, pipeline, state }) => [stage, pipeline, state])).toEqual([
    ['prepare', 'prepare', 'written'],
    ['each@1', 'each-1', 'written'],
    ['each@2', 'each-2', 'written'],
    // The repo that was imported to has that name.
    ['data', 'data-2', 'written'],
  ]);
  expect(specs?.untold).toEqual([
    { name: 'later', why: expect.stringContaining('${…}') },
    { name: 'many', why: expect.stringContaining('foreach or matrix') },
  ]);
  const notes = specs?.pipelines.map((pipeline) => pipeline.notes.join('\n')) ?? [];
  expect(notes[0]).toMatch(/^s3:\/\/bucket\/key lies outside.*\nit depends on lr of params\.yaml: here any change/);
  expect(notes[3]).toMatch(/^it is frozen in DVC.*\nof data, only data is there/);

  const read = Object.fromEntries((await specsIn(folder)).map((spec) => [spec.name, spec]));
  expect(Object.keys(read)).toEqual(['data-2', 'each-1', 'each-2', 'prepare']);
  expect(read['prepare']).toMatchObject({
    description: 'Made: of all',
    input: { kind: 'pfs', repo: 'data', name: 'raw', glob: '/data/raw' },
    code: [
      { from: join(repository.dir, 'src/-x.py'), to: '/app/src/-x.py' },
      { from: join(repository.dir, 'params.yaml'), to: '/app/params.yaml' },
    ],
  });
  expect(read['each-1']).toMatchObject({ input: { kind: 'pfs', repo: 'prepare', glob: '/out/a' } });
  expect(read['data-2']).toMatchObject({
    input: {
      kind: 'cross',
      inputs: [
        { repo: 'data', glob: '/data/\\[1\\]\\*.csv' },
        { repo: 'data', glob: '/data/raw' },
      ],
    },
  });
  const script = (name: string): string => read[name]?.transform.cmd.at(-1) ?? '';
  expect(script('prepare').split('\n')).toEqual([
    'cd /pfs/out',
    'mkdir -p src data',
    'ln -s /app/src/-x.py src/-x.py',
    'ln -s /app/params.yaml params.yaml',
    'ln -s /pfs/raw/data/raw data/raw',
    'python src/-x.py 1',
    'rm src/-x.py params.yaml data/raw',
    'find . -mindepth 1 -type d -empty -delete',
    '',
  ]);
  expect(script('data-2')).toContain(`\ncd 'sub dir'\n${weird}\nsecond\ncd /pfs/out\n`);
});

test('a spec that is there is never overwritten, and nothing is written through a link or by a dry run', async () => {
  await using repository = await new DvcRepository().init();
  const { project } = await makeTestProject();
  await repository.add('a', 'a');
  await repository.write(
    'dvc.yaml',
    'stages:\n  one: {cmd: x, deps: [a], outs: [b]}\n  two: {cmd: x, deps: [b], outs: [c]}\n',
  );
  repository.commit();
  const folder = join(repository.dir, 'pach-pipelines');
  const states = async (more = {}): Promise<string[] | undefined> =>
    (await importInto(project, repository, more)).specs?.pipelines.map(({ state }) => state);
  expect(await states({ dryRun: true })).toEqual(['not written', 'not written']);
  expect(existsSync(folder)).toBe(false);
  expect(await states()).toEqual(['written', 'written']);
  writeFileSync(join(folder, 'one.yaml'), 'mine');
  expect(await states()).toEqual(['kept', 'unchanged']);
  expect(readFileSync(join(folder, 'one.yaml'), 'utf8')).toBe('mine');

  const elsewhere = join(repository.dir, '.git/elsewhere');
  mkdirSync(elsewhere);
  repository.run('rm', '-r', folder);
  symlinkSync(elsewhere, folder);
  const { specs } = await importInto(project, repository);
  expect(specs).toMatchObject({ problem: `${folder} is not a folder`, pipelines: [{ state: 'not written' }, {}] });
  expect(readdirSync(elsewhere)).toEqual([]);
  // One that is named is the user's own.
  expect(await states({ specs: folder })).toEqual(['written', 'written']);
  expect((await specsIn(elsewhere)).map(({ name }) => name)).toEqual(['one', 'two']);
});

test('stages of DVC 1, of folders below, and none that is no YAML', async () => {
  await using repository = await new DvcRepository().init();
  const { project } = await makeTestProject();
  await repository.add('in', 'in');
  await repository.write('dvc.yaml', 'stages: {old: {cmd: "x ${a}", deps: [in], outs: [o]}}\n');
  await repository.write('dvc.lock', `old:\n  cmd: x 1\n  deps:\n${out('in')}  outs:\n${out('o')}`);
  await repository.write(
    'below/dvc.yaml',
    'stages: {old: {cmd: y, deps: [../o, ../../up], outs: [p], params: [{../p.yaml: [a]}]}}\n',
  );
  await repository.write('bad/dvc.yaml', 'stages: {\n');
  repository.commit();
  const { specs } = await importInto(project, repository);
  expect(specs?.pipelines).toMatchObject([
    { stage: 'below/old', pipeline: 'below-old', notes: ['../../up lies outside of the project, and is left out'] },
    { stage: 'old', pipeline: 'old' },
  ]);
  expect(specs?.untold).toEqual([{ name: 'bad/dvc.yaml', why: expect.stringContaining('not valid YAML') }]);
  const [below] = await specsIn(join(repository.dir, 'pach-pipelines'));
  expect(below).toMatchObject({ name: 'below-old', input: { repo: 'old', glob: '/o' } });
  expect(below?.transform.cmd.at(-1)).toContain('\nmkdir -p below\nln -s /pfs/o/o o\ncd below\ny\ncd /pfs/out\nrm o\n');
});
