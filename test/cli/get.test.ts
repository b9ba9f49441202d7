/**
 * Where `get file` writes, and where it must not.
 */
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

const filled = `mkdir src && head -c 200000 /dev/urandom > src/one && echo fine > src/small && printf '' > src/empty &&
pach create repo data >/dev/null && pach put file data@master -r -f src/ >/dev/null`;

test('standard output, by any of its names', async () => {
  await using place = await Place.make('root');
  await place.must(filled);
  for (const target of ['', '-o -', '-o /dev/stdout'])
    await place.must(
      `pach get file data:/one ${target} > out && cmp out src/one && pach get file data:/empty ${target}`,
    );
  expect(await place.must('pach get file data:/one -o /dev/stdout | cmp - src/one; readlink /dev/stdout')).toBe(
    '/proc/self/fd/1\n',
  );
  const full = await place.run('pach get file data:/one > /dev/full');
  expect(full).toMatchObject({ code: 1, stderr: 'pach: standard output: the disk is full\n' });
  // Who has seen enough is no error.
  expect(await place.must('pach get file data:/one | head -c 3 | wc -c; echo ${PIPESTATUS[0]}')).toBe('3\n0\n');
});

test('devices and FIFOs are written to, files and links replaced, folders put into', async () => {
  await using place = await Place.make('root');
  await place.must(filled);
  await place.must('mknod null c 1 3 && pach get file data:/one -o null && test -c null');
  await place.must(
    'mkfifo pipe; (cat pipe | cmp - src/one) & pach get file data:/one -o pipe && wait $! && test -p pipe',
  );
  await place.must(
    'mkdir d && ln -s src/small link && pach get file data:/one -o d && pach get file data:/one -o link && cmp d/one src/one && cmp link src/one',
  );
  expect(await place.must('test -L link || cat src/small')).toBe('fine\n');
  const gone = await place.run('pach get file data:/one -o no/such');
  expect(gone).toMatchObject({ code: 3, stderr: 'pach: no/such: its parent folder does not exist\n' });
});

test('a FIFO that nobody reads ends with a signal', async () => {
  await using place = await Place.make('root');
  await place.must(filled);
  const waiting = await place.run('mkfifo q; timeout -k 20 2 pach get file data:/one -o q; echo $?');
  // 137 where it had to be killed.
  expect(waiting.stdout).toBe('124\n');
});

test('a full disk, wherever it becomes full: no file that is not whole', async () => {
  await using place = await Place.make('root');
  await place.must(`${filled}; mkdir disk && mount -t tmpfs -o size=128k none disk`);
  try {
    // The last write takes a part of the only chunk; without care the rest would be zeros.
    for (const command of ['/one -o disk/one', '/ -r -o disk']) {
      const got = await place.run(`pach get file data:${command}`);
      expect(got).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/disk.*: the disk is full\nhint: /) as string,
      });
      expect(await place.must('find disk -name one -o -name ".pach*"')).toBe('');
    }
  } finally {
    await place.must('umount -l disk');
  }
});

test('what lies in the target stays, but for what has the same name', async () => {
  await using place = await Place.make('root');
  await place.must(`${filled}; mkdir out && echo mine > out/mine && echo old > out/small && ln -s ../src/one out/one`);
  await place.must('pach get file data:/ -r -o out && cmp out/one src/one && test ! -L out/one && ls -A out > listed');
  expect(await place.must('cat listed out/mine out/small')).toBe('empty\nmine\none\nsmall\nmine\nfine\n');
  await place.must('rm out/small && mkdir out/small');
  const blocked = await place.run('pach get file data:/ -r -o out');
  expect(blocked).toMatchObject({
    code: 4,
    stderr: expect.stringMatching(/out\/small: it is a folder, and a file must be written there/) as string,
  });
  const file = await place.run('pach get file data:/ -r -o src/one');
  expect(file.code).not.toBe(0);
  expect(await place.must('stat -c %s src/one')).toBe('200000\n');
});

test('times are those that were put, also before 1970', async () => {
  await using place = await Place.make('root');
  await place.must(
    `mkdir -p src/d && echo x > src/f && ln -s f src/l && echo x > src/d/later &&
     touch -hd '1969-12-31 23:59:58.5 UTC' src/f src/l && touch -d '2100-01-02 UTC' src/d/later && touch -d '1901-12-20 01:02:03 UTC' src/d`,
  );
  await place.must('pach create repo data && pach put file data@master:/ -r -f src/ && pach get file data:/ -r -o out');
  const times = (folder: string): Promise<string> =>
    place.must(`cd ${folder} && stat -c '%n %.9Y' f l d d/later && TZ=UTC stat -c '%y' d`);
  expect(await times('out')).toBe(
    'f -1.500000000\nl -1.500000000\nd -2146949877.000000000\nd/later 4102531200.000000000\n1901-12-20 01:02:03.000000000 +0000\n',
  );
  expect(await times('out')).toBe(await times('src'));
  await place.must('pach get file data:/f -o one && test "$(stat -c %.1Y one)" = -1.5');
  // The author is who the system says, where no variable tells, and a number where it does not know.
  const author = async (run: string): Promise<string> =>
    place.must(
      `chmod -R a+rwX "$PACH_HOME" . && echo $RANDOM | ${run} pach put file data@master:/a -f - > /dev/null && pach list commit data -n 1 -o json | grep -o '"author":"[^"]*"'`,
    );
  const unknown = 'setpriv --reuid=54321 --regid=54321 --clear-groups env -u USER';
  expect(await author('env -u USER -u LOGNAME')).toBe('"author":"root"\n');
  expect(await author(`${unknown} -u LOGNAME PACH_STORE="$PACH_HOME/store" PACH_HOME=$PWD/other`)).toBe(
    '"author":"uid-54321"\n',
  );
  // Nor need there be a home folder.
  expect(
    await place.must(
      `chmod a+x "$PACH_HOME"; ${unknown} -u HOME PACH_HOME=$PWD/other PACH_STORE="$PACH_HOME/store" pach list repo -o json`,
    ),
  ).toMatch('"repo":"data"');
  expect(await place.run(`${unknown} -u HOME -u PACH_HOME pach list repo`)).toEqual({
    code: 2,
    stdout: '',
    stderr:
      'pach: user 54321: this user has no home folder, and HOME names none\nhint: set PACH_HOME to a folder of this user\n',
  });
});
