/**
 * Random histories of DVC projects, with objects that are missing and imports that break off, against a
 * model: the files that each git commit has, without those that can't be had.
 */
import { expect, test } from 'vitest';
import { numbers, oneOf } from '../support/numbers.ts';
import { isLong } from '../support/long.ts';
import { makeTestProject } from '../versions/project.ts';
import { DvcRepository, hashOf, importInto, versionsOf } from './repository.ts';

const seed = Number(process.env['SEED'] ?? 1);

test.each(Array.from({ length: isLong ? 40 : 2 }, (_, n) => seed + n))('as the model says, SEED=%i', async (of) => {
  const next = numbers(of);
  await using repository = await new DvcRepository().init();
  const { project } = await makeTestProject();
  const texts = ['1', '2', '3', 'long'.repeat(100)];
  const gone = next() < 0.5 ? oneOf(next, texts) : undefined;
  /** Files by the path of their output; one of path '' is the output itself. */
  const outs = new Map<string, Record<string, string>>();
  const expected: Record<string, string>[] = [];
  const below = ['a', 'b', 'c/d', 'c/e', 'f/g/h'];
  for (let commit = 0; commit < 12; commit++) {
    for (let edit = 0; edit <= next() * 3; edit++) {
      const path = oneOf(next, ['x', 'y', 'z/x', 'z/y']);
      const kind = next();
      if (kind < 0.2) {
        if (outs.delete(path)) await repository.remove(`${path}.dvc`);
      } else if (kind < 0.4) {
        const text = oneOf(next, texts);
        outs.set(path, { '': text });
        await repository.add(path, text);
      } else {
        const files = Object.fromEntries(below.filter(() => next() < 0.5).map((name) => [name, oneOf(next, texts)]));
        outs.set(path, files);
        await repository.addFolder(path, files);
      }
    }
    repository.commit({ message: String(commit) });
    const files = [...outs].flatMap(([path, each]) =>
      Object.entries(each).map(([name, text]) => [`/${path}${name === '' ? '' : `/${name}`}`, text] as const),
    );
    const had = files.filter(([, text]) => text !== gone).toSorted(([a], [b]) => (a < b ? -1 : 1));
    expected.push(Object.fromEntries(had));
    if (gone !== undefined) repository.run('rm', '-f', repository.pathOf(hashOf('md5', gone)));
    if (next() < 0.2) {
      // One that breaks off leaves whole commits, or nothing.
      const stop = new AbortController();
      let left = Math.floor(next() * 8);
      const progress = (): void => ((left -= 1) < 0 ? stop.abort(new Error('stopped')) : undefined);
      await importInto(project, repository, { watch: { progress, signal: stop.signal } }).catch((error: unknown) => {
        if (error !== stop.signal.reason) throw error;
      });
    }
  }
  await importInto(project, repository);
  const versions = await versionsOf(project);
  for (const { message, files } of versions) expect(files).toEqual(expected[Number.parseInt(message, 10)]);
  // Every change is there, and none twice.
  const changes = expected.filter((files, at) => JSON.stringify(files) !== JSON.stringify(expected[at - 1] ?? {}));
  expect(versions.map(({ files }) => files)).toEqual(changes);
});
