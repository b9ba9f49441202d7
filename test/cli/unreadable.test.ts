/**
 * Files and folders that can't be read, put by an ordinary user: root reads everything.
 */
import { expect, test } from 'vitest';
import { Place, type Result } from '../support/place.ts';

interface Put {
  readonly commit: string;
  readonly files: number;
  readonly unreadable?: readonly string[];
}

/** Runs it; what it says, with paths in the place as they are from there. */
async function run(place: Place, script: string): Promise<Result> {
  const { code, stdout, stderr } = await place.run(script);
  return { code, stdout: stdout.replaceAll(`${place.dir}/`, ''), stderr: stderr.replaceAll(`${place.dir}/`, '') };
}

const json = ({ stdout }: Result): Put => JSON.parse(stdout) as Put;
const commits = (place: Place): Promise<string> => place.must('pach list commit data -o json | wc -l');

test('nothing is committed, and all that can not be read is counted; or the rest is, and it is named', async () => {
  await using place = await Place.make('user');
  await place.must(
    'pach create repo data; mkdir -p src/a src/locked src/z; echo good > src/a/good; echo z > src/z/last',
  );
  await place.must('for i in $(seq 10 21); do echo $i > src/a/no$i; chmod 0 src/a/no$i; done; echo in > src/locked/in');
  await place.must(String.raw`touch src/z/$'odd\377'; chmod 0 src/z/odd*; chmod 0 src/locked; touch src/z/empty`);
  const whole = await run(place, 'pach put file data@master:/ -r -f src/');
  expect(whole).toMatchObject({ code: 1, stdout: '' });
  const named = Array.from({ length: 10 }, (_, n) => `src/a/no${n + 10}`).join(', ');
  expect(whole.stderr).toContain(
    `pach: 14 files or folders: they can't be read, so nothing was committed: ${named}, and 4 more; the first: you have no permission to read it\nhint: the same command with --skip-unreadable commits the rest\n`,
  );
  expect(await commits(place)).toBe('0\n');

  // Times of the last two seconds are not relied on, so that all would be read again anyway.
  await place.must('sleep 2.1');
  const rest = await run(place, 'pach put file data@master:/ -r -f src/ --skip-unreadable -o json');
  expect(rest.code).toBe(1);
  expect(json(rest).unreadable).toHaveLength(14);
  expect(json(rest).unreadable).toEqual(expect.arrayContaining(['src/a/no10', 'src/locked', 'src/z/odd\udcff']));
  expect(rest.stdout).toContain(String.raw`"src/z/odd\udcff"`);
  expect(rest.stderr.match(/left out: you have no permission to read it/g)).toHaveLength(14);
  expect(await place.must('pach list file data:/ -r | grep -c .')).toBe('6\n');
  expect(await place.must('pach get file data:/a/good; pach get file data:/z/last')).toBe('good\nz\n');

  // What is remembered of the folder is not that they were read.
  const again = await run(place, 'pach put file data@master:/ -r -f src/ --skip-unreadable -o json');
  expect(again.code).toBe(1);
  expect(json(again)).toMatchObject({ commit: json(rest).commit, unreadable: json(rest).unreadable });
  await place.must('chmod -R u+rwX src; pach put file data@master:/ -r -f src/ --skip-unreadable');
  expect(await place.must('pach get file data:/a/no21; pach get file data:/locked/in')).toBe('21\nin\n');
});

test('one is an error of its own; single files and the source itself may be left out too', async () => {
  await using place = await Place.make('user');
  await place.must('pach create repo data; echo a > a; echo b > b; echo c > c; chmod 0 b; mkdir -m 0 d');
  const one = await run(place, 'pach put file data@master:/ -f a -f b -f c');
  expect(one).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^pach: b: you have no permission to read it\nhint: .*unreadable/),
  });
  const three = await run(place, 'pach put file data@master:/ -r -f a -f b -f d -f c -f d --skip-unreadable -o json');
  expect(three.code).toBe(1);
  expect(json(three).unreadable).toEqual(['b', 'd', 'd']);
  expect(await place.must('pach list file data:/ | wc -l')).toBe('3\n');
  const alone = await run(place, 'pach put file data@master:/e -f b --skip-unreadable -o json');
  expect(alone.code).toBe(1);
  expect(json(alone)).toMatchObject({ commit: json(three).commit, unreadable: ['b'] });
  expect(await run(place, 'pach put file data@master:/ -f b --append')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('pach: b: you have no permission to read it\n'),
  });
  expect(await run(place, 'pach put file data@master:/ -f nope --skip-unreadable')).toMatchObject({ code: 3 });
  for (const words of ['-f a --append', '-f a --untar', '-f -', '-f https://localhost/a', '-f a -f s3://b/c']) {
    const { code, stderr } = await run(place, `pach put file data@master:/ ${words} --skip-unreadable`);
    expect({ words, code, stderr: stderr.slice(0, 24) }).toEqual({
      words,
      code: 2,
      stderr: 'pach: --skip-unreadable:',
    });
  }
});

test('sync --delete keeps what could not be read here', async () => {
  await using place = await Place.make('user');
  await place.must('pach create repo data; mkdir -p src/locked/below; echo 1 > src/locked/below/one; echo 2 > src/two');
  await place.must('echo 3 > src/three; echo 4 > src/four; pach sync src data@master:/copy');
  await place.must('rm src/three; echo 5 > src/two; chmod 0 src/two src/locked; echo 44 > src/four');
  const sync = 'pach sync src data@master:/copy --delete';
  expect(await run(place, sync)).toMatchObject({ code: 1, stderr: expect.stringContaining('src/locked, src/two') });
  const dry = await run(place, `${sync} --dry-run --skip-unreadable -o json`);
  expect(dry.code).toBe(1);
  expect(dry.stdout.split('\n').filter(Boolean)).toHaveLength(2);
  expect(dry.stderr).toContain('src/locked: left out: you have no permission to read it');
  expect(await run(place, `${sync} --dry-run`)).toMatchObject({ code: 1, stdout: '' });
  const done = await run(place, `${sync} --skip-unreadable -o json`);
  expect(done.code).toBe(1);
  expect(json(done).unreadable).toEqual(['src/locked', 'src/two']);
  expect(await place.must('pach get file data:/copy -r -o out; cd out; grep -r . | sort')).toBe(
    'four:44\nlocked/below/one:1\ntwo:2\n',
  );
  await place.must('chmod 0 src');
  const nothing = await run(place, `${sync} --skip-unreadable -o json`);
  expect(nothing.code).toBe(1);
  expect(json(nothing)).toMatchObject({ commit: json(done).commit, unreadable: ['src'] });
  await place.must('chmod 755 src');
});

test('a file whose disk gives errors is left out; where nothing is committed, the rest is not read', async () => {
  await using place = await Place.make('root');
  const random = (name: string) => `head -c 3000000 /dev/urandom > ${name}`;
  for (const name of ['broken', 'well']) {
    await place.must(
      `export PACH_STORE=$PWD/${name}; pach create repo r; ${random('f')}; pach put file r@master:/b -f f`,
    );
    await place.must(`export PACH_STORE=$PWD/${name}; mkdir m-${name}; pachmount r@master m-${name}`);
  }
  await place.must(
    'pach create repo data; echo fine > m-fine; for f in broken/projects/default/data/*/*; do : > $f; done',
  );
  const put = 'pach put file data@master:/ -r -f m-broken/ -f m-well/ -f m-fine';
  const whole = await run(place, put);
  expect(whole).toMatchObject({ code: 1, stderr: expect.stringMatching(/m-broken\/r\/b: it can't be read \(EIO\)\n/) });
  const well = (await place.mounts()).find(({ mountpoint }) => mountpoint.endsWith('m-well'));
  expect({ opened: (well?.counters.requests[14] ?? 0) > 0, read: well?.counters.requests[15] }).toEqual({
    opened: true,
    read: 0,
  });
  const rest = await run(place, `${put} --skip-unreadable -o json`);
  expect(rest.code).toBe(1);
  expect(json(rest).unreadable).toEqual(['m-broken/r/b']);
  expect(await place.must('pach get file data:/m-fine; pach get file data:/r/b | cmp - m-well/r/b')).toBe('fine\n');
});
