/**
 * Names of branches as callers of the engine give them.
 */
import { expect, test } from 'vitest';
import { setPipelines } from '../../src/pipelines/editing/edit-pipelines.ts';
import { listPipelines } from '../../src/pipelines/pipelines.ts';
import { parseSpec } from '../../src/pipelines/spec/parse.ts';
import { EngineWorld } from './world.ts';

test.each(['', 'a b', 'a/b', 'a@b', 'f'.repeat(32)])(
  'no branch is named %j, and nothing is stored of it',
  async (branch) => {
    await using world = await EngineWorld.make(() => ({ out: {} }));
    const words = { name: 'p', input: { pfs: { repo: 'data', glob: '/*' } } };
    await world.commit('data', { a: '1' });
    await world.set(words);
    const before = (await world.project.snapshot()).head.operation.id;

    const document = { pipeline: { name: 'q' }, transform: { cmd: ['f'] }, input: words.input };
    const spec = parseSpec(document, { file: 'spec', folder: world.dir, project: 'default' });
    const { signal } = new AbortController();
    const setting = setPipelines(world.project, [spec], {
      branch,
      update: true,
      reprocess: false,
      signal,
      skipped: () => undefined,
    });
    await expect(setting).rejects.toMatchObject({ code: 'usage' });
    await expect(world.run('p', { branch })).rejects.toMatchObject({ code: 'usage' });

    const snapshot = await world.project.snapshot();
    expect(snapshot.head.operation.id).toBe(before);
    expect((await listPipelines(snapshot)).map(({ name }) => name)).toEqual(['p']);
  },
);
