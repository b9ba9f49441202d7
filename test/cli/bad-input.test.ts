/**
 * What wrong input, broken stores and rude endings get: a clear error, a right exit code, and
 * nothing lost.
 */
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';
import { s3ForTests, s3Stranger } from '../support/s3.ts';

const filled = `mkdir -p src && head -c 3000000 /dev/urandom > src/big && echo fine > src/small &&
pach create repo data >/dev/null && pach put file data@master -r -f src/ >/dev/null`;
const store = '"$PACH_HOME"/store';

/** Runs a command that must fail so, without a stack. */
async function fails(place: Place, command: string, code: number, message: RegExp): Promise<void> {
  const result = await place.run(command);
  expect({ command, code: result.code, stderr: result.stderr }).toEqual({
    command,
    code,
    stderr: expect.stringMatching(message) as string,
  });
  expect(result.stderr).toMatch(/^pach: .+: .+/m);
  expect(result.stderr).not.toMatch(/\n\s+at /);
}

test('what is not there, and what is wrongly asked', async () => {
  await using place = await Place.make('root');
  await place.must(filled);
  await fails(place, 'pach inspect repo nope', 3, /repo nope.*\ntry: pach list repo/);
  await fails(place, 'pach list file nope', 3, /repo nope/);
  await fails(place, 'pach list file data@nope', 3, /no branch or commit nope/);
  await fails(place, 'pach list file data@master:/nope', 3, /no such file/);
  await fails(place, 'pach inspect commit data@master^^^', 3, /does not have that many ancestors/);
  await fails(place, 'pach list file data@2001-01-01', 3, /no commit that old/);
  await fails(place, 'pach get file data:/../etc/passwd', 2, /\.\./);
  await fails(place, 'pach put file data@master:/a/../b -f src/small', 2, /\.\./);
  await fails(place, 'pach put file data@master -f nope', 3, /nope: there is no such file/);
  await fails(place, 'pach put file data@master -f src', 2, /a folder\nhint: .*-r/);
  await fails(place, 'pach put file data@master -f - < /dev/null', 2, /needs a file name\nhint: /);
  await fails(place, 'pach put file data@master^:/x -f src/small', 2, /you can change only a branch\b/);
  await fails(place, 'pach put file data@master:/small/x -f src/small', 4, /is a file, not a folder/);
  await fails(place, 'mkdir d; pach put file data@master:/small -r -f d', 4, /there is a file at this path/);
  await fails(place, 'pach create repo data', 4, /already exists/);
  await fails(place, "pach create repo 'a b'", 2, /./);
  await fails(place, 'pach create branch data@master', 4, /already exists/);
  await fails(place, 'pach delete branch data@nope', 3, /no such branch/);
  await fails(place, 'pach delete file data@master:/', 2, /it is a folder\ntry: .*-r/);
  await fails(place, 'pach frobnicate', 2, /try: pach --help/);
  await fails(place, 'pach list repo --frob', 2, /frob/);
  await fails(place, 'pach list repo -o xml', 2, /xml/);
  await fails(place, 'pach get file data:/ -o out', 2, /it is a folder\ntry: .*-r/);
  await fails(place, 'pach get file data:/small -o no/such/file', 3, /parent folder/);
  expect(await place.must('pach list commit data -o json | wc -l')).toBe('1\n');
});

test('stores that are none, are newer, or can not be reached', async () => {
  await using place = await Place.make('root');
  await place.must(`mkdir other && echo x > other/file`);
  await fails(place, 'pach --store other list repo', 2, /not a pachmount store/);
  await fails(place, 'pach --store other create repo a', 2, /not a pachmount store/);
  expect(await place.must('ls -A other')).toBe('file\n');
  await fails(place, 'pach --store nothing list repo', 3, /no store yet\ntry: /);
  await fails(place, 'pach --store ftp://x list repo', 2, /ftp/);
  const { url, endpoint, bucket, env } = await s3ForTests();
  const exports = Object.entries(env)
    .map(([name, value]) => `${name}='${value}'`)
    .join(' ');
  await fails(
    place,
    `env ${exports} pach --store 's3://${bucket}/p?endpoint=http://127.0.0.1:9' list repo`,
    5,
    /127\.0\.0\.1:9/,
  );
  await fails(
    place,
    `env ${exports} pach --store 's3://no-such-bucket-x?endpoint=${endpoint}' create repo a`,
    3,
    /no-such-bucket-x/,
  );
  const stranger = Object.entries({ ...env, ...(await s3Stranger()) })
    .map(([name, value]) => `${name}='${value}'`)
    .join(' ');
  await fails(place, `env ${stranger} pach --store '${url}' create repo a`, 1, /denied|may not|rights|permission/i);
  await place.must(filled);
  for (const object of ['pachmount', 'projects/default/head']) {
    await place.must(
      `f=${store}/${object}; cp $f kept; chmod u+w $f; printf '\\x63' | dd of=$f bs=1 conv=notrunc status=none`,
    );
    await fails(place, 'pach list repo', 1, /needs a program/);
    await place.must(`chmod u+w ${store}/${object}; cp -f kept ${store}/${object}`);
  }
  expect(await place.must('pach get file data:/small')).toBe('fine\n');
});

test('damaged packs: the error names the pack, and what is whole can be read', async () => {
  await using place = await Place.make('root');
  await place.must(filled);
  const flip = (pack: string, at: string): string =>
    `chmod u+w ${pack}; b=$(od -An -tu1 -j ${at} -N 1 ${pack}); printf "\\\\$(printf %o $(( (b + 1) % 256 )))" | dd of=${pack} bs=1 seek=${at} conv=notrunc status=none`;
  await place.must(`p=$(find ${store}/projects/default/data -type f); ${flip('$p', '100000')}`);
  const pack = (await place.must(`basename $(find ${store}/projects/default/data -type f)`)).trim();
  await fails(place, 'pach get file data:/big -o out', 6, new RegExp(`${pack}.*\\n((try|hint): .*)?`));
  expect(await place.must('ls; pach get file data:/small')).toBe('home\nsrc\nfine\n');
  const metas = (await place.must(`find ${store}/projects/default/meta -type f`)).trim().split('\n');
  for (const meta of metas) {
    await place.must(`cp ${meta} kept; ${flip(meta, '60')}`);
    const results = await Promise.all(
      ['pach list file data -r', 'pach list repo', 'pach list commit data'].map((command) => place.run(command)),
    );
    for (const { code, stderr } of results) {
      expect([0, 6]).toContain(code);
      expect(stderr).toMatch(code === 6 ? /^pach: .*\n/ : /^$/);
      expect(stderr).not.toMatch(/\n\s+at /);
    }
    await place.must(`cp -f kept ${meta}; truncate -s 50 ${meta}`);
    expect([0, 6]).toContain((await place.run('pach list file data -r')).code);
    await place.must(`cp -f kept ${meta}; mv ${meta} gone`);
    expect([0, 6]).toContain((await place.run('pach list file data -r')).code);
    await place.must(`mv gone ${meta}`);
  }
  expect(await place.must('pach list file data -o json | wc -l')).toBe('2\n');
});

test('a full disk while a put writes: nothing is half visible, and the next put works', async () => {
  await using place = await Place.make('root');
  await place.must('mkdir disk && mount -t tmpfs -o size=8m none disk');
  try {
    await place.must(
      'export PACH_STORE=$PWD/disk/store; pach create repo data && echo x | pach put file data@master:/x -f -',
    );
    await fails(
      place,
      'head -c 20000000 /dev/urandom | pach --store $PWD/disk/store put file data@master:/big -f -',
      1,
      /full|space/,
    );
    expect(
      await place.must(
        'export PACH_STORE=$PWD/disk/store; pach list file data -o json | wc -l; echo y | pach put file data@master:/y -f - >/dev/null && pach get file data:/y',
      ),
    ).toBe('1\ny\n');
  } finally {
    await place.must('umount -l disk');
  }
});

test('sources that move, can not be read, or are no files', async () => {
  await using place = await Place.make('user');
  await place.must(filled);
  await place.must('head -c 300000000 /dev/zero | tr "\\0" x > src/growing');
  await fails(
    place,
    '(while [ ! -e stop ]; do echo x >> src/growing; sleep 0.01; done) & pach put file data@master -r -f src/; code=$?; touch stop; wait; exit $code',
    1,
    /growing: it changed while it was read.*\nhint: /,
  );
  await place.must('rm -f stop src/growing; mkfifo src/pipe; echo secret > src/locked; chmod 0 src/locked');
  await fails(place, 'pach put file data@master -r -f src/', 1, /locked: you have no permission to read it/);
  // What is named itself is read; where it lies in a folder it is left out.
  await fails(place, 'pach put file data@master -f src/pipe', 2, /a pipe needs a file name\nhint: /);
  await place.must('chmod 600 src/locked && pach put file data@master -r -f src/ && pach get file data:/locked');
  expect(await place.must('pach list file data -o json | wc -l')).toBe('3\n');
});

test('an interrupted put commits nothing, and killed ones lose nothing', async () => {
  await using place = await Place.make('root');
  await place.must(filled);
  // More than the pipe holds: when all of it is written, the command has begun to read.
  const typing =
    'mkfifo typing; exec 7<> typing; pach put file data@master:/typed -f - <&7 & pid=$!; head -c 200000 /dev/zero >&7';
  const interrupted = await place.run(
    `${typing}; kill -INT $pid; wait $pid; echo $?; exec 7>&-; pach put file data@master:/later -f src/small >/dev/null; pach list file data -o json`,
  );
  expect(interrupted.stdout).toMatch(/^130\n/);
  expect(interrupted.stderr).toMatch(/interrupted: nothing was committed/);
  expect(interrupted.stdout).toContain('/later');
  expect(interrupted.stdout).not.toContain('/typed');
  // What never comes, and what never ends: each hears a signal, when it is known to wait or to read.
  await place.must(
    `mkfifo never; tar -cf folder.tar --no-recursion --format=ustar src; head -c 512 folder.tar > folder; for i in $(seq 2000); do cat folder; done > folders`,
  );
  const waiting = (command: string): string =>
    `pach ${command} 2> said & pid=$!; until ls -l /proc/$pid/fd | grep -q never; do sleep 0.02; done; kill -TERM $pid; wait $pid; echo $? $(cat said)`;
  const reading = (command: string): string =>
    `while cat folders; do :; done 2> /dev/null | pach ${command} 2> said & pid=$!; until [ "$(sed -n 's/rchar: //p' /proc/$pid/io)" -gt 20000000 ]; do sleep 0.02; done; kill -TERM $pid; wait $pid; echo $? $(cat said)`;
  for (const script of [
    waiting('put file data@master:/x/ --untar -f never'),
    waiting('put file data@master:/x/ -i never'),
    waiting('create pipeline -f never'),
    waiting('create secret -f never'),
    reading('put file data@master:/x/ --untar -f -'),
  ]) {
    expect(await place.must(script, 30)).toBe('130 pach: interrupted: nothing was committed\n');
  }
  expect((await place.run('pach list file data@master:/x')).code).toBe(3);
  // What stores nothing says nothing of a commit. Its first bytes have come when it is interrupted.
  const got = await place.must(`head -c 1000000 /dev/zero | pach put file data@master:/big -f - > out
    mkfifo held; exec 8<> held; pach get file data:/big > held 2> said & pid=$!
    head -c 1000 <&8 > out; kill -INT $pid; wait $pid; echo $? $(cat said); pach delete file data@master:/big > out`);
  expect(got).toBe('130 pach: interrupted: it has not finished\n');
  const kills = 6;
  for (let round = 0; round < kills; round += 1) {
    await place.run(
      `head -c 2000000 /dev/urandom > src/r${round}; timeout -s KILL 0.${15 + round * 10} pach put file data@master:/r${round} -f src/r${round} > ack${round}`,
    );
  }
  await place.must(
    'for a in ack*; do if [ -s $a ]; then n=${a#ack}; pach get file data@$(cat $a):/r$n | cmp - src/r$n || exit 1; fi; done',
    60,
  );
  await place.must('pach get file data:/ -r -o all && pach put file data@master:/end -f src/small');
});

test('get never writes through a link or over a folder', async () => {
  await using place = await Place.make('root');
  await place.must(
    'mkdir -p src/a outside && echo inside > src/a/f && pach create repo data && pach put file data@master -r -f src/',
  );
  await place.must('mkdir out && ln -s ../outside out/a');
  await fails(place, 'pach get file data:/ -r -o out', 4, /a folder must be written there/);
  expect(await place.must('ls outside')).toBe('');
  await place.must('rm out/a && mkdir out/a && ln -s ../../outside/x out/a/f && pach get file data:/ -r -o out');
  expect(await place.must('ls outside; cat out/a/f; test -L out/a/f || echo file')).toBe('inside\nfile\n');
  expect(await place.must('stat -c %a "$PACH_HOME" "$PACH_HOME"/cache')).toBe('700\n700\n');
});
