/**
 * The history of repositories with LFS, written here in its layout, to commits.
 */
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeTestProject } from '../versions/project.ts';
import { filesAt, importInto, LfsRepository, Repository, versionsOf } from './repository.ts';

const from = 'git-lfs';

test('pointers become the files that they stand for; all of git comes when it is asked for', async () => {
  await using repository = new LfsRepository();
  const { project } = await makeTestProject();
  await repository.write('README', 'read me');
  repository.commit();
  const large = Buffer.alloc(2_000_000, 'large');
  await repository.add('big.bin', large);
  await repository.add('d/tool', 'a tool', true);
  await symlink('big.bin', join(repository.dir, 'link'));
  const first = repository.commit();
  await repository.write('README', 'read more');
  repository.commit();
  repository.git('mv', 'big.bin', 'renamed.bin');
  // Not LFS any more.
  await repository.write('d/tool', 'plain');
  const second = repository.commit();
  const report = await importInto(project, repository, { from });
  expect(report).toMatchObject({
    commits: [
      { git: first, files: 2, bytes: 2_000_006 },
      { git: second, files: 1 },
    ],
    skipped: 2,
    missing: [],
    notes: [expect.stringContaining('3 files that git itself holds were left out; --all brings them')],
  });
  expect((await versionsOf(project)).map(({ files }) => files)).toEqual([
    { '/big.bin': large.toString(), '/d/tool': 'x a tool' },
    { '/renamed.bin': large.toString() },
  ]);
  await importInto(project, repository, { from, branch: 'all', all: true });
  const versions = await versionsOf(project, 'all');
  expect(versions.length).toBe(4);
  expect(await importInto(project, repository, { from, branch: 'all', all: true })).toMatchObject({ notes: [] });
  const renamed = { '/renamed.bin': large.toString(), '/link': '-> big.bin' };
  expect(versions.at(-1)?.files).toEqual({ '/README': 'read more', '/d/tool': 'x plain', ...renamed });

  await repository.add('new', 'new');
  const third = repository.commit();
  expect(await importInto(project, repository, { from })).toMatchObject({
    commits: [{ git: third, files: 1 }],
    known: 4,
  });
});

test('lfs.storage, a bare repository, objects that are missing or damaged, submodules', async () => {
  await using repository = new LfsRepository();
  const { project } = await makeTestProject();
  repository.objects = '.git/elsewhere/objects';
  repository.git('config', 'lfs.storage', 'elsewhere');
  await repository.add('good', 'good');
  const gone = await repository.add('gone', 'gone');
  const wrong = await repository.add('wrong', 'wrong');
  const pathOf = (hash: string): string => `${repository.objects}/${hash.slice(0, 2)}/${hash.slice(2, 4)}/${hash}`;
  await repository.remove(pathOf(gone));
  await repository.write(pathOf(wrong), 'w');
  repository.git('update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},module`);
  await mkdir(join(repository.dir, 'module'));
  repository.commit();
  const report = await importInto(project, repository, { from, folder: join(repository.dir, '.git') });
  expect(report.missing.map(({ path, hash }) => [path, hash])).toEqual([
    ['gone', gone],
    ['wrong', wrong],
  ]);
  expect(report.leftOut).toEqual([{ path: 'module', why: 'it is a submodule, whose history is its own' }]);
  expect((await versionsOf(project))[0]?.files).toEqual({ '/good': 'good' });
});

test('what the real Git LFS checks out', async () => {
  await using repository = new Repository();
  const { project } = await makeTestProject();
  repository.git('lfs', 'install', '--local');
  repository.git('lfs', 'track', '*.bin');
  await repository.write('d/a.bin', Buffer.alloc(1_500_000, 'a'));
  await repository.write('README', 'read me');
  repository.commit();
  await repository.write('d/a.bin', 'shorter', true);
  await repository.write('b.bin', 'b');
  repository.commit();
  const report = await importInto(project, repository, { from: 'git-lfs' });
  expect(report).toMatchObject({
    missing: [],
    commits: [
      { files: 1, bytes: 1_500_000 },
      { files: 2, bytes: 8 },
    ],
  });
  const [one, two] = await versionsOf(project);
  const [first = '', second = ''] = report.commits.map(({ git }) => git);
  expect({ 'd/a.bin': one?.files['/d/a.bin'] }).toEqual(filesAt(repository, first, ['d/a.bin']));
  const after = filesAt(repository, second, ['b.bin', 'd/a.bin']);
  expect(two?.files).toEqual({ '/b.bin': after['b.bin'], '/d/a.bin': `x ${after['d/a.bin']}` });
});
