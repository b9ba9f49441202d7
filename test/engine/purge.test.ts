/**
 * What is purged from an input leaves the store, with what a pipeline printed of it.
 */
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { purge } from '../../src/versions/upkeep/purge.ts';
import { bytesAt, check, collect, errors, put } from '../versions/fsck-store.ts';
import { copy, EngineWorld } from './world.ts';

/** Objects of the store that hold these bytes, which can't be compressed. */
async function holding(world: EngineWorld, bytes: Buffer): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of world.store.list(''))
    if ((await bytesAt(world.store, key)).includes(bytes)) found.push(key);
  return found;
}

test('no byte of a purged file stays in logs or results', async () => {
  const secret = randomBytes(600);
  await using world = await EngineWorld.make(copy);
  const { project, executor } = world;
  await put(project, '/a', Buffer.from('harmless'));
  await put(project, '/b', secret);
  await world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } } });
  executor.command = (seen, _, task) => {
    if ('data/b' in seen) task.log(Buffer.concat([Buffer.from('a log: '), secret]));
    return { out: { [Object.keys(seen).join()]: Object.values(seen).join(), link: true } };
  };
  await world.run('p');
  expect((await holding(world, secret)).length).toBeGreaterThan(0);
  const { computed } = await purge(project, { repo: 'data', what: { path: '/b' }, dryRun: false });
  expect(computed.map(({ repo }) => repo)).toEqual(['p']);
  for (const { repo, commit } of computed) await purge(project, { repo, what: { commit }, dryRun: false });
  await collect(project, 0);
  await collect(project, 0);
  expect(await holding(world, secret)).toEqual([]);
  expect(errors(await check(world.store, 1))).toEqual([]);
  executor.command = copy;
  expect((await world.run('p')).job).toMatchObject({ state: 'success', counts: { total: 1, processed: 1 } });
  expect(await world.files('p')).toEqual({ 'data/a': 'harmless' });
  expect(errors(await check(world.store, 1))).toEqual([]);
});
