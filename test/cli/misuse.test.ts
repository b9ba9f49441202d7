/**
 * Command lines that can't be understood, and help.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { verbGroups, verbs } from '../../src/cli/parsing/verbs.ts';
import { Place } from '../support/place.ts';

let place: Place;
beforeAll(async () => void (place = await Place.make('root')));
afterAll(() => place[Symbol.asyncDispose]());

const seeHelp = (verb: string): string => `try: pach ${verb} --help\n`;

test.each([
  ['lst', 'lst: no such command; did you mean list?'],
  ['ls images', 'ls: no such command; did you mean list?'],
  ['--store x lst repo', 'lst: no such command; did you mean list?'],
  ['list repoo', 'list repoo: no such command; did you mean list repo?'],
  ['list file --recursve a', '--recursve: list file has no such option; did you mean --recursive?'],
  ['--stor x list repo', '--stor: pach has no such option; did you mean --store?'],
  ['--versio', '--versio: pach has no such option; did you mean --version?'],
  ['list repo -o jsn', '--output jsn: it takes table, json or yaml; did you mean json?'],
  ['list repo --output=jsn', '--output jsn: it takes table, json or yaml; did you mean json?'],
  ['run pipeline p --executor slurm', '--executor slurm: it takes process, docker or kubernetes'],
  ['list repo --store a --store b', '--store: it is given twice'],
  ['xyzzy', 'xyzzy: no such command', 'try: pach --help\n'],
  ['glob xyzzy', 'glob xyzzy: no such command; glob takes file', seeHelp('glob')],
  ['update', 'update: say what to update: repo, commit, branch or pipeline', seeHelp('update')],
  ['get', 'get: say what to get: file or code', seeHelp('get')],
  ['list file a -x', '-x: list file has no such option', seeHelp('list file')],
  ['list file a -rx', '-x: list file has no such option', seeHelp('list file')],
  ['list repo -o', '-o: its value is missing', seeHelp('list repo')],
  ['list repo --store=', '--store: its value is empty'],
  ['list repo --json', '--json: list repo has no such option; did you mean -o json?'],
  ['completion tcsh', 'completion tcsh: it takes bash, zsh or fish'],
  ['mount', 'mount: <mountpoint> is missing, as in: pach mount [source..] <mountpoint>', seeHelp('mount')],
  ['list repo --store', '--store: its value is missing', seeHelp('list repo')],
  ['put file a -m', '-m: its value is missing', seeHelp('put file')],
  ['put file a -f', '-f: its value is missing', seeHelp('put file')],
  ['list job -n', '-n: its value is missing', seeHelp('list job')],
  ['put file a b', 'b: too many words for: pach put file <target>', seeHelp('put file')],
  ['get file', 'get file: <file> is missing, as in: pach get file <file>', seeHelp('get file')],
  ['why x', 'why: <datum> is missing, as in: pach why <job> <datum>', seeHelp('why')],
  ['create pipeline', 'create pipeline: -f or --file is missing', seeHelp('create pipeline')],
])('pach %s', async (line, why, next = '') => {
  expect(await place.run(`LC_ALL=de_DE.UTF-8 pach ${line}`)).toEqual({
    code: 2,
    stdout: '',
    stderr: `pach: ${why}\n${next}`,
  });
});

test('pachmount names the nearest option', async () => {
  expect(await place.run('pachmount --cach here images there')).toMatchObject({
    code: 2,
    stderr: 'pach: --cach: mount has no such option; did you mean --cache?\n',
  });
});

test('pach alone shows all commands on one screen', async () => {
  const alone = await place.run('pach');
  expect(alone).toMatchObject({ code: 2, stdout: '' });
  const help = await place.must('pach --help');
  expect(alone.stderr).toBe(help);
  const lines = help.split('\n');
  expect(lines.length).toBeLessThanOrEqual(24);
  expect(lines.filter((line) => line.length > 80)).toEqual([]);
  for (const { command } of verbs) {
    const [first = '', noun] = command.split(' ').filter((word) => /^[a-z]+$/.test(word));
    const shown = noun === undefined ? `(, |  )${first}(,|$)` : `\\b${first}(\\|\\w+)* (\\w+\\|)*${noun}\\b`;
    expect(help).toMatch(new RegExp(shown, 'm'));
  }
  expect(new Set(verbs).size).toBe(verbGroups.flatMap((group) => group.verbs).length);
});

test('pach list --help says what can be listed', async () => {
  const help = await place.must('pach list --help');
  for (const { command, summary } of verbs.filter((verb) => verb.command.startsWith('list '))) {
    expect(help).toContain(`  pach ${command}`);
    expect(help).toContain(summary);
  }
  expect(await place.run('pach list')).toMatchObject({ code: 2, stdout: '' });
});

test('a fresh repo is empty, and a put names the repo that is missing', async () => {
  await place.must('pach create repo fresh && pach create branch fresh@dev');
  for (const command of ['list file fresh@dev', 'get file fresh@dev:/a', 'inspect commit fresh@dev']) {
    expect(await place.run(`pach ${command}`)).toMatchObject({
      code: 3,
      stderr:
        'pach: fresh@dev: it is empty: nothing has been put there yet\ntry: pach put file fresh@dev -r -f FOLDER\n',
    });
  }
  await place.must('pach delete branch fresh@dev');
  for (const command of ['list file fresh', 'glob file fresh:/*', 'log fresh', 'diff file fresh']) {
    expect(await place.run(`pach ${command}`)).toMatchObject({
      code: 3,
      stderr:
        'pach: fresh: it is empty: nothing has been put there yet\ntry: pach put file fresh@master -r -f FOLDER\n',
    });
  }
  // A pipeline that has run, and failed, is not said to have not run.
  await place.must(`pach create repo tried; echo x | pach put file tried@master:/a -f -
    echo '{"pipeline": {"name": "failing"}, "input": {"pfs": {"repo": "tried", "glob": "/"}}, "transform": {"cmd": ["false"]}, "datumTries": 1}' > failing.json
    ! pach run pipeline -f failing.json 2> said`);
  expect(await place.run('pach list file failing')).toMatchObject({
    code: 3,
    stderr: 'pach: failing: it is empty, because its pipeline has not succeeded yet\ntry: pach run pipeline failing\n',
  });
  expect(await place.run('pachmount fresh@master mounted')).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('it is empty'),
  });
  expect(await place.run('echo x | pach put file nope@master:/a -f -')).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('try: pach list repo\n or: pach create repo nope\n'),
  });
});

test('what a command prints is put by the name that the shell gives it', async () => {
  await place.must(`pach create repo pipes; mkfifo named; (echo late > named) &
    pach put file pipes@master:/named -f named; wait
    pach put file pipes@master:/a -f <(echo substituted); echo x | pach put file pipes@master:/b -f /dev/stdin
    pach put file pipes@master:/c -i <(echo named-by-list) 2>&1 | grep -c 'no such'
    pach put file pipes@master:/d -f /dev/stdin < <(seq 100000)`);
  expect(await place.must('for f in named a b; do pach get file pipes:/$f; done')).toBe('late\nsubstituted\nx\n');
  expect(await place.must('pach get file pipes:/d | tail -n 1')).toBe('100000\n');
  expect(await place.run('pach create pipeline -f <(echo "{}")')).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^pach: \/dev\/fd\/\d+:\d+/),
  });
});
