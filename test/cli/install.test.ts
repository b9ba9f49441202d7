/** The package is installed and used as its users do. With all versions of Node, and from nothing: test/long. */
import { execFileSync } from 'node:child_process';
import { copyFile } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { install, otherNode, pack, registryEnvironment, useByHand } from '../support/package.ts';
import { Place, type Who } from '../support/place.ts';

const here = dirname(process.execPath);
const root = resolve(import.meta.dirname, '../..');
/** Objects of sources that are as they were in this checkout are taken from it. The rest is compiled without optimizing. */
const quick = {
  CFLAGS: '-O0',
  CXXFLAGS: '-O0',
  CXX: join(root, 'test/tools/compile-once.sh'),
  ...registryEnvironment(),
};
let packed: Place;
let tarball: string;
let names: string[];
beforeAll(async () => {
  packed = await Place.make('root');
  ({ tarball, names } = await pack(packed.dir, { dependencies: false }));
});
afterAll(() => packed[Symbol.asyncDispose]());

async function user(who: Who): Promise<Place> {
  const place = await Place.make(who, quick);
  await copyFile(tarball, join(place.dir, 'pachmount.tgz'));
  return place;
}

test('the package holds programs, what is compiled where it is installed, and pages, and nothing else', () => {
  const wanted = [
    /^package\/(package\.json|README\.md|LICENSE|ARCHITECTURE\.md)$/,
    /^package\/bin\/[^/]+$/,
    /^package\/dist\/bundle\/[^/]+\.cjs$/,
    /^package\/fixtures\/(bench\.svg|pipeline\.schema\.json)$/,
    /^package\/native\/(Makefile|system\.sh)$/,
    /^package\/native\/(binder|common|data|fetch|fuse|inserter|launcher|mover|supervisor)\/[^/]+\.(cc|h)$/,
    /^package\/src\/.*\.md$/,
  ];
  expect(names.filter((name) => !wanted.some((pattern) => pattern.test(name)))).toEqual([]);
  for (const name of [
    'bin/pach',
    'bin/mount.fuse.pachmount',
    'native/system.sh',
    'dist/bundle/main.cjs',
    'dist/bundle/serve-main.cjs',
    'src/cli/guide/mounting.md',
  ])
    expect(names).toContain(`package/${name}`);
  // All that is included where it is compiled.
  const native = execFileSync('git', ['ls-files', 'native'], { cwd: root, encoding: 'utf8' });
  const sources = native.split('\n').filter((name) => /\.(cc|h)$/.test(name) && !name.startsWith('native/test/'));
  expect(sources.length).toBeGreaterThan(50);
  expect(sources.filter((name) => !names.includes(`package/${name}`))).toEqual([]);
});

test('the bundle needs no package but Node', async () => {
  const loaded = await packed.must(
    `tar -xzf *.tgz && cd package/dist/bundle && grep -ohE '\\brequire\\("[^"]+"\\)' *.cjs | cut -d'"' -f2 | sort -u`,
  );
  const others = loaded.split('\n').filter((name) => name !== '' && !name.startsWith('./') && !isBuiltin(name));
  // Of Docker's client, for colours, and of WebSockets, for speed: where they are missing that is caught.
  expect(others).toEqual(['bufferutil', 'supports-color', 'utf-8-validate']);
});

test('an ordinary user installs it and uses it, with this Node and with Node 24, and Node 18 is refused', async () => {
  await using place = await user('user');
  await install(place, './pachmount.tgz', '$PWD/own', here);
  const bin = join(place.dir, 'own/bin');
  for (const node of [here, otherNode(24)]) expect(await useByHand(place, `${bin}:${node}`)).toBe('ONE TWO\n');
  for (const program of ['pach', 'pachmount']) {
    expect(await place.run(`PATH=${bin}:${otherNode(18)}:$PATH ${program} version`)).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(
        /^pach: Node 18\.\d+\.\d+ .*: too old, 20\.19 or newer is needed\ntry: npm install -g node@22\n$/,
      ),
    });
  }
});

test('where npm runs no install scripts, the programs say what to do', async () => {
  await using place = await user('user');
  await install(place, './pachmount.tgz', '$PWD/own', here, '--ignore-scripts');
  expect(await place.run('own/bin/pach version')).toEqual({
    code: 1,
    stdout: '',
    stderr: `pach: the native parts are not compiled: npm did not run the install script\ntry: npm --prefix ${place.dir}/own/lib/node_modules/pachmount run install\n`,
  });
});

test('the install script names the libraries and compilers that are missing, and installs none', async () => {
  await using place = await user('root');
  // As the system tells it: the packages are there, but not in its list.
  await place.must(
    `sed -e '/^Package: libzstd-dev$/,/^$/d' -e '/^Package: make$/,/^$/d' /var/lib/dpkg/status > status`,
  );
  const hidden = `unshare -m bash -c 'mount --bind status /var/lib/dpkg/status; exec "$@"' bash`;
  const { code, stderr } = await place.run(`${hidden} npm install -g --prefix "$PWD/own" ./pachmount.tgz`);
  expect(code).not.toBe(0);
  expect(stderr).toContain('setup: missing to build: make libzstd-dev\n');
  expect(stderr).toContain('sudo apt-get install --no-install-recommends make libzstd-dev\n');
  expect(stderr).not.toContain('setup-root');
  const old = await place.run(`PATH=${otherNode(18)}:$PATH npm install -g --prefix "$PWD/own" ./pachmount.tgz`);
  expect(old.code).not.toBe(0);
  expect(old.stderr).toMatch(
    /Node 18\.\d+\.\d+ is too old: 20\.19 or newer is needed .*\n.*try: npm install -g node@22\n/,
  );
});
