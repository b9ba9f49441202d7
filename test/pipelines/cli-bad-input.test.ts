/**
 * What people get wrong: each mistake is said in a line, with an exit code, and breaks nothing.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { PipelinePlace, shellSpec, type SpecParts } from './cli-world.ts';

const spec = (parts?: SpecParts, name = 'p'): string => JSON.stringify(shellSpec(name, 'true', parts));
const of = (pfs: object): string => spec({ input: { pfs: { repo: 'in', glob: '/*', ...pfs } } });
const cycle = `[${spec({ input: { pfs: { repo: 'y', glob: '/' } } }, 'x')},${spec({ input: { pfs: { repo: 'x', glob: '/' } } }, 'y')}]`;

const texts: readonly (readonly [text: string, code: number, why: string])[] = [
  [of({ repo: 'missing' }), 3, 'repo missing: pipeline p reads it'],
  [of({ repo: 'p' }), 2, 'its results would be its own input'],
  [spec(undefined, 'in'), 2, 'its results would be its own input'],
  [cycle, 2, 'x → y → x'],
  [of({ glob: '/[*' }), 2, 'a ] is missing'],
  [of({ name: 'out' }), 2, 'input cannot be named out'],
  [of({ globb: '/' }), 2, 'did you mean glob?'],
  [spec({ parallelism_spec: { constant: 0 } }), 2, 'it must be 1 or more'],
  [spec({ output_branch: 'a b' }), 2, 'only alphanumeric'],
  [spec({ resource_limits: { gpu: { type: 'nvidia.com/gpu', number: 1 } } }), 1, 'this machine has none'],
  [spec({ dev: { code: [{ from: 'none', to: '/app' }] } }), 3, 'there is no '],
  [spec({ transform: { user: 'no-such-user' } }), 1, 'there is no user no-such-user'],
  [spec({ transform: { secrets: [{ name: 'none', key: 'k', env_var: 'K' }] } }), 3, 'secret none'],
  [spec({ egress: { URL: 's3://x' } }), 1, 'egress'],
  ['no spec at all', 2, 'p.json:1:1: this is not a JSON value'],
  ['7', 2, 'it must be an object with fields'],
  ['{"pipeline":', 2, ':1: '],
  ['[]', 2, 'it has no pipeline'],
  ['', 2, 'it has no pipeline'],
];

test('specs that are wrong', async () => {
  await using here = await PipelinePlace.make({ a: '1' });
  for (const [text, code, why] of texts) {
    await here.must(`cat > p.json <<'E'\n${text}\nE`);
    const { stderr, ...run } = await here.run('-f p.json');
    expect({ text, code: run.code, stderr }).toEqual({ text, code, stderr: expect.stringContaining(why) });
    expect(stderr).not.toMatch(/\n\s+at |unexpected|assertion/);
  }
  await here.must(`head -c 5000000 /dev/zero | tr '\\0' ' ' > huge.json; mkdir none`);
  expect((await here.run('-f huge.json')).stderr).toBe('pach: huge.json: it has more than 4 MiB\n');
  expect((await here.run('-f none')).stderr).toBe('pach: none: it has no pipeline\n');
  // Of a text like this the store keeps more than one.
  const large = spec({ transform: { cmd: ['true', 'x'.repeat(3_000_000)] } });
  await writeFile(join(here.place.dir, 'large.json'), large);
  expect(await here.run('-f large.json')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('its spec is too large'),
  });
  expect(await here.must('pach list pipeline')).not.toMatch(/\n[xy] /);
});

test('command lines that are wrong', async () => {
  await using here = await PipelinePlace.make({ a: '1' });
  await here.spec('p', 'true');
  const { job } = await here.ran('-f p.json');
  for (const [command, code, why] of [
    ['run pipeline', 2, 'name a pipeline'],
    ['run pipeline p -f p.json', 2, 'name a pipeline'],
    ['run pipeline -f p.json -f p.json', 2, '-f: it is given twice'],
    ['run pipeline nope', 3, 'there is no such pipeline'],
    ['run pipeline -f nope.json', 3, 'there is no such file'],
    ['run pipeline p --workers 0', 2, 'whole number'],
    ['run pipeline p --recompute -1', 2, 'whole number'],
    ['run pipeline nope --reprocess', 3, 'there is no such pipeline'],
    ['create pipeline -f p.json --reprocess', 2, 'reprocess'],
    ['run pipeline p --executor slurm', 2, '--executor slurm: it takes process, docker or kubernetes'],
    ["run pipeline p --branch 'a b'", 2, 'names have only'],
    [`run pipeline p --branch ${job}`, 2, 'may not look like a commit id'],
    ['inspect job nope', 3, 'there is no such job'],
    ['list job -n x', 2, 'whole number'],
    ["inspect job ''", 3, 'there is no such job'],
    ['list datum', 2, 'name a job'],
    ['inspect datum p ffff', 3, 'datum ffff'],
    ["why p ''", 3, 'there is no such datum in job'],
    ['logs', 2, 'name a pipeline (-p) or a job (-j)'],
    ['logs --datum 9c01', 2, 'a job (-j)\ntry: pach list job\n or: pach logs -j JOB --datum 9c01\n'],
    ['logs -p p --datum zz', 3, 'datum zz'],
    ['stop job p', 4, 'it has already ended: success'],
    ['list job -p nope', 3, 'there is no such pipeline'],
    ['logs -p nope', 3, 'pipeline nope: there is no such pipeline'],
    ['stop pipeline nope', 3, 'there is no such pipeline'],
    ['delete pipeline nope', 3, 'there is no such pipeline'],
  ] as const) {
    const result = await here.shell(`pach ${command}`);
    expect({ command, code: result.code, stderr: result.stderr }).toEqual({
      command,
      code,
      stderr: expect.stringContaining(why),
    });
  }
  // Nothing of it broke the pipeline.
  expect(await here.ran('p')).toMatchObject({ state: 'success', datums: { skipped: 1 } });
  // By name, what was computed is computed again, by the same version.
  expect(await here.ran('p --reprocess')).toMatchObject({ state: 'success', datums: { processed: 1, skipped: 0 } });
  expect(await here.ran('p')).toMatchObject({ state: 'success', datums: { processed: 0, skipped: 1 } });
  expect(JSON.parse(await here.must('pach inspect pipeline p -o json'))).toMatchObject({ version: 1 });
  expect(await here.must('pach list job -p p')).toContain(job);
});

test('pipelines without datums or output say so', async () => {
  await using here = await PipelinePlace.make({ a: '1' });
  const nothing = { output: { added: 0 }, datums: { total: 0 }, state: 'success' };
  for (const [parts, why] of [
    [{ input: { pfs: { repo: 'in', branch: 'dev', glob: '/*' } } }, 'p has no datums: in@dev has no commits'],
    [{ input: { pfs: { repo: 'in', glob: '/*.png' } } }, 'p has no datums: no files in its inputs match'],
    [
      { input: { cross: [{ pfs: { repo: 'in', glob: '/*' } }, { pfs: { repo: 'in', name: 'x', glob: '/*.png' } }] } },
      'p has no datums',
    ],
  ] as const) {
    await here.spec('p', 'true', parts);
    const { lines, stderr } = await here.run('-f p.json');
    expect(lines).toMatchObject([nothing]);
    expect(stderr).toContain(why);
  }
  await here.spec('p', 'cp $in /pfs/out');
  await here.ran('-f p.json');
  await here.spec('p', 'true');
  const { lines, stderr } = await here.run('-f p.json');
  expect(lines).toMatchObject([{ output: { removed: 1, becameEmpty: true } }]);
  expect(stderr).toBe('pach: the output of p is empty, and it had files before\n');
  const none = await here.shell('pach create repo q; pach create pipeline -f - <<E\n' + spec(undefined, 'q') + '\nE');
  expect(none).toMatchObject({ code: 4, stderr: expect.stringContaining('a repo with this name already exists') });
});

test('datums that write the same path are named with their files', async () => {
  await using here = await PipelinePlace.make({ a: '1', b: '2' });
  await here.spec('p', 'cp $in /pfs/out');
  await here.ran('-f p.json');
  for (const script of [
    'echo $in > /pfs/out/x',
    'case $in in */a) echo 1 > /pfs/out/x;; *) mkdir /pfs/out/x; echo 2 > /pfs/out/x/y;; esac',
  ]) {
    await here.spec('p', script);
    const { code, lines, stderr } = await here.run('-f p.json');
    expect(code).toBe(1);
    expect(lines).toMatchObject([{ state: 'failure', commit: null, datums: { processed: 2 } }]);
    expect(stderr).toMatch(
      /\/pfs\/out\/x: datum [0-9a-f]{16} \(\/[ab]\) and datum [0-9a-f]{16} \(\/[ab]\) have both written it/,
    );
    expect(await here.files('p@master')).toEqual(['/a', '/b']);
  }
});
