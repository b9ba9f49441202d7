/**
 * gc, fsck, stats, purge, sync and --append as a user types them, on a folder and on S3.
 */
import { describe, expect, test } from 'vitest';
import { isLong } from '../support/long.ts';
import { Place } from '../support/place.ts';
import { s3ForTests } from '../support/s3.ts';

const json = async <T>(place: Place, command: string): Promise<T> =>
  JSON.parse(await place.must(`${command} -o json`)) as T;

describe.each(['folder', 's3'])('%s', (kind) => {
  async function make(): Promise<Place> {
    if (kind === 'folder') return Place.make('root');
    const { url, env } = await s3ForTests();
    return Place.make('root', { ...env, PACH_STORE: url });
  }

  test('what was purged leaves store and cache', async () => {
    await using place = await make();
    await place.must(
      'pach create repo data; head -c 3000000 /dev/urandom > secret; pach put file data@master:/p/secret -f secret',
    );
    await place.must('echo kept | pach put file data@master:/kept -f - ; pach get file data:/p/secret | cmp - secret');
    const [commit] = (await place.must('pach list commit data -o json'))
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as { commit: string });
    const result = await json<{ commits: string[] }>(place, 'pach purge data:/p');
    expect(result).toMatchObject({ computed: [], sameBytes: [] });
    expect(result.commits).toHaveLength(2);
    await place.must('pach gc --grace 0');
    expect(await place.run('pach get file data:/p/secret')).toMatchObject({ code: 3 });
    expect(await place.run('pach get file data@master^:/p/secret')).toMatchObject({ code: 3 });
    expect(await place.must('pach get file data:/kept')).toBe('kept\n');
    expect(await place.must('pach list commit data -n 1 -o json')).toContain(commit?.commit);
    // Nothing below this machine's own folder holds bytes of it: the folder store lies there too.
    expect(
      await place.must(
        "dd if=secret bs=64 skip=20000 count=1 status=none > part; python3 -c \"import os,sys;part=open('part','rb').read();print(sum(part in open(os.path.join(d,f),'rb').read() for d,_,fs in os.walk(os.environ['PACH_HOME']) for f in fs))\"",
      ),
    ).toBe('0\n');
    for (const wrong of ['data', 'data@master', 'data@master:/kept', 'data:/']) {
      expect(await place.run(`pach purge ${wrong}`)).toMatchObject({ code: 2 });
    }
    expect(await place.run('pach purge data:/none')).toMatchObject({ code: 3 });
  });

  // The rest is the same on both: S3 is looked at in `make test-long`.
  if (kind === 's3' && !isLong) return;

  test('what is deleted comes back as room, and what stays is whole', async () => {
    await using place = await make();
    await place.must('pach create repo data; head -c 9000000 /dev/urandom > a; head -c 9000000 /dev/urandom > b');
    await place.must('pach put file data@master:/a -f a; pach create repo other; pach put file other@master:/b -f b');
    await place.must(
      'for i in $(seq 9); do echo $i | pach put file data@master:/n$i -f - -q; done; pach delete repo other --force',
    );
    const before = await json<{ storedBytes: number; reclaimableBytes: number }>(place, 'pach stats');
    expect(before.reclaimableBytes).toBeGreaterThan(9_000_000);
    expect(await place.must('pach stats')).toMatch(/pach gc would free about 9\.\d+MB/);
    expect(await json(place, 'pach gc --grace 0 --dry-run')).toMatchObject({ bytesBefore: before.storedBytes });
    expect(await json(place, 'pach stats')).toEqual(before);
    const day = await json<{ condemnedBytes: number }>(place, 'pach gc');
    expect(day).toMatchObject({ deletedObjects: 0 });
    const now = await json<{ bytesAfter: number; objectsAfter: number }>(place, 'pach gc --grace 0');
    expect(now.bytesAfter).toBeLessThan(9_100_000);
    expect(now.objectsAfter).toBeLessThan(8);
    await place.must('pach get file data:/a | cmp - a && test "$(pach get file data:/n7)" = 7');
    expect(await json(place, 'pach fsck --read-data 100%')).toMatchObject({ errors: 0, warnings: 0 });
    expect(await place.run('pach gc --grace soon')).toMatchObject({ code: 2 });
    expect(await place.run('pach fsck --read-data 101%')).toMatchObject({ code: 2 });
  });

  test('sync and --append', async () => {
    await using place = await make();
    await place.must('mkdir -p src/sub; echo 1 > src/one; echo 2 > src/sub/two; pach create repo data');
    await place.must(
      'pach sync src data@master:/copy; rm src/one; echo 3 > src/three; pach sync src data@master:/copy',
    );
    expect(await place.must('pach list file data:/copy -r | wc -l')).toBe('5\n');
    await place.must(
      'pach sync src data@master:/copy --delete; mkdir out; pach get file data:/copy -r -o out; diff -r src out',
    );
    const again = await json<{ newBytes: number; files: number }>(place, 'pach sync src data@master:/copy --delete');
    expect(again).toMatchObject({ files: 2, newBytes: 0 });
    expect(await place.run('pach sync src/three data@master:/copy')).toMatchObject({ code: 1 });
    await place.must(
      'for i in 1 2 3; do echo line $i > part; pach put file data@master:/log --append -f part; done; echo line 4 | pach put file data@master:/log --append -f -',
    );
    expect(await place.must('pach get file data:/log')).toBe('line 1\nline 2\nline 3\nline 4\n');
    expect(await place.run('pach put file data@master:/x --append -r -f src')).toMatchObject({ code: 2 });
  });
});

test('sync says what it would change, and deletes all of a branch only when it is asked to', async () => {
  await using place = await Place.make('root');
  const long = 't'.repeat(3000);
  await place.must(
    `mkdir -p src/sub src/empty; echo 1 > src/one; echo 2 > src/sub/two; head -c 600000 /dev/urandom > src/big; ln -s ${long} src/link
     pach create repo data; echo kept | pach put file data@master:/kept -f -; pach sync src data@master:/copy`,
  );
  const objects = (): Promise<string> => place.must('cd "$PACH_HOME"/store; find . -type f | sort | xargs sha256sum');
  const before = await objects();
  const tried = async (words: string): Promise<{ code: number; rows: unknown[]; total: string }> => {
    const { code, stdout, stderr } = await place.run(`pach sync src ${words} --dry-run -o json`);
    const rows = stdout.split('\n').filter(Boolean);
    return { code, rows: rows.map((row) => JSON.parse(row) as unknown), total: stderr };
  };
  expect(await tried('data@master:/copy --delete')).toEqual({
    code: 0,
    rows: [],
    total: 'pach: nothing would change\n',
  });
  await place.must(
    `rm src/one; rmdir src/empty; echo 22 > src/sub/two; head -c 40000000 /dev/urandom > src/more; ln -sf ${long}x src/link; ln -s ${long} src/other`,
  );
  const rows = [
    { path: '/copy/link', change: 'changed', old: { target: long }, new: { bytes: 3001, target: `${long}x` } },
    { path: '/copy/more', change: 'added', new: { kind: 'file', bytes: 40_000_000 } },
    { path: '/copy/one', change: 'removed', old: { bytes: 2 } },
    { path: '/copy/other', change: 'added', new: { target: long } },
    { path: '/copy/sub/two', change: 'changed', old: { bytes: 2 }, new: { bytes: 3 } },
  ];
  const trial = await tried('data@master:/copy --delete');
  expect(trial).toMatchObject({
    code: 10,
    rows,
    total: 'pach: 2 added (40.0MB), 2 changed (3.00kB), 1 removed (2B)\n',
  });
  expect((await tried('data@master:/copy')).rows).toHaveLength(4);
  expect(await place.run('pach sync src data@master:/copy --dry-run')).toMatchObject({
    stdout: '   NAME\n~  /copy/link\n+  /copy/more\n+  /copy/other\n~  /copy/sub/two\n',
  });
  expect((await tried('data@new')).rows).toHaveLength(5);
  expect((await tried('data@master:/ --delete')).rows).toContainEqual(expect.objectContaining({ path: '/kept' }));
  expect(await tried('nothing@master:/x')).toMatchObject({ code: 3 });
  // All that was only tried has left the store as it was; the sync itself does what it said.
  expect(await objects()).toBe(before);
  await place.must('pach sync src data@master:/copy --delete');
  const done = await place.run('pach diff file data@master -o json');
  expect(
    done.stdout
      .split('\n')
      .filter(Boolean)
      .map((row) => JSON.parse(row) as unknown),
  ).toEqual(trial.rows);
  expect(await tried('data@master:/copy --delete')).toMatchObject({ code: 0, rows: [] });
  await place.must('mkdir src/empty');
  expect(await tried('data@master:/copy')).toMatchObject({
    code: 10,
    rows: [],
    total: 'pach: only empty folders would change\n',
  });

  for (const target of ['data@master', 'data', 'data@master:']) {
    for (const more of ['', ' --dry-run']) {
      const refused = await place.run(`pach sync src ${target} --delete${more}`);
      expect(refused).toMatchObject({ code: 2, stdout: '' });
      const next = target.replace(/:$/, '');
      expect(refused.stderr).toContain(
        `try: pach sync src ${next}:/src --delete\n or: pach sync src ${next}:/ --delete\n`,
      );
    }
  }
  expect(await place.must('pach get file data:/kept')).toBe('kept\n');
  await place.must('pach sync src data@master:/ --delete');
  expect(await place.must('pach list file data@master | wc -l')).toBe('7\n');
});

test('a put that was killed, run again, stores what was missing', async () => {
  await using place = await Place.make('root');
  await place.must('pach create repo data; head -c 400000000 /dev/urandom > big');
  await place.must(
    'pach put file data@master:/big -f big & p=$!; while [ $(find "$PACH_HOME"/store -path "*/data/*" -type f | wc -l) -lt 9 ]; do sleep 0.02; done; kill -9 $p; wait $p || true',
  );
  const { newBytes, bytes } = await json<{ newBytes: number; bytes: number }>(
    place,
    'pach put file data@master:/big -f big',
  );
  expect(bytes).toBe(400_000_000);
  expect(newBytes).toBeLessThan(bytes - 5 * 24 * 1024 * 1024);
  await place.must('pach get file data:/big | cmp - big', 120);
});

test('gc counts and deletes what killed writers left in a folder', async () => {
  await using place = await Place.make('root');
  await place.must('pach create repo data');
  const temporary = `${place.store}/.tmp`;
  await place.must(`head -c 5000000 /dev/urandom > ${temporary}/77-0123456789abcdef; echo mine > ${temporary}/mine`);
  const { reclaimableBytes, leftoverBytes } = await json<Record<string, number>>(place, 'pach stats');
  expect({ leftoverBytes, more: reclaimableBytes! >= 5_000_000 }).toEqual({ leftoverBytes: 5_000_000, more: true });
  expect(await place.must('pach stats')).toContain(', left by killed writers 5.00MB\n');
  const left = { leftoverFiles: 1, leftoverBytes: 5_000_000 };
  expect(await json(place, 'pach gc')).toMatchObject({ leftoverFiles: 0, leftoverBytes: 0 });
  expect(await json(place, 'pach gc --grace 0 --dry-run')).toMatchObject(left);
  expect(await place.must('pach gc --grace 0 --dry-run')).toContain(
    '\nWould delete 1 file of killed writers, 5.00MB.\n',
  );
  expect(await json(place, 'pach gc --grace 0')).toMatchObject(left);
  expect(await json(place, 'pach gc --grace 0')).toMatchObject({ leftoverFiles: 0, leftoverBytes: 0 });
  expect(await place.must(`ls ${temporary}`)).toBe('mine\n');
});
