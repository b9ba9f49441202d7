/**
 * Which files of a folder of code belong to a pipeline: git is the reference for its own rules.
 */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { listFolder } from '../../src/base/listing.ts';
import { placeBelow, rootPlace, type Place } from '../../src/base/place.ts';
import { CodeIgnore } from '../../src/pipelines/code-ignore.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pach-ignore-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function write(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, name)), { recursive: true });
    await writeFile(join(dir, name), text);
  }
}

/** What is left of `root`, sorted. */
async function kept(root: string): Promise<string[]> {
  const ignored = await CodeIgnore.open(root);
  const names: string[] = [];
  const walk = async (folder: Place): Promise<void> => {
    const isLeftOut = await ignored.of(folder);
    const listing = await listFolder(folder);
    for (let n = 0; n < listing.count; n += 1) {
      const { name, kind } = listing.at(n);
      if (isLeftOut(name, kind === 'directory')) continue;
      if (kind === 'directory') await walk(placeBelow(folder, name));
      else names.push(placeBelow(folder, name).path.toString());
    }
  };
  await walk(rootPlace(Buffer.from(root)));
  return names.sort();
}

function git(...words: string[]): string {
  return execFileSync('git', ['-C', dir, ...words], { encoding: 'utf8' });
}

function keptByGit(): string[] {
  return git('ls-files', '--others', '--exclude-standard', '-z').split('\0').filter(Boolean).sort();
}

test('a folder of code is what git would add, with rules of every kind in every folder', async () => {
  await write({
    '.gitignore':
      '# a comment\n*.pyc\n/build/\ndata/**\n!data/keep.txt\n\\#odd\n\\!bang\nlogs/*.log\n!logs/last.log\nspace\\ \n[ab]?.txt\n',
    'main.py': 'x',
    'main.pyc': 'x',
    'build/out': 'x',
    'sub/build/out': 'x',
    'data/a': 'x',
    'data/keep.txt': 'x',
    'data/deep/keep.txt': 'x',
    '#odd': 'x',
    '!bang': 'x',
    'logs/a.log': 'x',
    'logs/last.log': 'x',
    'logs/deep/b.log': 'x',
    'space ': 'x',
    space: 'x',
    'a1.txt': 'x',
    'A1.txt': 'x',
    'c1.txt': 'x',
    'sub/.gitignore': '!*.pyc\n*.tmp\n/only-here\n',
    'sub/kept.pyc': 'x',
    'sub/x.tmp': 'x',
    'sub/only-here': 'x',
    'sub/deep/only-here': 'x',
    'sub/deep/.gitignore': '*\n!.gitignore\n!deeper/\n',
    'sub/deep/deeper/lost': 'x',
    'Build/out': 'x',
    'é.pyc': 'x',
  });
  git('init', '-q');
  expect(await kept(dir)).toEqual(keptByGit());
  expect(await kept(dir)).toContain('sub/kept.pyc');
});

test('rules above the code hold up to the top of its repository, and no further', async () => {
  await write({
    '.gitignore': 'secret\n',
    'repo/.gitignore': '*.bin\n/src/local\n',
    'repo/src/model.bin': 'x',
    'repo/src/local': 'x',
    'repo/src/secret': 'x',
    'repo/src/main.py': 'x',
  });
  expect(await kept(join(dir, 'repo/src'))).toEqual(['local', 'main.py', 'model.bin', 'secret']);
  execFileSync('git', ['-C', join(dir, 'repo'), 'init', '-q']);
  expect(await kept(join(dir, 'repo/src'))).toEqual(['main.py', 'secret']);
});

test('a folder that is left out itself is taken whole when it is named', async () => {
  await write({ '.gitignore': 'bin/\n', 'bin/edges': 'x', 'bin/.pachignore': 'x\n', 'bin/x': 'x' });
  git('init', '-q');
  expect(await kept(join(dir, 'bin'))).toEqual(['.pachignore', 'edges']);
});

test('.pachignore has the last word, and caches are left out always', async () => {
  await write({
    '.gitignore': '*.bin\n',
    '.pachignore': '!edges.bin\n*.ipynb\n',
    'edges.bin': 'x',
    'other.bin': 'x',
    'a.ipynb': 'x',
    '__pycache__/a': 'x',
    'sub/__pycache__/a': 'x',
    '.git/config': 'x',
  });
  expect(await kept(dir)).toEqual(['.gitignore', '.pachignore', 'edges.bin']);
});

test('what is no file of rules is taken for none', async () => {
  await write({ elsewhere: '*\n', 'sub/.gitignore/x': 'x', 'sub/y': 'x' });
  await symlink('elsewhere', join(dir, '.gitignore'));
  expect(await kept(dir)).toEqual(['.gitignore', 'elsewhere', 'sub/.gitignore/x', 'sub/y']);
});

test('rules that can not be read are an error that names them', async () => {
  await write({ '.pachignore': 'x'.repeat(1024 * 1024 + 1) });
  await expect(kept(dir)).rejects.toMatchObject({ what: join(dir, '.pachignore'), code: 'failed' });
});
