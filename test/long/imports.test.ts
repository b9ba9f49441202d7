/**
 * Imports that are killed at moments that a seed decides, and a project of the real DVC, where it is
 * installed.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { openStore } from '../../src/store/open.ts';
import { DvcRepository, filesAt, importInto, isInstalled, Repository, versionsOf } from '../imports/repository.ts';
import { numbers } from '../support/numbers.ts';
import { Place } from '../support/place.ts';
import { makeTestProject, openTestProject } from '../versions/project.ts';

const pach = resolve(import.meta.dirname, '../../bin/pach');
const seed = Number(process.env['SEED'] ?? 1);

test.for(Array.from({ length: 2 }, (_, n) => seed + n))(
  'killed again and again, it gives what it gives at once, SEED=%i',
  { timeout: 300_000 },
  async (of) => {
    const next = numbers(of);
    await using place = await Place.make('root');
    await using repository = await new DvcRepository().init();
    for (let n = 0; n < 40; n++) {
      const names = Array.from({ length: 40 }, (_, each) => `${Math.floor(next() * 8)}/${each}`);
      const text = (): string => String(Math.floor(next() * 3)).repeat(Math.floor(next() * 1000));
      await repository.addFolder('data', Object.fromEntries(names.map((name) => [name, text()])));
      await repository.add('large', Buffer.alloc(1_000_000, String(n)));
      repository.commit({ message: `change ${n}` });
    }
    const { project: whole } = await makeTestProject();
    await importInto(whole, repository);
    const expected = await versionsOf(whole);
    const words = ['import', '--from', 'dvc', repository.dir, '--repo', 'data'];
    let kills = 0;
    for (let ended = false; !ended;) {
      const child = spawn(pach, words, {
        env: { ...process.env, PACH_HOME: join(place.dir, 'home/.pachmount') },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let told = '';
      child.stderr.on('data', (bytes: Buffer) => (told += bytes.toString()));
      const exit = once(child, 'close');
      // Each lives a little longer, so it comes to an end.
      await Promise.race([exit, sleep(100 + next() * 600 + kills * 60)]);
      ended = child.exitCode !== null;
      child.kill('SIGKILL');
      await exit;
      kills += 1;
      expect(ended ? { code: child.exitCode, told } : {}).toEqual(ended ? { code: 0, told: '' } : {});
    }
    expect(kills).toBeGreaterThan(3);
    const project = openTestProject(await openStore(place.store));
    expect(await versionsOf(project)).toEqual(expected);
    await place.must('pach fsck --read-data 100%');
  },
);

test.skipIf(!isInstalled('dvc'))(
  'DVC: data, a pipeline with its metrics, a remote, a cache without them',
  { timeout: 120_000 },
  async () => {
    await using repository = new Repository();
    const { project } = await makeTestProject();
    const dvc = (...words: string[]): void => void repository.run('dvc', ...words);
    dvc('init', '-q');
    dvc('remote', 'add', '-d', 'far', join(repository.dir, '.git/far'), '-q');
    await repository.write('data/a.txt', 'one\n');
    await repository.write('data/sub/b.bin', Buffer.alloc(1_500_000, 'b'));
    dvc('add', '-q', 'data');
    repository.commit({ message: 'data' });
    await repository.write('data/a.txt', 'two\n');
    dvc('add', '-q', 'data');
    const stage =
      'cmd: cp data/a.txt model && echo "{}" > m.json\n    deps: [data]\n    outs: [model]\n    metrics: [{m.json: {cache: false}}]\n';
    await repository.write('dvc.yaml', `stages:\n  train:\n    ${stage}`);
    dvc('repro', '-q');
    repository.commit({ message: 'trained' });
    dvc('push', '-q', '-A');
    repository.run('sh', '-c', 'rm -rf .dvc/cache');
    const report = await importInto(project, repository);
    expect(report).toMatchObject({ missing: [], leftOut: [], commits: [{ files: 2 }, { files: 3, bytes: 11 }] });
    const versions = await versionsOf(project);
    dvc('fetch', '-q', '-A');
    for (const [at, { files }] of versions.entries()) {
      const paths = Object.keys(files).map((path) => path.slice(1));
      expect(paths).toEqual(['data/a.txt', 'data/sub/b.bin', ...(at === 1 ? ['m.json', 'model'] : [])]);
      const shown = Object.fromEntries(Object.entries(files).map(([path, text]) => [path.slice(1), text]));
      expect(shown).toEqual(filesAt(repository, report.commits[at]?.git ?? '', paths, true));
    }
  },
);
