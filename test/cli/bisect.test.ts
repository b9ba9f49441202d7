/**
 * bisect on live mounts, as root and as an ordinary user, with all that ends it before its time.
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { fileTime } from '../../src/base/file-time.ts';
import { openStore } from '../../src/store/open.ts';
import { commitEdit } from '../../src/versions/edit.ts';
import { someWho } from '../support/long.ts';
import { Place, type Who } from '../support/place.ts';
import { openTestProject } from '../versions/project.ts';

/** A repo whose file /f has 1 in the first commit, 2 in the second, … The folder `x` has a name that acts on terminals. */
async function withHistory(who: Who, commits: number): Promise<Place> {
  const place = await Place.make(who);
  if (who === 'root') return withCommits(place, commits);
  await place.must(`pach -q create repo d; mkdir s s/$'x\\e[31m'; cd s; for n in $(seq ${commits}); do
echo $n > f; echo $n > $'x\\e[31m'/g; pach -q put file d@master:/ -r -f . -m "set $n"; done`);
  return place;
}

/** The same, without a process for each. */
async function withCommits(place: Place, commits: number): Promise<Place> {
  await place.must('pach -q create repo d; mkdir s');
  const store = await openStore(place.store);
  const project = openTestProject(store);
  for (let n = 1; n <= commits; n += 1) {
    const change = { repo: 'd', branch: 'master', message: `set ${n}` };
    await commitEdit(project, change, async (directories, base) => {
      const content = { form: 'inline', bytes: Buffer.from(`${n}\n`) } as const;
      const file = { kind: 'file', executable: false, ...fileTime(n), content } as const;
      const paths = [['f'], ['x\u001b[31m', 'g']].map((names) => names.map((name) => Buffer.from(name)));
      let root = base;
      for (const path of paths) root = await directories.set(root, path, { ...file, name: path.at(-1) as Buffer }, n);
      return root;
    });
  }
  await store.close();
  return place;
}

interface Found {
  readonly firstBad: { readonly message: string; readonly commit: string } | null;
  readonly candidates: readonly string[];
  readonly steps: readonly { readonly commit: string; readonly verdict: string; readonly exit: number | null }[];
}

async function found(place: Place, line: string): Promise<Found> {
  return JSON.parse(await place.must(`pach bisect -o json ${line}`)) as Found;
}

/** Fails from this number on. */
const failsFrom = (n: number): string => `sh -c 'test $(cat $PACH_BISECT_DIR/f) -lt ${n}'`;

async function leavesNothing(place: Place): Promise<void> {
  expect(await place.must('pach mounts; grep -c "^[^ ]* $PWD" /proc/mounts || :')).toBe('0\n');
}

test.each(someWho)('the first, a middle and the last bad commit are found, as %s', async (who) => {
  await using place = await withHistory(who, 8);
  const first = await found(place, `d@master.1.. -- ${failsFrom(2)}`);
  expect(first).toMatchObject({ firstBad: { message: 'set 2' }, candidates: [first.firstBad?.commit] });
  const last = await found(place, `d@master.1..master -- ${failsFrom(8)}`);
  expect(last.firstBad?.message).toBe('set 8');
  // Three steps, and the end that none of them speaks for.
  expect(last.steps.map(({ verdict }) => verdict)).toEqual(['good', 'good', 'good', 'bad']);
  const shown = await place.run(
    `pach bisect d@master.1..master -- sh -c 'ls $PACH_BISECT_DIR; ${failsFrom(5).slice(7, -1)}'`,
  );
  expect(shown).toMatchObject({ code: 0, stderr: expect.stringMatching(/^f\nx\\u001b\[31m\n|^f\nx/) as string });
  expect(shown.stdout).toMatch(
    /^The first bad commit is d@[0-9a-f]{32} \(3 steps\)\nAuthor: .*\nFinished: .*\n\n {4}set 5\n\n0 files added, 2 changed, 0 removed \(\+0B\):\n {4}~ \/f\n {4}~ '\/x'\$'\\033'/,
  );
  expect(shown.stderr).toMatch(/step 1: d@[0-9a-f]{32} is good \(exit code 0\); about 2 steps left\n/);
  await leavesNothing(place);
});

test('skipped commits leave several that it may be, and what the ends are is looked at', async () => {
  await using place = await withHistory('root', 6);
  const hidden = await place.run(
    `pach bisect -o json d@master.1.. -- sh -c 'case $(cat $PACH_BISECT_DIR/f) in 3|4) exit 125;; esac; ${failsFrom(4).slice(7, -1)}'`,
  );
  expect(hidden.code).toBe(1);
  const { firstBad, candidates, steps } = JSON.parse(hidden.stdout) as Found;
  expect({ firstBad, count: candidates.length }).toEqual({ firstBad: null, count: 3 });
  expect(steps.filter(({ exit }) => exit === 125).map(({ verdict }) => verdict)).toEqual(['skipped', 'skipped']);
  expect(await place.run('pach bisect d@master.1.. -- true')).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(
      /: the command succeeds there, so nothing has gone wrong on the way to it\n$/,
    ) as string,
  });
  expect(await place.run("pach bisect d@master.1.. -- sh -c 'nosuchprogram'")).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(
      /: the command fails there too \(exit code 127\), so it is not good\nhint: look whether the command itself can be run\n$/,
    ) as string,
  });
  await leavesNothing(place);
});

test('what can be no search is refused before anything is mounted', async () => {
  await using place = await withHistory('root', 2);
  for (const [line, code, why] of [
    ['d@master..master.1 -- true', 2, 'the good commit is not an ancestor of the bad one; it is the newer one'],
    ['d@master..master -- true', 2, 'both ends are the same commit'],
    ['d@master -- true', 2, 'write a range of commits: repo@GOOD..BAD'],
    ['d@master.1..master:/f -- true', 2, 'a range has no path'],
    ['d@master.1..', 2, 'name a command that fails at bad commits, after --'],
    ['d@nope.. -- true', 3, 'd has no branch or commit nope'],
    ['d@master.1.. --pipeline p -- true', 3, 'pipeline p: there is no such pipeline'],
    ['d@master.1.. -- ./nosuch', 3, './nosuch: there is no such program'],
  ] as const) {
    const ended = await place.run(`pach bisect ${line}`);
    expect({ line, ...ended }).toMatchObject({
      line,
      code,
      stdout: '',
      stderr: expect.stringContaining(why) as string,
    });
  }
  await leavesNothing(place);
});

test('a search goes on after the command has stopped it, in the commits that it began with', async () => {
  await using place = await withHistory('root', 9);
  await place.must(
    `echo 'echo >> runs; test $(wc -l < runs) != 2 || exit 128; test $(cat $PACH_BISECT_DIR/f) -lt 7' > step.sh`,
  );
  const line = 'pach bisect d@master.1..master -- sh step.sh';
  expect(await place.run(line)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('above 127, which stops the search\nhint: run the same command again') as string,
  });
  await place.must('echo 1 > s/f; pach -q put file d@master -f s/f -m moved');
  const ended = await place.run(line);
  expect(ended).toMatchObject({ code: 0, stdout: expect.stringContaining('\n    set 7\n') as string });
  expect(ended.stderr).toMatch(/^pach: going on with the search of .*, of which 1 step is done\n/);
  expect(ended.stderr).toContain('the range names other commits now; the search goes on in those that it began with');
  // Nothing of it is left: the same command is a new search.
  expect((await place.run(line)).stderr).not.toContain('going on');
});

test('Ctrl-C ends the command and leaves no mount; a killed search is gone on with, and its mount is cleared away', async () => {
  await using place = await withHistory('root', 9);
  await place.must(
    `echo 'echo $$ >> started; test $(wc -l < started) != "$WAIT" || exec sleep 600; test $(cat $PACH_BISECT_DIR/f) -lt 4' > step.sh`,
  );
  const line = 'pach -q bisect d@master.1..master -- sh step.sh';
  const until = async (count: number): Promise<void> => {
    await place.must(`until test -e started && [ "$(wc -l < started)" = ${count} ]; do sleep 0.05; done`);
  };
  const first = place.start(['bash', '-c', `WAIT=1 exec ${line}`]);
  await until(1);
  first.kill('SIGINT');
  expect((await once(first, 'exit')) as unknown[]).toEqual([130, null]);
  await leavesNothing(place);
  expect(await place.must('test ! -e /proc/$(cat started) || echo alive; rm started')).toBe('');

  const second = place.start(['bash', '-c', `WAIT=2 exec ${line}`]);
  await until(2);
  second.kill('SIGKILL');
  await once(second, 'exit');
  await place.must('kill -9 $(tail -1 started)');
  expect(await place.mounts()).toHaveLength(1);
  const again = await place.run(line.replace('-q ', ''));
  expect(again.stderr).toMatch(/^pach: going on with the search of .*, of which 1 step is done\n/);
  expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('\n    set 4\n') as string });
  expect(await readFile(`${place.dir}/started`, 'utf8')).toMatch(/^(\d+\n){4}$/);
  await leavesNothing(place);
});

test('a folder that the command unmounts or leaves in use keeps no step from being taken', async () => {
  await using place = await withHistory('root', 5);
  await place.must(String.raw`
echo 'n=$(cat $PACH_BISECT_DIR/f); umount $PACH_BISECT_DIR/..; test $n -lt 4' > unmounts.sh
cat > stays.sh <<'END'
n=$(cat $PACH_BISECT_DIR/f)
sh -c 'cd $PACH_BISECT_DIR && exec sleep 600' > /dev/null 2>&1 &
echo $! >> pids
until [ "$(readlink /proc/$!/cwd)" = "$PACH_BISECT_DIR" ]; do sleep 0.05; done
test $n -lt 4
END`);
  const unmounted = await place.run('pach bisect d@master.1.. -- sh unmounts.sh');
  expect(unmounted).toMatchObject({ code: 0, stdout: expect.stringContaining('\n    set 4\n') as string });
  expect(unmounted.stderr).toContain('the command has unmounted PACH_BISECT_DIR\n');
  const busy = await place.run('pach bisect d@master.1.. -- sh stays.sh');
  await place.must('kill $(cat pids)');
  expect(busy).toMatchObject({ code: 0, stdout: expect.stringContaining('\n    set 4\n') as string });
  expect(busy.stderr).toContain('still uses PACH_BISECT_DIR: it keeps what it has open\n');
});

test('two runs of the same search at a time are one too many', async () => {
  await using place = await withHistory('root', 3);
  const line = "d@master.1.. -- sh -c 'touch here; until test -e on; do sleep 0.05; done; false'";
  const first = place.start(['bash', '-c', `exec pach -q bisect ${line}`]);
  await place.must('until test -e here; do sleep 0.05; done');
  expect(await place.run(`pach bisect ${line}`)).toMatchObject({
    code: 4,
    stderr: 'pach: bisect: another process does the same search now\n',
  });
  const ended = once(first, 'exit');
  await place.must('touch on');
  await ended;
});

test('a computed commit tells what changed: data, code or the command; a pipeline is run on each commit', async () => {
  await using place = await withHistory('root', 5);
  await place.must(String.raw`
mkdir src; echo 'cat /pfs/d/f > /pfs/out/r' > src/run
spec() { echo '{"pipeline": {"name": "p"}, "input": {"pfs": {"repo": "d", "glob": "/"}}, "transform": {"cmd": ["sh", "/app/run"], "env": {"A": "'$1'"}}, "dev": {"code": [{"from": "src", "to": "/app"}]}}' > p.json; }
spec 1; pach -q run pipeline -f p.json
echo 'echo six; cat /pfs/d/f > /pfs/out/r; echo code >> /pfs/out/r' > src/run; pach -q run pipeline -f p.json
echo 6 > s/f; pach -q put file d@master -f s/f -m six; pach -q run pipeline p
spec 2; echo 'cat /pfs/d/f /dev/null > /pfs/out/r; echo $A >> /pfs/out/r' > src/run; pach -q run pipeline -f p.json`);
  const cause = async (words: string): Promise<unknown> => {
    const line = `p@master.1.. -- sh -c '! grep -q ${words} $PACH_BISECT_DIR/r'`;
    return (JSON.parse(await place.must(`pach bisect -o json ${line}`)) as { cause: unknown }).cause;
  };
  expect(await cause('code')).toEqual({ data: [], code: ['/app'], image: [], spec: [] });
  const id = expect.stringMatching(/^[0-9a-f]{32}$/) as string;
  expect(await cause('6')).toEqual({ data: [{ repo: 'd', from: id, to: id }], code: [], image: [], spec: [] });
  expect(await cause('2')).toEqual({ data: [], code: ['/app'], image: [], spec: ['env.A'] });
  const shown = await place.must("pach -q bisect p@master.1.. -- sh -c '! grep -q 6 $PACH_BISECT_DIR/r'");
  expect(shown).toMatch(/\nMade of:\n {4}p@[0-9a-f]{32}\n.*\n.* d@[0-9a-f]{32}\n/);
  expect(shown).toMatch(/\nWhat changed since the commit before:\n {4}data: d [0-9a-f]{32} -> [0-9a-f]{32}\n$/);

  // The pipeline fails from 5 on, which nobody needs to judge.
  await place.must(
    `echo 'n=$(cat /pfs/d/f); echo "$n" > /pfs/out/r; test $n -lt 5' > src/run; pach -q update pipeline -f p.json`,
  );
  const line = 'd@master.1.. --pipeline p -- sh -c';
  const judged = await found(place, `${line} 'echo $PACH_BISECT_DIR >> dirs; test $(cat $PACH_BISECT_DIR/r) -lt 3'`);
  expect(judged.firstBad?.message).toBe('set 3');
  expect(await place.must('sort -u dirs | grep -c /at/p$')).toBe('1\n');
  const failing = await found(place, `${line} 'test -s $PACH_BISECT_DIR/r'`);
  expect(failing.firstBad?.message).toBe('set 5');
  expect(failing.steps.filter(({ exit }) => exit === null).map(({ verdict }) => verdict)).toContain('bad');
  // What was computed is not computed again, and no branch is left.
  const jobs = (text: string): { processed: number }[] =>
    text
      .split('\n')
      .filter(Boolean)
      .map((job) => (JSON.parse(job) as { datums: { processed: number } }).datums);
  const before = jobs(await place.must('pach list job -p p -o json')).length;
  expect(before).toBeGreaterThan(0);
  expect(await place.must('pach list branch p')).not.toContain('bisect');
  expect(await place.must('pach op log && pach undo --dry-run')).not.toContain('bisect');
  expect(await place.run(`pach bisect d@master.1.. --pipeline p --restart -- true`)).toMatchObject({ code: 0 });
  await leavesNothing(place);
  expect((await place.run('pach bisect p@master.1.. --pipeline p -- true')).stderr).toContain('it does not read p');
});
