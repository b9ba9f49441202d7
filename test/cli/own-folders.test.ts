/**
 * Folders that come from a user or the environment: nothing is written or removed in one that pach did
 * not make, whatever it is named for.
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { isLong } from '../support/long.ts';
import { Place, type Result, type Who } from '../support/place.ts';

/** A folder of the user's, whose names are such as pach gives, too. */
const victim = `mkdir -p victim/d; echo kept > victim/d/a; echo kept > victim/0-5; echo kept > victim/${'a'.repeat(64)}
  mkdir -p victim/1.2; echo kept > victim/1.2/a; echo kept > victim/0123456789abcdef.json; touch -d 2001-01-01 victim/*
  find victim -printf '%p %s %T@ %m\\n' | sort > before`;
const untouched = `find victim -printf '%p %s %T@ %m\\n' | sort | diff before -`;
const content = `pach create repo data; mkdir -p src/d; head -c 2000000 /dev/urandom > src/big; echo a > src/d/a
  pach put file data@master -r -f src/ -q`;

async function place(who: Who): Promise<Place> {
  const there = await Place.make(who);
  await there.must(`${content}; ${victim}`);
  return there;
}

/** Runs a command that must be refused before it does anything. */
async function refused(there: Place, command: string, said: RegExp): Promise<void> {
  const { code, stdout, stderr } = await there.run(command);
  expect({ code, stdout, stderr }).toEqual({ code: 2, stdout: '', stderr: expect.stringMatching(said) });
  await there.must(untouched);
}

describe.each<Who>(isLong ? ['root', 'user'] : ['root'])('as %s', (who) => {
  test('a cache folder that pach did not make is refused', async () => {
    expect.hasAssertions();
    await using there = await place(who);
    const other = /the disk cache .*\/victim: it holds something that pach did not make \(.*\nhint: --cache FOLDER/;
    for (const verb of ['cache clear', 'cache verify', 'cache stats', 'cache warm data', 'mount data pfs'])
      await refused(there, `pach ${verb} --cache victim`, other);
    // Others tag their caches, too.
    await there.must(`echo 'Signature: 8a477f597d28d172789f06886806bc55' > victim/CACHEDIR.TAG
      find victim -printf '%p %s %T@ %m\\n' | sort > before`);
    await refused(there, 'pach cache clear --cache victim', other);
    await there.must('ln -s victim link');
    await refused(there, 'pach cache clear --cache link', /link: it is a symbolic link.*\nhint: --cache .*\/victim\n/);
    await there.must('rm -r "$PACH_HOME"/cache; ln -s "$PWD/victim" "$PACH_HOME/cache"');
    for (const verb of ['cache clear', 'get file data@master:/big -o got'])
      await refused(there, `pach ${verb}`, /\.pachmount\/cache: it is a symbolic link/);
    if (who === 'user') return;
    await there.must('mkdir theirs; chown 65534 theirs');
    await refused(there, 'pach cache warm data --cache theirs', /theirs: it belongs to another user \(65534\)/);
  });

  test('clearing a cache removes what pach made, says what that was, and leaves the rest', async () => {
    await using there = await place(who);
    await there.must(
      'pach cache warm data; cp -a victim/. "$PACH_HOME/cache"; echo kept > "$(dirname "$PACH_HOME"/cache/*/projects)"/projects/default/files/x',
    );
    const { stdout, stderr, code } = await there.run('pach cache clear -o json');
    expect(code).toBe(0);
    const cleared = JSON.parse(stdout) as { bytes: number; files: number; left: string[] };
    expect(cleared.bytes).toBeGreaterThan(2_000_000);
    expect(cleared.left.length).toBe(6);
    expect(cleared).toMatchObject({ left: expect.arrayContaining(['d', '0-5']) });
    expect(stderr.match(/^pach: not removed, because pach did not make it: /gm)?.length).toBe(6);
    await there.must(`for f in $(cd victim; find . -type f); do cmp victim/$f "$PACH_HOME/cache/$f" || exit; done
      grep -q kept "$PACH_HOME"/cache/*/projects/default/files/x`);
    expect(JSON.parse(await there.must('pach cache clear -o json'))).toMatchObject({ bytes: 0, files: 0 });
  });

  test('a cache and a home of an earlier version, without tags, go on', async () => {
    await using there = await place(who);
    await there.must('pach cache warm data; rm "$PACH_HOME"/cache/CACHEDIR.TAG "$PACH_HOME"/PACH_HOME.TAG');
    expect(JSON.parse(await there.must('pach cache warm data -o json'))).toMatchObject({ fetchedBytes: 0 });
    const tag = await readFile(join(there.dir, 'home/.pachmount/cache/CACHEDIR.TAG'), 'utf8');
    expect(tag).toMatch(/^Signature: 8a477f597d28d172789f06886806bc55\n/);
    await there.must('test -f "$PACH_HOME"/PACH_HOME.TAG');
  });

  test('a link in place of the state, or of a part of it, is refused', async () => {
    expect.hasAssertions();
    await using there = await place(who);
    const spec = `pipeline: {name: p}\ninput: {pfs: {repo: data, glob: /*}}\ntransform: {cmd: ['true']}`;
    await there.must(`cat > p.yaml <<'.'\n${spec}\n.\npach create pipeline -f p.yaml`);
    const at = (part: string): string => `rm -rf "$PACH_HOME/${part}"; ln -s "$PWD/victim" "$PACH_HOME/${part}"`;
    const commands = [
      ['run', 'pach run pipeline p'],
      ['logs', 'pach run pipeline p'],
      ['mounts', 'pach mounts'],
      ['mounts', 'pachmount data pfs'],
      ['secrets', 'pach list secret'],
      ['seen', 'pach put file data@master -r -f src/'],
    ] as const;
    for (const [part, command] of commands) {
      await there.must(at(part));
      await refused(there, command, new RegExp(`\\.pachmount/${part}: it is a symbolic link`));
      await there.must(`rm "$PACH_HOME/${part}"`);
    }
    await there.must('mv "$PACH_HOME" moved; ln -s "$PWD/victim" "$PACH_HOME"');
    await refused(there, 'pach create repo x', /PACH_HOME .*: it is a symbolic link.*\nhint: PACH_HOME=.*\/victim\n/);
    await refused(there, 'PACH_HOME=victim pach create repo x', /it holds something that pach did not make/);
  });

  test('links within a cache or a store are not followed', async () => {
    expect.hasAssertions();
    await using there = await place(who);
    await there.must(`cd "$PACH_HOME"/cache/*/ && rm -rf projects; ln -s "$OLDPWD/victim" projects`);
    await there.must(`pach get file data@master:/big -o got && cmp got src/big && pachmount data pfs && cmp pfs/data/big src/big
      pach unmount pfs && ${untouched}`);
    await there.must(`pach cache clear && ${untouched} && test -L "$PACH_HOME"/cache/*/projects`);
    await there.must(`cd "$PACH_HOME"/store; rm -r .tmp; ln -s "$OLDPWD/victim" .tmp`);
    await refused(there, 'pach create repo more', /store\/\.tmp: it is not a folder, or it is a symbolic link/);
  });

  test('what is fetched stays in the folder that was named', async () => {
    await using there = await place(who);
    await there.must('mkdir out; ln -s "$PWD/victim/d" out/d; ln -s "$PWD/victim/0-5" out/big');
    const { code, stderr } = await there.run('pach get file data@master:/ -r -o out');
    expect({ code, stderr }).toEqual({
      code: 4,
      stderr: expect.stringMatching(/out\/d: it is not a folder, and a folder must be written there/),
    });
    await there.must(
      `${untouched} && rm out/d && pach get file data@master:/ -r -o out && diff -r src out && test ! -L out/big && ${untouched}`,
    );
  });

  test('what is put never holds the store that is written to, a PACH_HOME or a cache', async () => {
    await using there = await Place.make(who);
    const within = async (script: string): Promise<Result> =>
      there.run(`export PACH_STORE=$PWD/proj/store PACH_HOME=$PWD/proj/.pach; ${script}`);
    // Another's store is data, and so is another program's cache.
    const made = await within(`mkdir -p proj/deep/theirs proj/target; echo a > proj/a
      (cd proj/deep/theirs; PACH_STORE=$PWD/store PACH_HOME=$PWD/home pach create repo x)
      echo 'Signature: 8a477f597d28d172789f06886806bc55' > proj/target/CACHEDIR.TAG
      pach create repo data; pach put file data@master -f proj/a -q; pach cache warm data --cache proj/cache
      echo '{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "v"}}' | pach create secret -f -
      ln -s proj/.pach link`);
    expect(made.code).toBe(0);
    const own = ['.pach', 'cache', 'deep/theirs/home', 'store'];
    const told = (folder: string): string[] =>
      own.map(
        (name) =>
          `pach: ${folder}/${name}: left out: it is ${name === 'store' ? 'the target store' : name === 'cache' ? 'the disk cache' : 'PACH_HOME'}`,
      );
    const put = await within('pach put file data@master:/ -r -f proj/ -o json');
    const { leftOut, commit } = JSON.parse(put.stdout) as { leftOut: string[]; commit: string };
    expect(leftOut).toEqual(own.map((name) => join(there.dir, 'proj', name)));
    expect(put.stderr.trim().split('\n')).toEqual(told(join(there.dir, 'proj')));
    expect((await within('pach put file data@master:/ -r -f proj/')).stdout).toBe(`${commit}\n`);
    const held = (await within('pach list file data@master -r -o json')).stdout.split('\n').filter(Boolean);
    const paths = held.map((line) => (JSON.parse(line) as { path: string }).path);
    expect(paths).toEqual(expect.arrayContaining(['/a', '/target/CACHEDIR.TAG', '/deep/theirs/store/pachmount']));
    expect(paths.filter((path) => /^\/(?:\.pach|cache|store|deep\/theirs\/home)\b/.test(path))).toEqual([]);
    const synced = await within('pach sync proj data@master:/proj --delete -o json');
    expect(JSON.parse(synced.stdout)).toMatchObject({ leftOut });
    for (const path of ['.pach', '.pach/secrets/s.json', 'store/projects', 'cache', 'deep/theirs/home/cache']) {
      const { code, stderr } = await within(`pach put file data@master -r -f proj/${path}`);
      expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/which is never stored\n/) });
    }
    expect(await within('pach put file data@master -r -f link')).toMatchObject({ code: 2 });
    const spec = JSON.stringify({
      pipeline: { name: 'p' },
      input: { pfs: { repo: 'data', glob: '/' } },
      transform: { cmd: ['true'] },
      dev: { code: [{ from: './proj', to: '/app' }] },
    });
    const code = await within(`echo '${spec}' > p.json; pach create pipeline -f p.json`);
    expect(code.stderr.split('\n').slice(0, own.length)).toEqual(told(join(there.dir, 'proj')));
  });
});

const isRoot = process.getuid?.() === 0;

test.skipIf(!isRoot)('what sudo left to root is named, with the chown that helps', async () => {
  await using there = await Place.make('user');
  const odd = join(there.dir, "home/it's odd");
  await there.must(`${content}; cp -r "$PACH_HOME" "${odd}"; pach cache warm data --cache cache`);
  const asRoot = promisify(execFile);
  const helps = async (folder: string, command: string): Promise<void> => {
    await asRoot('chown', ['-R', '0:0', folder]);
    const { code, stdout, stderr } = await there.run(command);
    expect({ command, code, stdout, stderr }).toEqual({
      command,
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(
        /: it belongs to root, probably because sudo ran pach\ntry: sudo chown -R nobody: /,
      ),
    });
    const [, advice = ''] = /\ntry: sudo (.*)\n$/.exec(stderr) ?? [];
    await asRoot('bash', ['-c', advice]);
    await there.must(command);
    expect(await there.must(`find ${folder.replaceAll(/[' ]/g, '?')} -uid 0`)).toBe('');
  };
  const home = join(there.dir, 'home/.pachmount');
  for (const command of ['pach mounts', 'pach create repo more', 'pachmount data pfs && pach unmount pfs'])
    await helps(home, command);
  await helps(odd, 'PACH_HOME="$HOME/it\'s odd" pach list secret');
  await helps(join(there.dir, 'cache'), 'pach cache warm data --cache cache');
  await helps(join(home, 'mounts'), 'pach mounts');
  await helps(join(home, 'store'), 'pach list repo');
});

test.skipIf(!isRoot)('root leaves nothing of its own in the home of the user who runs sudo', async () => {
  await using there = await Place.make('root');
  await there.must('mkdir theirs && chown 65534 theirs');
  const asSudo = 'unset PACH_HOME; export HOME=$PWD/theirs SUDO_UID=65534 SUDO_USER=nobody PACH_STORE=$PWD/store';
  // The home of root is root's own by the system's word. A command that keeps nothing is enough to see that.
  const named = await there.run(`${asSudo}; pach mounts; ls -A theirs`);
  expect(named).toMatchObject({
    code: 0,
    stderr: `pach: this runs as root, and ${there.dir}/theirs belongs to another user (65534), so PACH_HOME is ${userInfo().homedir}/.pachmount\n`,
  });
  expect(named.stdout).not.toContain('.pachmount\n');
  const refusedHome = await there.run(`${asSudo}; PACH_HOME=$HOME/deep/state pach create repo x; ls -A theirs`);
  expect(refusedHome.stdout).toBe('');
  expect(refusedHome.stderr).toMatch(
    /theirs\/deep\/state: sudo would make it as root in a folder of user 65534, who could not use it/,
  );
  // Where root names a folder of its own, it is as for anybody else.
  await there.must(`${asSudo}; PACH_HOME=$PWD/state pach create repo x && ls state/PACH_HOME.TAG`);
});
