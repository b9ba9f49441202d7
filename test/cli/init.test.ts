/**
 * `pach init`: what it writes is run as it is.
 */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { code, heading, notebook } from '../support/notebook.ts';
import { Place } from '../support/place.ts';

let place: Place;
beforeEach(async () => {
  place = await Place.make('root', { PATH: `${join(import.meta.dirname, '../../bin')}:/usr/local/bin:/usr/bin:/bin` });
});
afterEach(() => place[Symbol.asyncDispose]());

const cells = [
  code('import csv\nimport os\nimport helpers\n%matplotlib inline'),
  code("factor = 2\nDATA = 'data/in.csv'", ['parameters']),
  heading('## Preparation'),
  code(
    "rows = [int(row['n']) for row in csv.DictReader(open(DATA))]\nos.makedirs('parts', exist_ok=True)\nopen('parts/all.txt', 'w').write(str(rows))",
  ),
  heading('## Sum'),
  code(
    "parts = open('parts/all.txt').read()\ntotal = helpers.add(rows) * factor\nopen('total.txt', 'w').write(f'{total} of {parts}\\n')",
  ),
];

async function writeNotebook(): Promise<void> {
  await writeFile(join(place.dir, 'analysis.ipynb'), notebook(cells));
  await writeFile(join(place.dir, 'helpers.py'), 'def add(numbers):\n    return sum(numbers)\n');
  await mkdir(join(place.dir, 'data'));
  await writeFile(join(place.dir, 'data/in.csv'), 'n\n1\n2\n3\n');
}

/** The commands that are printed as the next ones, run as they are. */
async function runNext(stdout: string): Promise<void> {
  const next = stdout.slice(stdout.indexOf('Next:\n') + 6);
  await place.must(`set -e\n${next}`, 120);
}

test('a notebook becomes a pipeline that gives what the notebook gives', async () => {
  await writeNotebook();
  await runNext(await place.must('pach init sums --from analysis.ipynb --yes'));
  expect(await place.must('pach get file sums:/total.txt')).toBe('12 of [1, 2, 3]\n');
  await place.must('sed -i \'s/FACTOR: "2"/FACTOR: "3"/\' sums/sums.yaml && pach run pipeline -f sums/sums.yaml', 120);
  expect(await place.must('pach get file sums:/total.txt')).toBe('18 of [1, 2, 3]\n');
});

test('split, it becomes a chain that gives the same', async () => {
  await writeNotebook();
  await runNext(await place.must('pach init sums --from analysis.ipynb --split --yes'));
  expect(await place.must('pach get file sums-sum:/total.txt')).toBe('12 of [1, 2, 3]\n');
  expect(await place.must('pach list pipeline -o json | grep -c .')).toBe('2\n');
});

test('without a terminal nothing is written unless --yes says so; on one it asks', async () => {
  await writeNotebook();
  const shown = await place.must('pach init --from analysis.ipynb');
  expect(shown).toContain('- DATA = \'data/in.csv\'\n+ DATA = "/pfs/data/in.csv"\n');
  expect(shown).toContain('note: cell 1: %matplotlib inline: only Jupyter knows this');
  const json = JSON.parse(await place.must('pach init --from analysis.ipynb -o json')) as Record<string, unknown>;
  expect(json).toMatchObject({ name: 'analysis', written: false });
  expect(await readdir(place.dir)).not.toContain('analysis');
  for (const [answer, there] of [
    ['n', false],
    ['y', true],
  ] as const) {
    await using terminal = await place.terminal('pach init --from analysis.ipynb; echo ended');
    await terminal.waitFor(/\[y\/N\]/);
    await terminal.type(answer);
    await terminal.key('Enter');
    await terminal.waitFor(/^ended$/m);
    expect((await readdir(place.dir)).includes('analysis')).toBe(there);
  }
});

test('Ctrl-C and Ctrl-D end a question, and nothing is written', async () => {
  await writeNotebook();
  for (const [key, status] of [
    ['C-c', 130],
    ['C-d', 0],
  ] as const) {
    await using terminal = await place.terminal('pach init other --from analysis.ipynb; echo "ended with $?"');
    await terminal.waitFor(/\[y\/N\]/);
    await terminal.key(key);
    expect(await terminal.waitFor(/^ended with \d+$/m)).toMatch(new RegExp(`^ended with ${status}$`, 'm'));
  }
  expect(await readdir(place.dir)).not.toContain('other');
});

test('a new pipeline runs as it is written', async () => {
  await mkdir(join(place.dir, 'photos'));
  await writeFile(join(place.dir, 'photos/a.txt'), 'four');
  const stdout = (await place.must('pach init sizes')).replace('FOLDER/', 'photos/');
  await runNext(stdout);
  expect(await place.must('pach get file sizes:/a.txt')).toBe('4\n');
  const here = await place.must('mkdir fresh && cd fresh && pach init && ls -A');
  expect(here).toContain('fresh.yaml');
});

test('files that are there are never written over', async () => {
  await place.must('mkdir -p edges/src && echo mine > edges/src/main.py');
  const { code: status, stderr } = await place.run('pach init edges');
  expect(status).toBe(4);
  expect(stderr).toContain('edges/src/main.py: it is there already, and nothing was written');
  expect(await place.must('find edges -type f | xargs cat')).toBe('mine\n');
});

test('what can not be written is said, and what was written goes again', async () => {
  const {
    code: status,
    stdout,
    stderr,
  } = await place.run(`
    mkdir small && mount -t tmpfs -o size=4k,nr_inodes=5 none small && cd small
    pach init edges; ended=$?; find . -type f; cd ..; umount small; exit $ended`);
  expect(stderr).toMatch(/^pach: edges\/\S+: it can't be written \(ENOSPC\), so nothing was$/m);
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  await writeFile(join(place.dir, 'taken'), '');
  const inFile = await place.run('pach init taken');
  expect(inFile.stderr).toContain("taken/taken.yaml: it can't be written (");
});

test('what can not be converted is refused by name', async () => {
  await place.must('mkfifo fifo.ipynb; ln -s /dev/zero zero.ipynb');
  await writeFile(join(place.dir, 'old.ipynb'), '{"nbformat": 3, "worksheets": []}');
  for (const [words, status, said] of [
    ['--from absent.ipynb', 3, 'absent.ipynb: there is no such file'],
    // Neither ends when it is read.
    ['--from fifo.ipynb', 2, 'fifo.ipynb: it is not a file'],
    ['--from zero.ipynb', 2, 'zero.ipynb: it is not a file'],
    ['--from old.ipynb', 1, 'it has notebook format 3'],
    ['--split', 2, '--split: it needs a notebook'],
    ["'a b'", 2, 'a pipeline has a name of letters'],
  ] as const) {
    const { code: ended, stderr } = await place.run(`pach init ${words}`);
    expect({ words, ended, hears: stderr.includes(said) ? said : stderr }).toEqual({
      words,
      ended: status,
      hears: said,
    });
  }
});
