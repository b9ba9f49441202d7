/**
 * What a promotion says of code, file by file, and of what the next job has to do.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { codeDifference, nextJob } from '../../src/app/promote-differences.ts';
import { recipeFor } from '../../src/engine/job-start.ts';
import { draftOf } from '../../src/pipelines/editing/draft.ts';
import { findPipeline } from '../../src/pipelines/pipelines.ts';
import { parseSpec } from '../../src/pipelines/spec/parse.ts';
import { copy, EngineWorld } from '../engine/world.ts';

const place = 'ml of cluster.example.org';
const input = { pfs: { repo: 'data', glob: '/*' } };
const code = [
  { from: 'src', to: '/app' },
  { from: 'one.py', to: '/one.py' },
];

function write(world: EngineWorld, files: Readonly<Record<string, string>>): void {
  mkdirSync(join(world.dir, 'src/lib'), { recursive: true });
  for (const [path, text] of Object.entries(files)) writeFileSync(join(world.dir, path), text);
}

/** What promotion would tell of the folder as it is. */
async function told(world: EngineWorld, dev: object = { code }, fields: object = {}) {
  const { project, executor, dir } = world;
  const document = { pipeline: { name: 'p' }, transform: { cmd: ['f'] }, input, dev, ...fields };
  const spec = parseSpec(document, { file: 'spec', folder: dir, project: 'default' });
  await using begun = await project.begin();
  const before = await findPipeline(begun.snapshot, 'p').catch(() => undefined);
  const draft = await draftOf(project, begun, spec, { reprocess: false, signal: new AbortController().signal });
  const recipe = await recipeFor({ project, pipeline: draft, executor });
  const difference = await codeDifference(project.reader, before, draft);
  return { ...difference, datums: await nextJob({ project }, draft, { recipe, place, experiment: undefined }) };
}

test('code is told file by file at the paths that commands see, and only the first of very many', async () => {
  await using world = await EngineWorld.make(copy);
  write(world, { 'src/main.py': 'main', 'src/lib/a.py': 'a', 'one.py': 'one' });
  expect(await told(world)).toMatchObject({ code: 'added', codeFiles: { added: 3, changed: 0, removed: 0, bytes: 8 } });
  await world.set({ name: 'p', input, dev: { code } });
  expect(await told(world)).toMatchObject({ code: 'same', codeFiles: null });

  write(world, { 'src/main.py': 'longer', 'src/lib/\u001b[31mb.py': 'bb', 'one.py': 'two' });
  rmSync(join(world.dir, 'src/lib/a.py'));
  expect(await told(world)).toMatchObject({
    code: 'changed',
    codeFiles: {
      added: 1,
      changed: 2,
      removed: 1,
      bytes: 3,
      files: [
        { path: '/app/lib/\u001b[31mb.py', change: 'added', old: null, new: 2 },
        { path: '/app/lib/a.py', change: 'removed', old: 1, new: null },
        { path: '/app/main.py', change: 'changed', old: 4, new: 6 },
        { path: '/one.py', change: 'changed', old: 3, new: 3 },
      ],
    },
  });
  // A place of code that goes, goes with its files.
  expect(await told(world, { code: code.slice(1) })).toMatchObject({ codeFiles: { removed: 2, changed: 1 } });

  write(world, Object.fromEntries(Array.from({ length: 250 }, (_, at) => [`src/lib/${at}.py`, 'x'])));
  const many = (await told(world)).codeFiles;
  expect(many?.added).toBe(251);
  expect(many?.files).toHaveLength(200);
});

test('what the next job has to do costs what others took, or those of a job with other code', async () => {
  await using world = await EngineWorld.make(copy);
  write(world, { 'src/main.py': 'main', 'one.py': 'one' });
  expect((await told(world)).datums).toEqual({
    total: 0,
    computed: 0,
    elsewhere: 0,
    inputBytes: 0,
    seconds: 0,
    bytes: 0,
  });
  await world.commit('data', { a: 'one', b: 'three' });
  // Nobody has seen any rate yet.
  expect((await told(world)).datums).toMatchObject({ total: 2, inputBytes: 8, seconds: null, bytes: null });
  await world.set({ name: 'p', input, dev: { code } });
  await world.run('p');
  expect((await told(world)).datums).toEqual({
    total: 2,
    computed: 2,
    elsewhere: 2,
    inputBytes: 0,
    seconds: 0,
    bytes: 0,
  });
  await world.commit('data', { a: 'one', b: 'three', c: 'seven77' });
  const more = (await told(world)).datums;
  expect(more).toMatchObject({ total: 3, computed: 2, inputBytes: 7, bytes: 4 });
  expect(more?.seconds).toBeGreaterThan(0);
  write(world, { 'src/main.py': 'changed' });
  expect((await told(world)).datums).toMatchObject({ total: 3, computed: 0, inputBytes: 15, bytes: 12 });
  expect((await told(world, {}, { input: { pfs: { repo: 'none', glob: '/*' } } })).datums).toBeNull();
});
