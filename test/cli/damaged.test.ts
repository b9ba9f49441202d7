/**
 * Damage in a store and on this machine's disk, as a user meets it.
 */
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';
import { s3ForTests } from '../support/s3.ts';

const filled = `mkdir -p src && head -c 3000000 /dev/urandom > src/big && echo fine > src/small &&
pach create repo data >/dev/null && pach put file data@master -r -f src/ >/dev/null`;

test('data packs that are newer, cut short or gone', async () => {
  await using place = await Place.make('root');
  await place.must(`${filled}; chmod -R u+w "$PACH_HOME"/store`);
  const pack = (await place.must('find "$PACH_HOME"/store/projects/default/data -type f')).trim();
  const name = pack.slice(pack.lastIndexOf('/') + 1);
  // The version in the footer, which only writers read: eight bytes before the end.
  await place.must(
    `cp ${pack} kept; printf '\\x63' | dd of=${pack} bs=1 seek=$(( $(stat -c %s ${pack}) - 8 )) conv=notrunc status=none`,
  );
  const newer = await place.run(
    'echo x | pach put file data@master:/x -f -; head -c 999 /dev/urandom | pach put file data@master:/y -f -',
  );
  expect(newer).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/needs a program that reads version 99/) as string,
  });
  expect(await place.must('pach get file data:/big | cmp - src/big; pach get file data:/small')).toBe('fine\n');
  for (const harm of [`truncate -s 1000000 ${pack}`, `rm ${pack}`]) {
    await place.must(harm);
    const got = await place.run('pach get file data:/big -o out');
    expect({ harm, ...got }).toMatchObject({ code: 6, stderr: expect.stringContaining(name) as string });
    expect(got.stderr).toMatch(/^pach: .+: .+\n(try|hint): .+\n$/);
    expect(await place.must('ls; pach get file data:/small')).toBe('home\nkept\nsrc\nfine\n');
    await place.must(`cp kept ${pack}`);
  }
  expect(await place.must('pach get file data:/big | cmp - src/big; echo whole')).toBe('whole\n');
});

test('a FIFO, device or folder in the place of an object is told, and nobody waits for it', async () => {
  await using place = await Place.make('root');
  await place.must(`${filled}; chmod -R u+w "$PACH_HOME"/store; mv "$PACH_HOME"/store store; mkdir "$PACH_HOME"/store`);
  const found = (await place.must('cd store; find . -type f -size +0 ! -name .lock | sort')).trim().split('\n');
  const places = {
    header: found.filter((path) => !path.includes('/projects/')),
    head: found.filter((path) => path.endsWith('/head')),
    data: found.filter((path) => path.includes('/data/')),
    meta: found.filter((path) => path.includes('/meta/')),
  };
  const list = 'list file data -r';
  const get = 'get file data:/big -o out';
  const all = [list, get, 'fsck', 'stats', 'gc', 'put file data@master -r -f src'];
  const needed = { header: all, head: all, data: [get, 'fsck'], meta: [list, get, 'fsck', 'stats', 'gc'] };
  const harmed = async (harm: string, part: keyof typeof places, commands: readonly string[]): Promise<void> => {
    await place.must('rm -rf "$PACH_HOME"/store pipe && cp -r store "$PACH_HOME"/store && mkfifo pipe');
    expect(places[part].length).toBeGreaterThan(0);
    for (const path of places[part]) await place.must(`p=$PWD; cd "$PACH_HOME"/store && rm ${path} && ${harm} ${path}`);
    for (const command of commands) {
      const { code, stderr } = await place.run(`pach ${command}`, 30);
      // What need not read it may do so all the same. fsck has words of its own.
      const isTold = needed[part].includes(command) || code !== 0;
      const why =
        isTold && command !== 'fsck' ? 'it is a FIFO, socket or device, and the store needs a regular file' : '';
      expect({ harm, part, command, code }).toEqual({ harm, part, command, code: isTold ? 6 : 0 });
      expect(stderr).toContain(why);
    }
  };
  for (const part of ['header', 'head', 'data', 'meta'] as const) await harmed('mkfifo', part, all);
  const script = 'require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, 9))';
  for (const harm of ['ln -s $p/pipe', 'ln -s /dev/zero', `! node -e '${script}'`]) {
    await harmed(harm, 'head', [list]);
    await harmed(harm, 'data', [get]);
  }
  // A large file of a mount is read by native threads.
  await harmed('mkfifo', 'data', []);
  const mounted = await place.run(
    'mkdir m && pachmount data@master m && timeout 20 cat m/data/big; echo $?; pach unmount m',
  );
  expect(mounted.stdout).toMatch(/\n1\n/);
  expect(mounted.stderr).toContain('Input/output error');
});

test('a stack is shown with -v and only then', async () => {
  await using place = await Place.make('root');
  await place.must(filled);
  expect((await place.run('pach get file data:/none')).stderr).not.toMatch(/\n\s+at /);
  expect((await place.run('pach -v get file data:/none')).stderr).toMatch(/^pach: .*\ntry: .*\nPachError: .*\n\s+at /);
});

test('what the cache has kept wrongly is fetched again, whatever it is', async () => {
  const { url, env } = await s3ForTests();
  await using place = await Place.make('root', { ...env, PACH_STORE: url });
  await place.must(`${filled}; pach get file data:/big | cmp - src/big`);
  await place.must('echo more | pach put file data@master:/more -f - && pach list file data -r');
  const kept = Number(await place.must('find "$PACH_HOME"/cache -type f | wc -l'));
  expect(kept).toBeGreaterThan(3);
  expect(await place.must('find "$PACH_HOME"/cache -name "*.tail" | head -1 | wc -l')).toBe('1\n');
  expect(await place.must('find "$PACH_HOME"/cache -perm /077 | wc -l')).toBe('0\n');
  for (const harm of [
    // Every file there of its old size with other bytes, then cut short, then gone.
    'for f in $(find "$PACH_HOME"/cache -type f); do head -c $(stat -c %s $f) /dev/urandom > $f; done',
    'for f in $(find "$PACH_HOME"/cache -type f); do truncate -s 10 $f; done',
    'rm -r "$PACH_HOME"/cache',
    // Nobody may write there: then nothing is kept.
    'rm -rf "$PACH_HOME"/cache; echo > "$PACH_HOME"/other; ln -s "$PACH_HOME"/other/no "$PACH_HOME"/cache/x 2>/dev/null; true',
  ]) {
    await place.must(harm);
    await place.must('pach get file data:/big | cmp - src/big && pach list file data -r');
    await place.must('head -c 1000 /dev/urandom | pach put file data@master:/more -f -');
  }
});
