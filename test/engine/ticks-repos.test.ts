/**
 * Repos of ticks: they come and go with their pipelines, people read them, and jobs too.
 */
import { expect, test } from 'vitest';
import { tick, tickNow } from '../../src/engine/ticks.ts';
import { deletePipeline } from '../../src/pipelines/editing/edit-pipelines.ts';
import { mayUndo } from '../../src/pipelines/editing/may-undo.ts';
import { checkDeletion } from '../../src/pipelines/readers.ts';
import { deleteRepo } from '../../src/versions/refs.ts';
import { undo } from '../../src/versions/undo/undo.ts';
import { putFiles } from '../../src/versions/writing/put.ts';
import { check, errors } from '../versions/fsck-store.ts';
import { silent, streamOf } from '../versions/project.ts';
import { copy, EngineWorld, type Command } from './world.ts';

const start = '2026-03-01T00:00:00Z';
const now = Date.parse('2026-03-03T12:00:00Z');
const tock = (fields: object = {}) => ({ cron: { name: 'tick', spec: '@daily', start, ...fields } });

async function repos({ project }: EngineWorld): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, ticksOf } of (await project.snapshot()).repos()) {
    if (name !== 'data' && name !== 'more') found.push(ticksOf === undefined ? name : `${name} of ${ticksOf}`);
  }
  return found;
}

/** One file, with a name of all that was seen. */
const named: Command = (seen) => ({ out: { [Object.keys(seen).sort().join(' ').replaceAll('/', '-')]: '' } });

const drop = (world: EngineWorld, name: string, fields: object = {}) => {
  return deletePipeline(world.project, name, { force: false, keepRepo: false, ...fields });
};

test('a job reads the ticks that there are, and does the new ones', async () => {
  await using world = await EngineWorld.make(copy);
  await world.commit('data', { a: '1', b: '2' });
  await world.set({ name: 'p', input: tock(), dev: { missed_ticks: 'all' } });
  await world.set({
    name: 'crossed',
    input: { cross: [tock({ overwrite: true }), { pfs: { repo: 'data', glob: '/*' } }] },
  });
  // None yet: that is no error.
  expect((await world.run('p')).job).toMatchObject({ state: 'success', counts: { total: 0 } });
  await tick(world.project, { now });
  expect((await world.run('p')).job.counts).toMatchObject({ total: 2, processed: 2 });
  await tick(world.project, { now: now + 86_400_000 });
  const { job } = await world.run('p');
  expect(job).toMatchObject({ state: 'success', counts: { total: 3, processed: 1, skipped: 2 } });
  expect(job.inputs).toMatchObject([{ repo: 'p_tick', branch: 'master' }]);
  expect(Object.keys((await world.files('p')) ?? {})).toEqual(
    ['02', '03', '04'].map((day) => `tick/2026-03-${day}T00:00:00Z`),
  );
  // In a cross the last tick goes with every file.
  world.executor.command = named;
  expect((await world.run('crossed')).job.counts).toMatchObject({ total: 2, processed: 2 });
  expect(Object.keys((await world.files('crossed')) ?? {})).toEqual(
    ['a', 'b'].map((name) => `data/${name} tick/2026-03-04T00:00:00Z`.replaceAll('/', '-')),
  );
  expect(errors(await check(world.store, 1))).toEqual([]);
});

test('in a union, a group and a join without keys', async () => {
  await using world = await EngineWorld.make(named);
  await world.commit('data', { a: '1', b: '2' });
  const files = { pfs: { repo: 'data', glob: '/(*)', group_by: '$1' } };
  const plain = { pfs: { repo: 'data', glob: '/*' } };
  await world.set({ name: 'united', input: { union: [tock(), plain] } });
  await world.set({ name: 'grouped', input: { group: [tock(), files] } });
  await world.set({ name: 'joined', input: { join: [tock(), plain] } });
  await tick(world.project, { now });
  for (const [name, total] of [
    ['united', 3],
    ['grouped', 3],
    ['joined', 2],
  ] as const) {
    expect((await world.run(name)).job).toMatchObject({ state: 'success', counts: { total } });
  }
});

test('a repo of ticks is made with its pipeline, is read alone by people, and goes with it', async () => {
  await using world = await EngineWorld.make(copy);
  const { project } = world;
  await world.set({ name: 'p', input: tock() });
  expect(await repos(world)).toEqual(['p', 'p_tick of p']);
  await tick(project, { now });
  const put = (branch: string) =>
    putFiles(project, {
      repo: 'p_tick',
      branch,
      message: '',
      sources: [{ kind: 'stream', stream: streamOf('x') }],
      target: '/x',
      watch: silent,
    });
  await expect(put('master')).rejects.toThrow('its commits are the ticks of pipeline p');
  await expect(put('other')).rejects.toThrow('its commits are the ticks of pipeline p');
  const deletion = { force: true, mayDelete: async () => undefined };
  await expect(deleteRepo(project, 'p_tick', deletion)).rejects.toThrow('it holds the ticks of pipeline p');
  await expect(checkDeletion(await project.snapshot(), { repo: 'p_tick', branch: 'master' }, false)).rejects.toThrow(
    'p reads it',
  );
  await drop(world, 'p');
  expect(await repos(world)).toEqual([]);
  // It comes back as it was, and no time of its schedule is ticked again.
  await undo(project, { wanted: { verb: 'undo' }, dryRun: false, mayUndo });
  expect(await repos(world)).toEqual(['p', 'p_tick of p']);
  expect(await tick(project, { now })).toBe(Date.parse('2026-03-04T00:00:00Z'));
  expect(Object.keys((await world.files('p_tick')) ?? {})).toEqual(['2026-03-03T00:00:00Z']);
});

test('ticks that others read stay when their pipeline goes', async () => {
  await using world = await EngineWorld.make(copy);
  await world.set({ name: 'p', input: tock() });
  await world.set({ name: 'reader', input: { pfs: { repo: 'p_tick', glob: '/*' } } });
  await tick(world.project, { now });
  await drop(world, 'p');
  expect(await repos(world)).toEqual(['p_tick', 'reader']);
  await world.commit('p_tick', { a: 'of a person' });
  await drop(world, 'reader');
  // And so do those of results that are kept.
  await world.set({ name: 'q', input: tock() });
  await drop(world, 'q', { keepRepo: true });
  expect(await repos(world)).toEqual(['p_tick', 'q', 'q_tick']);
});

test('pipelines that name the same repo share its ticks', async () => {
  await using world = await EngineWorld.make(copy);
  await world.set({ name: 'p', input: tock({ repo: 'clock' }) });
  await world.set({ name: 'q', input: tock({ repo: 'clock' }) });
  await world.set({ name: 'r', input: tock({ repo: 'clock', spec: '0 6 * * *' }) });
  await tick(world.project, { now });
  expect(Object.keys((await world.files('clock')) ?? {})).toEqual(['2026-03-03T00:00:00Z', '2026-03-03T06:00:00Z']);
  for (const [name, left] of [
    ['p', 'clock of q'],
    ['q', 'clock of r'],
  ] as const) {
    await drop(world, name);
    expect(await repos(world)).toContain(left);
  }
  await drop(world, 'r');
  expect(await repos(world)).toEqual([]);
});

test('a repo of a person may have ticks too, and stays', async () => {
  await using world = await EngineWorld.make(copy);
  await world.commit('more', { a: '1' });
  await world.set({ name: 'p', input: tock({ repo: 'more' }) });
  await tickNow(world.project, 'p', now);
  await world.set({ name: 'p', input: tock({ repo: 'elsewhere' }) });
  await drop(world, 'p');
  expect(await repos(world)).toEqual([]);
  expect(await world.files('more')).toEqual({ a: '1', '2026-03-03T12:00:00Z': '' });
});

test('no ticks are committed to what a pipeline makes', async () => {
  await using world = await EngineWorld.make(copy);
  await world.set({ name: 'made', input: { pfs: { repo: 'data', glob: '/*' } }, output_branch: 'dev' });
  await expect(world.set({ name: 'p', input: tock({ repo: 'made' }) })).rejects.toThrow('the output of a pipeline');
  await world.set({ name: 'p', input: tock() });
  await expect(world.set({ name: 'p_tick', input: { pfs: { repo: 'data', glob: '/*' } } })).rejects.toThrow(
    'a repo with this name already exists',
  );
});

test('undoing that a pipeline was made keeps its ticks where something was computed from them, as commits like others', async () => {
  await using world = await EngineWorld.make(copy);
  const { project } = world;
  await world.set({ name: 'p', input: tock() });
  await tick(project, { now });
  await undo(project, { wanted: { verb: 'undo' }, dryRun: false, mayUndo });
  expect(await repos(world)).toEqual(['p_tick']);
  await world.set({ name: 'p', input: tock() });
  expect(await repos(world)).toEqual(['p', 'p_tick']);
});
