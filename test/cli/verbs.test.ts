/**
 * The command line as programs use it, on a folder and, in test-long, on S3.
 */
import { describe, expect, test } from 'vitest';
import { asked } from '../../src/cli/parsing/command-line.ts';
import { verbs } from '../../src/cli/parsing/verbs.ts';
import { isLong } from '../support/long.ts';
import { Place } from '../support/place.ts';
import { s3ForTests } from '../support/s3.ts';

async function json(place: Place, command: string): Promise<Record<string, unknown>[]> {
  return (await place.must(`pach ${command} -o json`))
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/) as string;
const id = expect.stringMatching(/^[0-9a-f]{32}$/) as string;
const hash = expect.stringMatching(/^[0-9a-f]{64}$/) as string;

describe.each(isLong ? ['folder', 's3'] : ['folder'])('on a %s store', (kind) => {
  async function makePlace(): Promise<Place> {
    if (kind === 'folder') return Place.make('root');
    const { url, env } = await s3ForTests();
    return Place.make('root', { ...env, PACH_STORE: url });
  }

  test('repos, files, commits and branches, as the contract says', async () => {
    await using place = await makePlace();
    expect(await json(place, 'create repo data -d "some data"')).toEqual([
      { repo: 'data', created: time, description: 'some data', bytes: 0, branches: [] },
    ]);
    await place.must(
      "mkdir -p src/sub && echo one > src/a.txt && echo two > src/sub/b.csv && ln -s ../a.txt src/sub/l && chmod +x src/a.txt && touch -d '2020-01-02 03:04:05.5 UTC' src/a.txt",
    );
    const [first] = await json(place, 'put file data@master -r -f src/ -m first');
    expect(first).toEqual({ commit: id, files: 3, bytes: 8, newBytes: 0, storedBytes: expect.any(Number) as number });
    expect(Number(first?.['storedBytes'])).toBeGreaterThan(0);
    expect(await json(place, 'list file data@master -r')).toEqual([
      { path: '/a.txt', kind: 'file', bytes: 4, hash, modified: '2020-01-02T03:04:05.5Z', executable: true },
      { path: '/sub', kind: 'dir', bytes: 12, hash, modified: time, executable: false },
      { path: '/sub/b.csv', kind: 'file', bytes: 4, hash, modified: time, executable: false },
      { path: '/sub/l', kind: 'symlink', bytes: 8, hash, modified: time, executable: false, target: '../a.txt' },
    ]);
    expect((await json(place, 'list file data')).map((file) => file['path'])).toEqual(['/a.txt', '/sub']);
    expect((await json(place, "glob file 'data:/**'")).map((file) => file['path'])).toEqual([
      '/a.txt',
      '/sub/b.csv',
      '/sub/l',
    ]);
    expect((await json(place, "glob file 'data:/*/*.csv'")).map((file) => file['path'])).toEqual(['/sub/b.csv']);
    expect(await json(place, 'inspect file data:/a.txt')).toMatchObject([{ path: '/a.txt', kind: 'file' }]);
    await place.must('printf three | pach put file data@master:/sub/c -f - -m "from stdin"');
    expect(await place.must('pach get file data:/sub/c')).toBe('three');
    expect(await place.must('pach get file data:/sub/c -o -; pach get file data:/sub/c -o c && cat c')).toBe(
      'threethree',
    );
    await place.must('pach get file data@master^:/ -r -o out && diff -r --no-dereference src out && test -x out/a.txt');
    expect(await place.must('stat -c %Y out/a.txt')).toBe('1577934245\n');
    const [newest, oldest] = await json(place, 'list commit data@master');
    expect(newest).toEqual({
      repo: 'data',
      branch: 'master',
      commit: id,
      parent: first?.['commit'],
      started: time,
      finished: time,
      message: 'from stdin',
      author: expect.any(String) as string,
      bytes: 21,
      files: 4,
      provenance: [],
    });
    expect(oldest).toMatchObject({ commit: first?.['commit'], parent: null, message: 'first' });
    expect(await json(place, 'list commit data -n 1')).toEqual([newest]);
    expect(await json(place, 'inspect commit data@master^')).toEqual([{ ...oldest, declared: null }]);
    expect(await json(place, 'log data@master /a.txt')).toEqual([oldest]);
    const diff = await place.run('pach diff file data@master -o json');
    expect(diff.code).toBe(10);
    expect(JSON.parse(diff.stdout)).toEqual({
      path: '/sub/c',
      change: 'added',
      old: null,
      new: { path: '/sub/c', kind: 'file', bytes: 5, hash, modified: time, executable: false },
    });
    expect(await place.run('pach diff file data@master data@master --name-only')).toMatchObject({
      code: 0,
      stdout: '',
    });
    expect(await json(place, 'create branch data@dev --head master^')).toEqual([
      { repo: 'data', branch: 'dev', head: first?.['commit'], provenance: [] },
    ]);
    expect(await json(place, 'list branch data')).toMatchObject([
      { branch: 'dev' },
      { branch: 'master', head: newest?.['commit'] },
    ]);
    expect(await json(place, 'delete file data@dev:/sub -r')).toEqual([{ commit: id }]);
    expect((await json(place, 'list file data@dev -r')).map((file) => file['path'])).toEqual(['/a.txt']);
    expect(await place.run('pach diff file data@dev:/ data@master:/ --name-only')).toMatchObject({
      code: 10,
      stdout: '/sub/b.csv\n/sub/c\n/sub/l\n',
    });
    await place.must('pach delete branch data@dev');
    expect(await json(place, 'list repo')).toEqual([
      { repo: 'data', created: time, description: 'some data', bytes: 21, branches: ['master'] },
    ]);
    expect((await place.run('pach delete repo data')).code).toBe(4);
    await place.must('pach delete repo data --force');
    expect(await json(place, 'list repo')).toEqual([]);
  });
});

test('names are kept as bytes, up to 255 of them', async () => {
  await using place = await Place.make('root');
  await place.must(`mkdir src && cd src && printf 1 > "$(printf '\\xff\\xfe')" && printf 2 > 'new
line' && printf 3 > "$(printf 'n%.0s' $(seq 255))" && printf 4 > ' -f "$(x)' && pach create repo data && pach put file data@master -r -f .`);
  const paths = (await json(place, 'list file data')).map((file) => file['path']);
  expect(paths).toEqual(['/ -f "$(x)', '/new\nline', `/${'n'.repeat(255)}`, '/\udcff\udcfe']);
  await place.must('pach get file data:/ -r -o out && diff -r src out');
});

test('projects keep apart what they hold', async () => {
  await using place = await Place.make('root');
  await place.must('pach create repo data && pach create project other && pach --project other create repo theirs');
  expect(await place.must('pach list project')).toBe('NAME\ndefault\nother\n');
  expect(await place.must('pach list repo --project other -o json | grep -o theirs')).toBe('theirs\n');
  expect(
    await place.must('echo x | pach put file other/theirs@master:/f -f - >/dev/null && pach get file other/theirs:/f'),
  ).toBe('x\n');
  expect((await place.run('pach --project none list repo')).code).toBe(3);
});

test('every verb has help with examples', async () => {
  const helpOf = async (words: readonly string[]): Promise<string> => {
    const answer = await asked([...words, '--help']);
    return answer.kind === 'help' ? answer.text : '';
  };
  for (const { command, examples } of verbs) {
    const help = await helpOf(command.split(' ').filter((word) => /^[a-z]+$/.test(word)));
    expect(help).not.toBe('');
    for (const [line] of examples)
      expect(help.replaceAll(/\s+/g, ' ')).toContain(`pach ${line.replaceAll(/\s+/g, ' ')}`);
  }
  await using place = await Place.make('root');
  expect(await place.must('pach put file --help')).toBe(await helpOf(['put', 'file']));
});

test('YAML and quiet output', async () => {
  await using place = await Place.make('root');
  await place.must('pach create repo data && mkfifo pipe && mkdir src && mkfifo src/p && echo x > src/f');
  expect(await place.must('pach inspect repo data -o yaml')).toMatch(/^repo: data\n/);
  const put = await place.run('pach put file data@master -r -f src/');
  expect(put.stderr).toMatch(/src\/p: left out: sockets, devices and FIFOs/);
  expect((await place.run('pach -q put file data@master -r -f src/')).stderr).toBe('');
});
