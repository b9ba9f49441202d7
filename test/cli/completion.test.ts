/**
 * What the Tab key gives: in real shells on a terminal, and by the words that their scripts ask for.
 */
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Place } from '../support/place.ts';
import { Terminal } from '../support/terminal.ts';

const bin = resolve(import.meta.dirname, '../../bin');
const patient = { PACH_COMPLETION_MS: '20000' };
let place: Place;
beforeAll(async () => {
  // The machine of the tests may be busy.
  place = await Place.make('root', patient);
  await place.must(`mkdir -p "in/a b" in/sub; echo 1 > "in/a b/it's \\$(touch pwned).txt"; echo 2 > in/sub/z
    echo 3 > "$(printf 'in/sub/evil\\n\\033[31m')"; mkdir many; (cd many; seq -f 'n%04.0f' 1 1200 | xargs touch; touch nz)
    pach create repo images; pach create repo other; pach put file images@master -r -f ./in/
    pach put file images@master:/many -r -f ./many; pach create branch images@dev
    echo '{"pipeline": {"name": "upper"}, "input": {"pfs": {"repo": "other", "glob": "/*"}}, "transform": {"cmd": ["true"]}}' > upper.json
    pach put file other@master -f upper.json; pach run pipeline -f upper.json`);
});
afterAll(() => place[Symbol.asyncDispose]());

/** What the last word may become. */
async function completed(line: readonly string[], program = 'pach', more = ''): Promise<string[]> {
  const words = line.map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(' ');
  const { code, stdout, stderr } = await place.run(`${more} pach __complete zsh '' ${program} ${words}`);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout.split('\n').filter(Boolean);
}

test.each<[string[], string[]]>([
  [['unm'], ['unmount']],
  [['list', 'proj'], ['project']],
  [['draw', '--form'], ['--format']],
  [
    ['draw', '--format', ''],
    ['svg', 'dot'],
  ],
  [['draw', '--format=s'], ['--format=svg']],
  [
    ['completion', ''],
    ['bash', 'zsh', 'fish'],
  ],
  [['list', 'file', '-o', 'j'], ['json']],
  [['-q', '--project', 'default', 'inspect', 'repo', 'im'], ['images']],
  [['list', 'files', 'im'], ['images@']],
  [
    ['list', 'file', 'images@'],
    ['images@dev:/', 'images@master:/'],
  ],
  [
    ['create', 'branch', 'images@'],
    ['images@dev', 'images@master'],
  ],
  [['list', 'file', 'default/images@m'], ['default/images@master:/']],
  [
    ['list', 'commit', 'im'],
    ['images', 'images@'],
  ],
  [
    ['list', 'file', 'images@master:/'],
    ['images@master:/a b/', 'images@master:/many/', 'images@master:/sub/'],
  ],
  [['diff', 'file', 'images@master:/', 'images:/su'], ['images:/sub/']],
  [['get', 'file', 'images@master:/sub/'], ['images@master:/sub/z']],
  [['get', 'file', 'images@master^:/s'], ['images@master^:/sub/']],
  [['list', 'file', 'nothing@'], []],
  [['inspect', 'pipeline', 'up'], ['upper']],
  [['logs', '-p', ''], ['upper']],
  [['put', 'file', 'images@master', '-f', ''], [':files']],
  [['get', 'file', 'images@master:/x', '--output', ''], [':files']],
  [['mount', './m'], [':files']],
  [['unmount', '/nowhere'], []],
  [['nonsense', 'x'], []],
  [['--', 'list'], ['list']],
])('%j', async (words, wanted) => {
  expect(await completed(words)).toEqual(wanted);
});

test('jobs, mounts, and the words of pachmount', async () => {
  const job = (await place.must('pach list job -o json')).split('"')[3] ?? '';
  expect(await completed(['inspect', 'job', job.slice(0, 8)])).toEqual([job]);
  expect(await completed(['im'], '/somewhere/pachmount')).toEqual(['images@']);
  expect(await completed(['--cache-s'], 'pachmount')).toEqual(['--cache-size']);
  await place.must('pachmount images@dev "$PWD/m n"');
  expect(await completed(['unmount', ''])).toContain(join(place.dir, 'm n'));
  await place.must('pach unmount "$PWD/m n"');
});

test('a large folder gives some of its names, and what they have in common stays true', async () => {
  const names = await completed(['list', 'file', 'images@master:/many/']);
  expect(names).toHaveLength(301);
  expect(names.at(-1)).toBe('images@master:/many/nz');
  expect(await completed(['list', 'file', 'images@master:/many/n12'])).toHaveLength(1);
});

test('a store that does not answer, is not there or is damaged gives nothing, and nothing is made', async () => {
  const elsewhere = 'PACH_COMPLETION_MS=300 PACH_HOME=$PWD/none/home';
  for (const store of ['s3://bucket/x?endpoint=http://127.0.0.1:9', '/nowhere/store', '$PWD/in', 'bad://x', '']) {
    const env = `${elsewhere} PACH_STORE="${store}" AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b AWS_REGION=r`;
    const { stdout, stderr } = await place.run(`${env} pach __complete zsh '' pach list file im`);
    expect({ stdout, stderr }).toEqual({ stdout: '', stderr: '' });
  }
  // As of a network file system that hangs.
  await place.must('mkdir hung; for f in $(ls "$PACH_HOME/store"); do mkfifo "hung/$f"; done');
  const { stdout, stderr } = await place.run(
    `${elsewhere} PACH_STORE=$PWD/hung pach __complete zsh '' pach list file im`,
  );
  expect({ stdout, stderr }).toEqual({ stdout: '', stderr: '' });
  await place.must('[ ! -e none ] && [ ! -e /nowhere ] && [ "$(ls in | wc -l)" = 2 ]');
});

const shells = {
  bash: ['bash', '--norc', '--noprofile', '-i'],
  zsh: ['zsh', '-f', '-i'],
  fish: ['fish', '--no-config', '-i'],
};
const load = {
  bash: 'source <(pach completion bash)',
  zsh: 'source <(pach completion zsh)',
  fish: 'pach completion fish | source',
};

function environment(): NodeJS.ProcessEnv {
  const home = join(place.dir, 'home');
  return {
    PATH: `${bin}:${process.env['PATH']}`,
    HOME: home,
    PACH_HOME: join(home, '.pachmount'),
    PS1: '$ ',
    ...patient,
  };
}

describe.each(Object.keys(shells) as (keyof typeof shells)[])('in %s', (shell) => {
  test('the script loads', async () => {
    await place.must(`pach completion ${shell} > script; ${shells[shell].slice(0, -1).join(' ')} -c 'source ./script'`);
    expect(await place.must(`ls "$HOME"`)).not.toContain('zcompdump');
  });

  test('the Tab key completes verbs, options, repos, branches, paths, files and odd names', async () => {
    await using terminal = await Terminal.start(shells[shell], {
      env: environment(),
      cwd: place.dir,
      columns: 120,
      rows: 50,
    });
    await terminal.type(`${load[shell]}; echo lo''aded\n`);
    await terminal.waitFor(/^loaded/m);
    const tab = async (typed: string, seen: string): Promise<void> => {
      await terminal.type(typed);
      await terminal.key('Tab');
      await terminal.waitFor((screen) => screen.includes(seen));
    };
    await tab('pach insp', 'pach inspect');
    await tab('fil', 'pach inspect file');
    await tab('--dat', 'pach inspect file --datum');
    await tab('ima', 'pach inspect file --datum images@');
    await tab('ma', 'pach inspect file --datum images@master:/');
    await tab('su', 'images@master:/sub/');
    await tab('', 'images@master:/sub/z');
    await terminal.key('C-u');
    await tab('pachmount ima', 'pachmount images@');
    await terminal.key('C-u');
    await tab('pach put file images@master -f upp', 'images@master -f upper.json');
    await terminal.key('C-u');
    await tab('pach get file images@master:/a', shell === 'fish' ? 'images@master:/a\\ b/' : 'images@master:/a\\ b/');
    await tab('', 'touch');
    await terminal.type(' -o got\n');
    await terminal.type('cat got; echo do""ne\n');
    expect(await terminal.waitFor(/^done/m)).toMatch(/^1$/m);
    await place.must('[ ! -e pwned ]');
  });
});

test('in Bash, within quotes', async () => {
  await using terminal = await Terminal.start(shells.bash, { env: environment(), cwd: place.dir, columns: 120 });
  await terminal.type(`${load.bash}; echo lo""aded\n`);
  await terminal.waitFor(/^loaded/m);
  await terminal.type('pach get file "images@master:/a');
  await terminal.key('Tab');
  await terminal.waitFor(/b\//);
  await terminal.key('Tab');
  await terminal.waitFor(/touch/);
  await terminal.type(' -o got2\n');
  await terminal.type('cat got2; echo do""ne\n');
  expect(await terminal.waitFor(/^done/m)).toMatch(/^1$/m);
  await place.must('[ ! -e pwned ]');
});
