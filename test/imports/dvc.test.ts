/**
 * The history of DVC projects, written here in DVC's layouts, to commits.
 */
import { existsSync } from 'node:fs';
import { mkdir, rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { expect, test } from 'vitest';
import { deleteBranch } from '../../src/versions/refs.ts';
import { putFiles } from '../../src/versions/writing/put.ts';
import { s3ForTests } from '../support/s3.ts';
import { makeTestProject, silent, streamOf } from '../versions/project.ts';
import { DvcRepository, hashOf, importInto, versionsOf } from './repository.ts';

test('each git commit that changes data becomes a commit with message, author and times', async () => {
  await using repository = await new DvcRepository().init();
  const { project } = await makeTestProject();
  repository.commit({ message: 'no data yet' });
  await repository.addFolder('data/raw', { 'a.txt': 'one', 'b/c.txt': 'two', 'b/d.txt': 'three' });
  await repository.add('tool', 'run me', '  isexec: true\n');
  const author = 'Zoë <zoe@example.org>';
  const first = repository.commit({
    message: 'Add data\n\nwith a body',
    author,
    authored: 1e9,
    committed: 1_000_003_600,
  });
  await repository.write('train.py', 'code');
  repository.commit({ message: 'code alone' });
  await repository.addFolder('data/raw', { 'a.txt': 'one', 'b/c.txt': 'changed', 'e.txt': 'new' });
  const second = repository.commit({ message: 'Change data' });
  // A file takes the place of the folder, and git itself holds an output.
  await repository.remove('data/raw.dvc');
  await repository.add('data/raw', 'now a file');
  await repository.write('metrics.json', '{"n": 1}');
  const stage = `cmd: x\n    outs:\n    - path: metrics.json\n      hash: md5\n      md5: ${hashOf('md5', '{"n": 1}')}\n      size: 8\n`;
  await repository.write('dvc.lock', `schema: '2.0'\nstages:\n  train:\n    ${stage}`);
  const third = repository.commit({ message: 'Third' });

  const report = await importInto(project, repository);
  const [one, two, three] = await versionsOf(project);
  expect(report).toMatchObject({ gitBranch: 'main', gitHead: third, known: 0, skipped: 2, missing: [], leftOut: [] });
  // What stayed is not read again: of three files of the folder, two came.
  expect(report.commits).toMatchObject([
    { git: first, files: 4, bytes: 17, missing: 0 },
    { git: second, files: 2, bytes: 10, missing: 0 },
    { git: third, files: 2, bytes: 18, missing: 0 },
  ]);
  expect(one).toEqual({
    message: `Add data\n\nwith a body\n\nGit-Commit: ${first}`,
    author,
    started: 1e12,
    finished: 1_000_003_600_000,
    files: { '/data/raw/a.txt': 'one', '/data/raw/b/c.txt': 'two', '/data/raw/b/d.txt': 'three', '/tool': 'x run me' },
  });
  expect(two?.files).toEqual({
    '/data/raw/a.txt': 'one',
    '/data/raw/b/c.txt': 'changed',
    '/data/raw/e.txt': 'new',
    '/tool': 'x run me',
  });
  expect(three?.files).toEqual({ '/data/raw': 'now a file', '/metrics.json': '{"n": 1}', '/tool': 'x run me' });
  // Who ran it stands in the operation, not the author of git.
  expect((await project.snapshot()).head.operation).toMatchObject({ who: 'tester', what: 'import data@master' });
});

test('a later import brings what is new, and a branch with other commits is left alone', async () => {
  await using repository = await new DvcRepository().init();
  const { project } = await makeTestProject();
  await repository.addFolder('d', { a: 'one', b: 'two' });
  const first = repository.commit({ committed: 2000 });
  await importInto(project, repository);
  expect(await importInto(project, repository)).toMatchObject({ commits: [], known: 1, skipped: 0 });
  await repository.addFolder('d', { a: 'one', b: 'three' });
  // The clock of git went back.
  const second = repository.commit({ committed: 1000 });
  const again = await importInto(project, repository);
  expect(again).toMatchObject({ commits: [{ git: second, files: 1, bytes: 5 }], known: 1 });
  const versions = await versionsOf(project);
  expect(versions.map(({ finished }) => finished)).toEqual([2_000_000, 2_000_001]);
  expect(versions.at(-1)?.files).toEqual({ '/d/a': 'one', '/d/b': 'three' });

  repository.git('checkout', '-q', '-b', 'other', first);
  await repository.addFolder('d', { a: 'other' });
  repository.commit();
  await expect(importInto(project, repository)).rejects.toMatchObject({
    code: 'conflict',
    next: expect.stringContaining('--repo data@NAME'),
  });
  await importInto(project, repository, { branch: 'other' });
  expect((await versionsOf(project, 'other')).at(-1)?.files).toEqual({ '/d/a': 'other' });

  const put = { repo: 'data', message: '', target: '/x', watch: silent };
  await putFiles(project, { ...put, branch: 'master', sources: [{ kind: 'stream', stream: streamOf('mine') }] });
  const mine = importInto(project, repository, { ref: 'main' });
  await expect(mine).rejects.toMatchObject({ code: 'conflict', why: expect.stringContaining('were not imported') });
});

test('missing and damaged objects are told, their files are left out, and the head gets them when they come', async () => {
  await using repository = await new DvcRepository().init();
  const { project } = await makeTestProject();
  const old = await repository.add('model', 'first');
  const list = await repository.addFolder('d', { a: 'one', b: 'two' });
  repository.commit();
  const model = await repository.add('model', 'second');
  const two = await repository.addFolder('d', { a: 'one', b: 'changed' });
  const second = repository.commit();
  const damaged = repository.pathOf(hashOf('md5', 'changed'));
  await repository.write(damaged, 'chAnged');
  await rename(join(repository.dir, repository.pathOf(model)), join(repository.dir, 'kept'));
  const dry = await importInto(project, repository, { dryRun: true });
  expect(dry.missing).toMatchObject([{ path: 'model', hash: model, git: second }]);
  expect(dry.commits).toMatchObject([{ missing: 0, commit: undefined }, { missing: 1 }]);
  await expect(versionsOf(project)).rejects.toMatchObject({ code: 'not-found' });

  const report = await importInto(project, repository);
  expect(report.missing.map(({ path, why }) => [path, why])).toEqual([
    [
      'd/b',
      `${join(repository.dir, '.dvc/cache')}: it is damaged: the MD5 of its bytes is ${hashOf('md5', 'chAnged')}`,
    ],
    ['model', `it is not in ${join(repository.dir, '.dvc/cache')}`],
  ]);
  // Neither has the bytes of before.
  const [, lacking] = await versionsOf(project);
  expect(lacking).toMatchObject({
    files: { '/d/a': 'one' },
    message: `a change\n\nMissing-Files: 2\nGit-Commit: ${second}`,
  });
  expect(Object.keys(lacking?.files ?? {})).toEqual(['/d/a']);

  await rename(join(repository.dir, 'kept'), join(repository.dir, repository.pathOf(model)));
  const again = await importInto(project, repository);
  expect(again).toMatchObject({ commits: [{ git: second, files: 1, missing: 1 }], missing: [{ path: 'd/b' }] });
  await repository.write(damaged, 'changed');
  await importInto(project, repository);
  const versions = await versionsOf(project);
  expect(versions.at(-1)).toMatchObject({
    message: `a change\n\nGit-Commit: ${second}`,
    files: { '/d/a': 'one', '/d/b': 'changed', '/model': 'second' },
  });
  expect(await importInto(project, repository)).toMatchObject({ commits: [], missing: [], skipped: 0 });

  // A list of files that is not there is as many files that are not there.
  await deleteBranch(project, 'data', 'master');
  for (const md5 of [list, two]) await repository.remove(repository.pathOf(md5, '.dir'));
  const without = await importInto(project, repository);
  expect(without.missing.map(({ path, hash }) => [path, hash])).toEqual([
    ['d/', `${list}.dir`],
    ['d/', `${two}.dir`],
  ]);
  expect((await versionsOf(project)).map(({ files }) => files)).toEqual([
    { '/model': 'first' },
    { '/model': 'second' },
  ]);
  expect(old).not.toBe(model);
});

test('caches of DVC 2 and 3, elsewhere, and remote folders; text in the manner of DVC 2', async () => {
  await using repository = await new DvcRepository().init();
  const { project } = await makeTestProject();
  await repository.write(
    '.dvc/config',
    '[core]\n    remote = far\n[\'remote "far"\']\n    url = ../far\n[\'remote "ssh"\']\n    url = ssh://me:secret@host/x\n',
  );
  await repository.write('.dvc/config.local', '[cache]\n    dir = ../elsewhere\n');
  repository.objects = 'elsewhere';
  await repository.write('.gitignore', '/elsewhere\n/far\n');
  await repository.addFolder('new', { a: 'of 3' });
  repository.layout = '';
  await repository.addFolder('old', { a: 'of 2' });
  // The hash of a text was that of its lines with the ends of Unix.
  const dos = 'a line\r\nanother\r\n';
  const unix = hashOf('md5', 'a line\nanother\n');
  await repository.write(repository.pathOf(unix), dos);
  await repository.out('dos.txt', `- md5: ${unix}\n`);
  repository.objects = 'far';
  repository.layout = 'files/md5/';
  await repository.add('remote.bin', 'from afar');
  // A lock of DVC 1.
  await repository.object('of 1');
  await repository.write('dvc.lock', `train:\n  cmd: x\n  outs:\n  - path: model\n    md5: ${hashOf('md5', 'of 1')}\n`);
  repository.commit();
  const report = await importInto(project, repository);
  expect(report).toMatchObject({ missing: [], leftOut: [] });
  expect(report.notes).toEqual([expect.stringContaining('the remote ssh at ssh://host/x was not looked into')]);
  const [version] = await versionsOf(project);
  expect(version?.files).toEqual({
    '/new/a': 'of 3',
    '/old/a': 'of 2',
    '/dos.txt': dos,
    '/remote.bin': 'from afar',
    '/model': 'of 1',
  });
});

test('what is damaged in one place is taken from another', async () => {
  await using repository = await new DvcRepository().init();
  const { project } = await makeTestProject();
  await repository.write('.dvc/config', '[\'remote "far"\']\n    url = ../far\n');
  await repository.write('.gitignore', '/far\n');
  const large = Buffer.alloc(3_000_000, 'large');
  const md5 = await repository.add('large', large);
  await repository.write(`far/files/md5/${md5.slice(0, 2)}/${md5.slice(2)}`, large);
  await repository.write(repository.pathOf(md5), Buffer.alloc(3_000_000, 'wrong'));
  repository.commit();
  expect(await importInto(project, repository)).toMatchObject({ missing: [], commits: [{ files: 1 }] });
  expect((await versionsOf(project))[0]?.files['/large']).toBe(large.toString());
});

test('what can not be brought is told: outside, without a hash, below others, no YAML', async () => {
  await using repository = await new DvcRepository().init();
  const { project } = await makeTestProject();
  await repository.add('good', 'good');
  const md5 = await repository.object('x');
  await repository.write('sub/up.dvc', `outs:\n- md5: ${md5}\n  path: ../../up\n`);
  await repository.write('abs.dvc', `outs:\n- md5: ${md5}\n  path: /etc/passwd\n`);
  await repository.write('ext.dvc', `outs:\n- md5: ${md5}\n  path: s3://bucket/key\n`);
  await repository.write('etag.dvc', 'outs:\n- etag: "12"\n  path: etag\n');
  await repository.write('odd.dvc', 'outs:\n- md5: ../../etc/passwd\n  path: odd\n');
  await repository.write(
    'import.dvc',
    'deps:\n- path: x\n  repo:\n    url: https://me:secret@host/x\nouts:\n- path: imported\n',
  );
  await repository.addFolder('folder', { a: '1' });
  await repository.write('inner.dvc', `outs:\n- md5: ${md5}\n  path: folder/a\n`);
  await repository.write('other/.dvc/config', '');
  await repository.write('other/x.dvc', `outs:\n- md5: ${md5}\n  path: x\n`);
  const evil = await repository.object(JSON.stringify([{ md5, relpath: '../../../evil' }]), '.dir');
  await repository.write('evil.dvc', `outs:\n- md5: ${evil}.dir\n  path: evil\n`);
  repository.commit();
  // What cannot be read says what it said before.
  await repository.write('good.dvc', 'outs:\n<<<<<<< HEAD\n- {');
  await repository.write('more.dvc', `outs:\n- md5: ${md5}\n  path: more\n`);
  repository.commit();
  const report = await importInto(project, repository);
  expect(report.leftOut.map(({ path }) => path).toSorted()).toEqual(
    [
      '../../up',
      '/etc/passwd',
      's3://bucket/key',
      'etag',
      'odd',
      'imported',
      'folder',
      'other/x.dvc',
      'good.dvc',
    ].toSorted(),
  );
  expect(JSON.stringify(report)).not.toContain('secret');
  expect(report.missing).toMatchObject([{ path: 'evil/', why: expect.stringContaining('which can not be stored') }]);
  expect((await versionsOf(project)).map(({ files }) => files)).toEqual([
    { '/good': 'good', '/folder/a': 'x' },
    { '/good': 'good', '/folder/a': 'x', '/more': 'x' },
  ]);
});

test('merges follow the first parent; a project in a subfolder, and names that are not UTF-8', async () => {
  await using repository = new DvcRepository();
  const { project } = await makeTestProject();
  repository.objects = 'sub/.dvc/cache';
  await repository.write('sub/.dvc/config', '');
  await repository.write('sub/.dvc/.gitignore', '/cache\n');
  await repository.write('outside.dvc', `outs:\n- md5: ${hashOf('md5', 'x')}\n  path: outside\n`);
  await repository.add('sub/a', 'a');
  repository.commit();
  repository.git('checkout', '-q', '-b', 'side');
  await repository.add('sub/b', 'b');
  repository.commit({ message: 'on the side' });
  const list = `[{"md5": "${await repository.object('odd')}", "relpath": "n\\udcffo"}]`;
  await repository.write('sub/odd.dvc', `outs:\n- md5: ${await repository.object(list, '.dir')}.dir\n  path: odd\n`);
  repository.commit({ message: 'on the side, too' });
  repository.git('checkout', '-q', 'main');
  await repository.add('sub/a', 'changed');
  repository.commit();
  const { GIT_DIR } = process.env;
  repository.git('-c', 'user.name=x', '-c', 'user.email=x@y', 'merge', '-q', '--no-ff', '-m', 'merge', 'side');
  process.env['GIT_DIR'] = '/nonexistent';
  try {
    const report = await importInto(project, repository, { folder: join(repository.dir, 'sub') });
    expect(report).toMatchObject({ missing: [], leftOut: [], skipped: 0 });
  } finally {
    if (GIT_DIR === undefined) delete process.env['GIT_DIR'];
    else process.env['GIT_DIR'] = GIT_DIR;
  }
  const versions = await versionsOf(project);
  expect(versions.map(({ message }) => message.split('\n')[0])).toEqual(['a change', 'a change', 'merge']);
  expect(versions.at(-1)?.files).toEqual({ '/a': 'changed', '/b': 'b', '/odd/n\udcffo': 'odd' });
});

test('a cache behind links; an object that is a pipe or a folder is missing, and nothing waits for it', async () => {
  await using repository = await new DvcRepository().init();
  const { project } = await makeTestProject();
  repository.objects = 'real';
  await repository.write('.gitignore', '/real\n/.dvc/cache\n');
  await repository.addFolder('d', { a: '1', b: '2', c: '3' });
  await symlink('../real', join(repository.dir, '.dvc/cache'));
  const [b, c] = ['2', '3'].map((text) => repository.pathOf(hashOf('md5', text)));
  for (const path of [b, c]) await repository.remove(path as string);
  await mkdir(join(repository.dir, b as string));
  repository.run('mkfifo', c as string);
  repository.commit();
  const report = await importInto(project, repository);
  expect(report.missing.map(({ path, why }) => [path, why.replace(/.*: /, '')])).toEqual([
    ['d/b', 'it is not a file'],
    ['d/c', 'it is not a file'],
  ]);
  expect((await versionsOf(project))[0]?.files).toEqual({ '/d/a': '1' });
});

test('nothing that a repository brings along is run', async () => {
  await using repository = await new DvcRepository().init();
  const { project } = await makeTestProject();
  await repository.add('a', 'a');
  await repository.write('.gitattributes', '* filter=evil diff=evil\n');
  repository.commit();
  const mark = join(repository.dir, '.git/ran');
  const touch = `touch ${mark}`;
  for (const hook of ['post-index-change', 'reference-transaction', 'post-checkout']) {
    await repository.write(`.git/hooks/${hook}`, `#!/bin/sh\n${touch}\n`, true);
  }
  const settings = [
    'core.fsmonitor',
    'core.pager',
    'core.sshCommand',
    'core.askPass',
    'diff.external',
    'diff.evil.textconv',
  ];
  for (const name of [...settings, 'diff.evil.command', 'filter.evil.smudge', 'filter.evil.clean', 'core.gitProxy']) {
    repository.git('config', name, touch);
  }
  // A blob that is not here would be fetched from where the repository says.
  repository.git('config', 'remote.origin.url', `ext::sh -c ${touch.replaceAll(' ', '% ')}`);
  repository.git('config', 'remote.origin.promisor', 'true');
  repository.git('config', 'protocol.ext.allow', 'always');
  repository.git('config', 'extensions.partialClone', 'origin');
  expect(await importInto(project, repository)).toMatchObject({ commits: [{ files: 1 }] });
  const blob = repository.git('-c', 'core.fsmonitor=false', 'rev-parse', 'HEAD:a.dvc');
  await repository.remove(`.git/objects/${blob.slice(0, 2)}/${blob.slice(2)}`);
  await expect(importInto(project, repository, { branch: 'again' })).rejects.toMatchObject({ code: 'damaged' });
  expect(existsSync(mark)).toBe(false);
});

test('a remote in a bucket: what the cache lacks comes from there', async () => {
  await using repository = await new DvcRepository().init();
  const { project } = await makeTestProject();
  const { endpoint, bucket } = await s3ForTests();
  await repository.write(
    '.dvc/config',
    `['remote "far"']\n    url = s3://${bucket}/some%20 where?\n    endpointurl = ${endpoint}\n    region = us-east-1\n`,
  );
  await repository.add('near', 'near');
  const far = await repository.add('far', Buffer.alloc(300_000, 'far'));
  const gone = await repository.add('gone', 'gone');
  const client = new S3Client({ endpoint, forcePathStyle: true });
  const Key = `some%20 where?/files/md5/${far.slice(0, 2)}/${far.slice(2)}`;
  await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: Buffer.alloc(300_000, 'far') }));
  client.destroy();
  for (const md5 of [far, gone]) await repository.remove(repository.pathOf(md5));
  repository.commit();
  const missing = [{ path: 'gone', why: expect.stringContaining(`s3://${bucket}/some%20 where?`) }];
  expect(await importInto(project, repository, { dryRun: true })).toMatchObject({ missing, commits: [{ files: 2 }] });
  expect(await importInto(project, repository)).toMatchObject({ missing, commits: [{ files: 2, bytes: 300_004 }] });
});
