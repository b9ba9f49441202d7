/**
 * Pipelines that were promoted: who runs them, who does not, and what changes them.
 */
import { expect, test } from 'vitest';
import { tick } from '../../src/engine/ticks.ts';
import { demote, type Promotion } from '../../src/pipelines/editing/places.ts';
import { setPipelines, stopPipeline } from '../../src/pipelines/editing/edit-pipelines.ts';
import { findPipeline, type Pipeline } from '../../src/pipelines/pipelines.ts';
import { parseSpec } from '../../src/pipelines/spec/parse.ts';
import { redo, takeBack } from '../versions/undo-world.ts';
import { Serving } from './serving.ts';
import { copy, EngineWorld } from './world.ts';

const input = { pfs: { repo: 'data', glob: '/*' } };
const place = 'ml of cluster.example.org';

async function pipeline(world: EngineWorld, name: string): Promise<Pipeline> {
  return findPipeline(await world.project.snapshot(), name);
}

async function promote(world: EngineWorld, name: string, more: Partial<Promotion> = {}): Promise<void> {
  const { document } = (await pipeline(world, name)).spec;
  const spec = parseSpec(document, { file: 'spec', folder: world.dir, project: 'default' });
  const promotion = { place, pinned: new Map([[name, 'image']]), anew: new Set<string>(), force: false, ...more };
  const { signal } = new AbortController();
  await setPipelines(world.project, [spec], {
    update: true,
    reprocess: false,
    promotion,
    signal,
    skipped: () => undefined,
  });
}

test('the engine of its place runs it, and no other; what depends on it reads what there is', async () => {
  await using world = await EngineWorld.make(copy);
  await world.set({ name: 'there', input });
  await world.set({ name: 'here', input: { pfs: { repo: 'there', glob: '/*' } } });
  await promote(world, 'there');
  await world.commit('data', { a: 'one' });

  await expect(world.run('there')).rejects.toMatchObject({
    code: 'conflict',
    why: expect.stringContaining(place) as string,
  });
  // What is upstream, and promoted, is not run along.
  await world.run('here').catch(() => undefined);
  expect(await world.files('there')).toBeUndefined();

  {
    await using engine = new Serving(world);
    await engine.next('serving');
    await world.set({ name: 'other', input });
    await engine.next('job-ended', 'other');
    expect(engine.jobs).not.toContain('there success');
  }
  await world.commit('data', { a: 'two' });
  await using controller = new Serving(world, { place });
  expect(await controller.next('job-ended', 'there')).toMatchObject({ outcome: { state: 'success' } });
  expect(controller.jobs).toEqual(['there success']);
  // A branch of its own is nobody's.
  await world.run('there', { branch: 'trial' });
  expect(await world.files('there', 'trial')).toEqual({ 'data/a': 'two' });
});

test('a second promotion publishes nothing; what ran with something else runs anew; updates wait for a promotion', async () => {
  await using world = await EngineWorld.make(copy);
  await world.set({ name: 'p', input });
  await promote(world, 'p');
  const first = await pipeline(world, 'p');
  expect(first).toMatchObject({ version: 1, place, pinned: 'image', stopped: false });
  const { head } = await world.project.snapshot();
  expect(head.operation.what).toBe(`promote pipeline p to ${place}`);
  await promote(world, 'p');
  expect((await world.project.snapshot()).head.operation).toEqual(head.operation);
  await takeBack(world.project);
  expect((await pipeline(world, 'p')).place).toBeUndefined();
  await redo(world.project);
  expect(await pipeline(world, 'p')).toEqual(first);
  await promote(world, 'p', { anew: new Set(['p']) });
  expect((await pipeline(world, 'p')).version).toBe(2);

  await world.set({ name: 'p', input }); // nothing is different
  await expect(world.set({ name: 'p', input, cmd: ['g'] })).rejects.toMatchObject({ code: 'conflict' });
  await expect(promote(world, 'p', { place: 'elsewhere' })).rejects.toMatchObject({ code: 'conflict' });
  await promote(world, 'p', { place: 'elsewhere', force: true });
  expect((await pipeline(world, 'p')).place).toBe('elsewhere');

  await stopPipeline(world.project, 'p', true);
  expect(await pipeline(world, 'p')).toMatchObject({ stopped: true, place: 'elsewhere' });
  await demote(world.project, ['p']);
  await expect(world.project.snapshot()).resolves.toMatchObject({ head: { operation: { what: 'demote pipeline p' } } });
  const back = await pipeline(world, 'p');
  expect([back.place, back.pinned, back.stopped]).toEqual([undefined, undefined, true]);
  await expect(demote(world.project, ['p'])).rejects.toMatchObject({ why: 'it was promoted nowhere' });
});

test('a schedule ticks where its pipeline runs', async () => {
  await using world = await EngineWorld.make(copy);
  await world.set({ name: 'p', input: { cron: { name: 'tick', spec: '@hourly', start: '2026-03-01T00:00:00Z' } } });
  await promote(world, 'p');
  const now = Date.parse('2026-03-01T01:30:00Z');
  await tick(world.project, { now });
  expect(await world.files('p_tick')).toBeUndefined();
  await tick(world.project, { now, place });
  expect(Object.keys((await world.files('p_tick')) ?? {})).toEqual(['2026-03-01T01:00:00Z']);
});
