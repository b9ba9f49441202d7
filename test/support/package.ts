/**
 * The package as its users get it: packed from a copy of what belongs to the project, installed by
 * npm in a prefix of its own.
 */
import { execFile } from 'node:child_process';
import { cp, mkdir, readdir, symlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Place } from './place.ts';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '../..');

/** The folder of another Node's program, by its major version: 18, 22 or 24 (`make other-nodes`). */
export function otherNode(major: number): string {
  return join(root, `dist/nodes/node_modules/node${major}/bin`);
}

/** The Nodes with which the package must work, to stand first in PATH: the one at hand, and others. */
export const nodes: Readonly<Record<string, string>> = {
  'the Node at hand': dirname(process.execPath),
  'Node 22': otherNode(22),
  'Node 24': otherNode(24),
};

/** How npm of another user reaches the registry. */
export function registryEnvironment(): NodeJS.ProcessEnv {
  const names = Object.keys(process.env).filter((name) =>
    /^(NODE_EXTRA_CA_CERTS|https?_proxy|npm_config_(registry|cafile))$/i.test(name),
  );
  return Object.fromEntries(names.map((name) => [name, process.env[name]]));
}

/** Packs a copy of the project; resolves to the tarball and the names in it. `dependencies`: have `npm ci` bring them anew. */
export async function pack(
  dir: string,
  options: { dependencies: boolean },
): Promise<{ tarball: string; names: string[] }> {
  const copy = join(dir, 'clone');
  const { stdout } = await run('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root });
  for (const name of stdout.split('\0').filter(Boolean)) {
    await mkdir(dirname(join(copy, name)), { recursive: true });
    // A file that is deleted, but not yet so for git, is no part of it.
    await cp(join(root, name), join(copy, name), { verbatimSymlinks: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
  }
  if (!options.dependencies) await symlink(join(root, 'node_modules'), join(copy, 'node_modules'));
  await run('npm', ['pack', '--pack-destination', dir], { cwd: copy });
  const [tarball = ''] = (await readdir(dir)).filter((name) => name.endsWith('.tgz'));
  const list = await run('tar', ['-tzf', join(dir, tarball)]);
  return { tarball: join(dir, tarball), names: list.stdout.split('\n').filter(Boolean).toSorted() };
}

/** A repo is made, filled, mounted, used by a pipeline and read, by programs in `path`. Resolves to the result, `ONE TWO`. */
export function useByHand(place: Place, path: string): Promise<string> {
  return place.must(
    `set -e
    export PATH=${path}:$PATH PACH_HOME=$PWD/used/home; exec 3>&1 >used.log
    mkdir used used/in; cd used
    echo one > in/a; echo two > in/b
    pach create repo images
    pach put file images@master -r -f ./in/ -m first
    pachmount images@master mnt
    cat mnt/images/a mnt/images/b | cmp - <(cat in/a in/b)
    pach unmount mnt
    echo '{"pipeline": {"name": "upper"}, "input": {"pfs": {"repo": "images", "glob": "/*"}},
      "transform": {"cmd": ["sh", "-c", "cd /pfs/images; for f in *; do tr a-z A-Z <$f >/pfs/out/$f; done"]}}' > upper.json
    pach run pipeline -f upper.json
    pach get file upper@master:/ -r -o out
    echo $(cat out/a out/b) >&3
    cd ..; rm -r used`,
    120,
  );
}

/** Has npm install the tarball at a prefix, in front of which `path` stands in PATH. */
export function install(place: Place, tarball: string, prefix: string, path: string, more = ''): Promise<string> {
  return place.must(
    `PATH=${path}:$PATH npm install -g --no-audit --no-fund --no-update-notifier --prefix ${prefix} ${more} ${tarball}`,
    300,
  );
}
