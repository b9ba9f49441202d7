/**
 * Pipelines whose inputs have triggers: the branches that are made for them, what jobs read, and what
 * becomes of the branches.
 */
import { expect, test } from 'vitest';
import { deletePipeline } from '../../src/pipelines/editing/edit-pipelines.ts';
import { checkDeletion } from '../../src/pipelines/readers.ts';
import { createBranch, renameBranch, updateTrigger } from '../../src/versions/refs.ts';
import { TestClock } from '../support/clock.ts';
import { takeBack } from '../versions/undo-world.ts';
import { Serving } from './serving.ts';
import { copy, EngineWorld } from './world.ts';

const reads = (repo: string, trigger: object, more: object = {}) => ({ pfs: { repo, glob: '/*', trigger, ...more } });
const made = 'p-trigger-1';

async function triggerOf(world: EngineWorld, branch = made, repo = 'data') {
  return (await (await world.project.snapshot()).maybeBranch(repo, branch))?.trigger;
}

test('a job reads what the trigger has let through; on a branch of its own the newest', async () => {
  await using world = await EngineWorld.make(copy);
  await world.set({ name: 'p', input: reads('data', { commits: 2 }) });
  await world.commit('data', { a: '1' });
  await world.run('p');
  expect(await world.files('p')).toEqual({});
  await world.commit('data', { a: '1', b: '2' });
  await world.commit('data', { a: '1', b: '2', c: '3' });
  await world.run('p');
  expect(await world.files('p')).toEqual({ 'data/a': '1', 'data/b': '2' });
  await world.run('p', { branch: 'exp' });
  expect(await world.files('p', 'exp')).toEqual({ 'data/a': '1', 'data/b': '2', 'data/c': '3' });
});

test("the output of one pipeline triggers another's input, which stays as it is when nothing new comes", async () => {
  await using world = await EngineWorld.make((seen) => ({ out: { n: String(Object.keys(seen).length) } }));
  await world.set({ name: 'up', input: { pfs: { repo: 'data', glob: '/' } } });
  await world.set({ name: 'p', input: reads('up', { commits: 2 }) });
  await world.commit('data', { a: '1' });
  await world.run('up');
  const head = async (): Promise<string | undefined> =>
    (await (await world.project.snapshot()).maybeBranch('up', made))?.head?.id;
  expect(await head()).toBeUndefined();
  await world.commit('data', { a: '1', b: '2' });
  const { job } = await world.run('up');
  expect(await head()).toBe(job.output);
  const ran = async (branch?: string): Promise<string[]> => {
    const names: string[] = [];
    for await (const { pipeline } of world.graph('p', branch === undefined ? {} : { branch }))
      names.push(pipeline.name);
    return names;
  };
  // In production it waits for the trigger; a branch of its own has all that is new.
  expect(await ran()).toEqual(['p']);
  expect(await ran('exp')).toEqual(['up', 'p']);
});

test('the branch changes and goes with the pipeline, and comes back with it', async () => {
  await using world = await EngineWorld.make(copy);
  const words = (trigger: object, more: object = {}) => ({ name: 'p', input: reads('data', trigger, more) });
  await world.set(words({ commits: 2, branch: 'raw' }));
  const first = await triggerOf(world);
  expect(first).toMatchObject({ branch: 'raw', commits: 2, pipeline: 'p' });
  await world.set({ ...words({ commits: 2, branch: 'raw' }), description: 'the same trigger' });
  expect(await triggerOf(world)).toEqual(first);
  await world.set(words({ size: '1GB' }));
  expect(await triggerOf(world)).toMatchObject({ branch: 'master', bytes: 1e9 });
  await world.set(words({ size: '1GB' }, { branch: 'large' }));
  expect(await triggerOf(world)).toBeUndefined();
  expect(await triggerOf(world, 'large')).toMatchObject({ pipeline: 'p' });
  await deletePipeline(world.project, 'p', { force: false, keepRepo: false });
  expect(await (await world.project.snapshot()).maybeBranch('data', 'large')).toBeUndefined();
  await takeBack(world.project);
  expect(await triggerOf(world, 'large')).toMatchObject({ pipeline: 'p' });
});

test('a branch of an input is not taken over, given another trigger, renamed or robbed of what triggers it', async () => {
  await using world = await EngineWorld.make(copy);
  const { project } = world;
  await createBranch(project, 'data', 'own', undefined);
  await expect(world.set({ name: 'q', input: reads('data', { commits: 1 }, { branch: 'own' }) })).rejects.toThrow(
    'branch data@own: it already exists, and the trigger of an input of pipeline q would move it',
  );
  await world.commit('data', { a: '1' });
  await world.set({ name: 'p', input: reads('data', { commits: 1 }) });
  const isItsOwn = /pipeline p made it for an input/;
  await expect(updateTrigger(project, { repo: 'data', branch: made }, undefined)).rejects.toThrow(isItsOwn);
  const anyway = (): Promise<void> => Promise.resolve();
  await expect(renameBranch(project, { repo: 'data', from: 'master', to: 'raw' }, anyway)).rejects.toThrow(isItsOwn);
  const snapshot = await project.snapshot();
  await expect(checkDeletion(snapshot, { repo: 'data', branch: 'master' }, false)).rejects.toThrow(
    `its commits move branch ${made} by a trigger`,
  );
  await expect(checkDeletion(snapshot, { repo: 'data', branch: made }, false)).rejects.toThrow('p reads it');
});

test('results that come back by a trigger are a loop, and the output of a pipeline has no trigger', async () => {
  await using world = await EngineWorld.make(copy);
  await world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } } });
  await world.set({ name: 'q', input: { pfs: { repo: 'p', glob: '/*' } } });
  await expect(world.set({ name: 'p', input: reads('q', { commits: 1 }) })).rejects.toThrow(
    'its results would become its own input',
  );
  const trigger = { branch: 'other', all: false, commits: 1 };
  await expect(updateTrigger(world.project, { repo: 'p', branch: 'master' }, trigger)).rejects.toThrow(
    'it is the output of a pipeline, which alone moves it',
  );
  await createBranch(world.project, 'p', 'next', undefined, { trigger });
  await expect(
    world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } }, output_branch: 'next' }),
  ).rejects.toThrow('branch p@next: a trigger moves it');
});

test('an engine that stays up runs a pipeline when its trigger lets something through, also at a time', async () => {
  await using world = await EngineWorld.make(copy);
  await world.set({ name: 'enough', input: reads('data', { commits: 2 }) });
  await world.set({ name: 'nightly', input: reads('data', { cron_spec: '@daily' }) });
  const clock = new TestClock(Date.now());
  await using serving = new Serving(world, { clock });
  await serving.next('serving');
  await world.commit('data', { a: '1' });
  await world.commit('data', { a: '1', b: '2' });
  await serving.next('job-ended', 'enough');
  expect(await world.files('enough')).toEqual({ 'data/a': '1', 'data/b': '2' });
  expect(serving.jobs).toEqual(['enough success']);
  const midnight = new Date(clock.now()).setUTCHours(24, 0, 0, 0);
  clock.set(midnight + 1000);
  await serving.next('job-ended', 'nightly');
  expect(await world.files('nightly')).toEqual({ 'data/a': '1', 'data/b': '2' });
  // What comes after a look that found nothing to wait for.
  await world.commit('data', { a: '2' });
  clock.set(midnight + 24 * 3_600_000 + 1000);
  await serving.next('job-ended', 'nightly');
  expect(await world.files('nightly')).toEqual({ 'data/a': '2' });
});
