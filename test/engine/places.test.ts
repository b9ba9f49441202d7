/**
 * Pipelines that were promoted: who runs them, who does not, and what changes them.
 */
import { expect, test } from 'vitest';
import { tick } from '../../src/engine/ticks.ts';
import { demote } from '../../src/pipelines/editing/demote.ts';
import { movedPipelines, type MovedPipeline, type Promotion } from '../../src/pipelines/editing/places.ts';
import { deletePipeline, setPipelines, stopPipeline } from '../../src/pipelines/editing/edit-pipelines.ts';
import { mayUndo } from '../../src/pipelines/editing/may-undo.ts';
import { findPipeline, listPipelines, type Pipeline } from '../../src/pipelines/pipelines.ts';
import { parseSpec } from '../../src/pipelines/spec/parse.ts';
import type { PipelineSpec } from '../../src/pipelines/spec/spec.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import type { Project } from '../../src/versions/project.ts';
import { deleteRepo } from '../../src/versions/refs.ts';
import { undo, type UndoRequest } from '../../src/versions/undo/undo.ts';
import { collectGarbage } from '../../src/versions/upkeep/gc.ts';
import { openTestProject } from '../versions/project.ts';
import { expectSound, redo, refsOf, takeBack } from '../versions/undo-world.ts';
import { Serving } from './serving.ts';
import { copy, EngineWorld, type SpecWords } from './world.ts';

const input = { pfs: { repo: 'data', glob: '/*' } };
const place = 'ml of cluster.example.org';

async function pipeline(world: EngineWorld, name: string): Promise<Pipeline> {
  return findPipeline(await world.project.snapshot(), name);
}

function specOf(world: EngineWorld, { name, cmd = ['f'], ...fields }: SpecWords): PipelineSpec {
  const document = { pipeline: { name }, transform: { cmd }, datum_tries: 1, ...fields };
  return parseSpec(document, { file: 'spec', folder: world.dir, project: 'default' });
}

/** Of the spec that it has, or of another one. */
async function promote(
  world: EngineWorld,
  name: string,
  more: Partial<Promotion> = {},
  words?: SpecWords,
): Promise<void> {
  const { document } = (await pipeline(world, name)).spec;
  const spec = words
    ? specOf(world, words)
    : parseSpec(document, { file: 'spec', folder: world.dir, project: 'default' });
  await promoteAll(world.project, [spec], {
    place,
    pinned: new Map([[name, 'image']]),
    anew: new Map<string, number>(),
    force: false,
    ...more,
  });
}

async function promoteAll(project: Project, specs: readonly PipelineSpec[], promotion: Promotion): Promise<void> {
  const { signal } = new AbortController();
  await setPipelines(project, specs, { update: true, reprocess: false, promotion, signal, skipped: () => undefined });
}

/** The branches that its output is computed from. */
async function reads(world: EngineWorld, name: string): Promise<string[]> {
  const branch = await (await world.project.snapshot()).branch(name, 'master');
  return branch.provenance.map((each) => `${each.repo}@${each.branch}`);
}

/** Takes the last change back; what that does to promoted pipelines. */
async function undoMoves(project: Project): Promise<MovedPipeline[]> {
  let moved: MovedPipeline[] = [];
  const look: UndoRequest['mayUndo'] = async (change, later) => {
    await mayUndo(change, later);
    moved = await movedPipelines(change);
  };
  await undo(project, { wanted: { verb: 'undo', operation: undefined }, dryRun: false, mayUndo: look });
  return moved;
}

/** A store that can be written so many times more, and then fails at the next one, before it or after it. */
class DyingStore extends MemoryStore {
  private left = Infinity;
  private isAfter = false;

  dieAfter(writes: number, isAfter: boolean): void {
    this.left = writes;
    this.isAfter = isAfter;
  }

  override writeIfAbsent(...words: Parameters<MemoryStore['writeIfAbsent']>): Promise<boolean> {
    return this.write(() => super.writeIfAbsent(...words));
  }

  override writeIfUnchanged(
    ...words: Parameters<MemoryStore['writeIfUnchanged']>
  ): ReturnType<MemoryStore['writeIfUnchanged']> {
    return this.write(() => super.writeIfUnchanged(...words));
  }

  private async write<T>(write: () => Promise<T>): Promise<T> {
    this.left -= 1;
    if (this.left >= 0) return write();
    if (this.left === -1 && this.isAfter) await write();
    throw new Error('the machine has died');
  }
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
  await promote(world, 'p', { anew: new Map([['p', 1]]) });
  expect((await pipeline(world, 'p')).version).toBe(2);
  // Another one that found the same a moment ago finds it done.
  await promote(world, 'p', { anew: new Map([['p', 1]]) });
  expect((await pipeline(world, 'p')).version).toBe(2);

  await world.set({ name: 'p', input }); // nothing is different
  await expect(world.set({ name: 'p', input, cmd: ['g'] })).rejects.toMatchObject({ code: 'conflict' });
  await expect(promote(world, 'p', { place: 'elsewhere' })).rejects.toMatchObject({ code: 'conflict' });
  await promote(world, 'p', { place: 'elsewhere', force: true });
  expect((await pipeline(world, 'p')).place).toBe('elsewhere');

  await stopPipeline(world.project, 'p', true);
  expect(await pipeline(world, 'p')).toMatchObject({ stopped: true, place: 'elsewhere' });
  await demote(world.project, ['p'], { remove: false });
  await expect(world.project.snapshot()).resolves.toMatchObject({ head: { operation: { what: 'demote pipeline p' } } });
  const back = await pipeline(world, 'p');
  expect([back.place, back.pinned, back.stopped]).toEqual([undefined, undefined, true]);
  await expect(demote(world.project, ['p'], { remove: false })).rejects.toMatchObject({
    why: 'it was promoted nowhere',
  });
});

test('a demotion goes back promotion by promotion, with code, image and inputs, and can be undone', async () => {
  await using world = await EngineWorld.make(copy);
  const { project } = world;
  await world.set({ name: 'p', input });
  await promote(world, 'p');
  const first = await pipeline(world, 'p');
  const other = { pfs: { repo: 'more', glob: '/' } };
  await promote(world, 'p', {}, { name: 'p', input: other, cmd: ['g'] });
  const second = await pipeline(world, 'p');
  expect([second.version, await reads(world, 'p')]).toEqual([2, ['more@master']]);
  // The same again, and the same with another image: only what differs can be gone back to.
  await promote(world, 'p', {}, { name: 'p', input: other, cmd: ['g'] });
  await promote(world, 'p', { pinned: new Map([['p', 'newer']]) }, { name: 'p', input: other, cmd: ['g'] });

  // What can be gone back to is nobody's garbage.
  for (let round = 0; round < 2; round += 1) {
    await collectGarbage(openTestProject(project.options.store), {
      grace: 0,
      dryRun: false,
      progress: () => undefined,
    });
  }
  await expectSound(project);
  const back = () => demote(project, ['p'], { remove: false });
  expect(await back()).toEqual([{ name: 'p', place, version: 2 }]);
  expect(await pipeline(world, 'p')).toEqual({ ...second, updated: expect.any(Number) as number });
  await stopPipeline(project, 'p', true);
  expect(await back()).toEqual([{ name: 'p', place, version: 1 }]);
  const now = await pipeline(world, 'p');
  // Stopped is what it is, not what it was.
  expect(now).toEqual({ ...first, stopped: true, updated: expect.any(Number) as number });
  expect(await reads(world, 'p')).toEqual(['data@master']);
  expect(await back()).toEqual([{ name: 'p', place, version: undefined }]);
  expect((await pipeline(world, 'p')).place).toBeUndefined();
  await expectSound(project);

  // Undo takes demotions back as it does promotions, and says where that makes the pipeline run.
  expect(await undoMoves(project)).toEqual([{ pipeline: 'p', branch: null, from: null, to: place, version: 1 }]);
  expect(await pipeline(world, 'p')).toEqual(now);
  expect(await undoMoves(project)).toEqual([{ pipeline: 'p', branch: null, from: place, to: place, version: 2 }]);
  expect(await demote(project, ['p'], { remove: true })).toEqual([{ name: 'p', place, version: undefined }]);
  expect(await refsOf(project, 'promoted')).toEqual({});
  expect(await undoMoves(project)).toEqual([{ pipeline: 'p', branch: null, from: null, to: place, version: 2 }]);
  expect(Object.keys(await refsOf(project, 'promoted'))).toEqual(['promoted/p/00000000']);

  // What it read then must be there.
  await deleteRepo(project, 'data', { force: true });
  await expect(back()).rejects.toMatchObject({ code: 'not-found', what: 'repo data' });
  expect(await pipeline(world, 'p')).toMatchObject({ version: 2 });
  // Another place has a history of its own.
  await promote(world, 'p', { place: 'elsewhere', force: true }, { name: 'p', input: other, cmd: ['g'] });
  expect(await refsOf(project, 'promoted')).toEqual({});
  await deletePipeline(project, 'p', { force: true, keepRepo: false });
  await expectSound(project);
});

test('of many promotions the newest can be gone back to', async () => {
  await using world = await EngineWorld.make(copy);
  await world.set({ name: 'p', input });
  for (let round = 0; round < 20; round += 1) await promote(world, 'p', { pinned: new Map([['p', `image ${round}`]]) });
  expect(Object.keys(await refsOf(world.project, 'promoted'))).toHaveLength(16);
  await demote(world.project, ['p'], { remove: false });
  expect((await pipeline(world, 'p')).pinned).toBe('image 18');
  await deletePipeline(world.project, 'p', { force: true, keepRepo: false });
  expect(await refsOf(world.project, 'promoted')).toEqual({});
});

test('a promotion that is broken off anywhere leaves all pipelines as they were or moves all, and again moves them', async () => {
  const old = JSON.stringify([
    [undefined, 1],
    [undefined, 1],
  ]);
  const moved = JSON.stringify([
    [place, 2],
    [place, 2],
  ]);
  for (const isAfter of [false, true]) {
    const store = new DyingStore();
    await using world = await EngineWorld.make(copy, store);
    await world.set({ name: 'a', input });
    const second: SpecWords = { name: 'b', input: { pfs: { repo: 'a', glob: '/' } } };
    await world.set(second);
    const specs = [specOf(world, { name: 'a', input, cmd: ['g'] }), specOf(world, { ...second, cmd: ['g'] })];
    const pinned = new Map([
      ['a', 'image'],
      ['b', 'image'],
    ]);
    const seen: string[] = [];
    for (let writes = 0, hasEnded = false; !hasEnded; writes += 1) {
      store.dieAfter(writes, isAfter);
      // As a process that begins anew.
      const project = openTestProject(store);
      hasEnded = await promoteAll(project, specs, { place, pinned, anew: new Map(), force: false }).then(
        () => true,
        () => false,
      );
      store.dieAfter(Infinity, false);
      const pipelines = await listPipelines(await openTestProject(store).snapshot());
      seen.push(JSON.stringify(pipelines.map((each) => [each.place, each.version])));
      await expectSound(openTestProject(store));
    }
    expect(seen.length).toBeGreaterThan(2);
    expect(new Set(seen.slice(0, -1))).toEqual(new Set(isAfter ? [old, moved] : [old]));
    expect(seen.at(-1)).toBe(moved);
  }
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
