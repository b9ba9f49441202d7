/**
 * The loop of development without files and terminals: what can be asked of it, and what happens
 * when it can't go on.
 */
import { expect, test } from 'vitest';
import { PachError } from '../../src/base/errors.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { createRepo, deleteRepo } from '../../src/versions/refs.ts';
import { Looping } from './looping.ts';
import { copy, EngineWorld, type Command } from './world.ts';

const data = { a: '1', b: '2', c: '3' };
/** Fails for files that say so. */
const picky: Command = (seen) => {
  const isBad = Object.values(seen).some((text) => text === 'bad');
  return isBad ? { ending: { kind: 'exit', code: 1 } } : { out: seen };
};

test('only those that failed are run, through saves, until all are wanted', async () => {
  await using world = await EngineWorld.make(picky);
  await world.commit('data', { ...data, b: 'bad', c: 'bad' });
  await using looping = new Looping(world);
  expect(await looping.counts()).toMatchObject({ total: 3, processed: 1, failed: 2 });
  expect(await looping.next('settled')).toMatchObject({ failed: ['p'] });

  looping.loop.onlyFailed();
  const { selection } = await looping.next('watching');
  expect(selection).toMatchObject({ kind: 'failed', leftOut: 1 });
  expect(await looping.counts()).toMatchObject({ total: 2, failed: 2 });
  await looping.next('settled');
  // It holds when they do not fail any more, and when something is saved.
  world.executor.command = copy;
  looping.fields = { transform: { cmd: ['g'] } };
  looping.loop.filesMayHaveChanged();
  expect(await looping.next('saved')).toMatchObject({ cause: 'spec', pipelines: ['p'] });
  expect(await looping.counts()).toMatchObject({ total: 2, processed: 2 });
  expect(await looping.next('settled')).toMatchObject({ failed: [] });
  looping.loop.all();
  expect(await looping.next('watching')).toMatchObject({ selection: { kind: 'all' } });
  expect(await looping.counts()).toMatchObject({ total: 3, processed: 1, skipped: 2 });
});

test('without any that failed, only those are not wanted; again runs all that is not known', async () => {
  await using world = await EngineWorld.make(copy);
  await world.commit('data', data);
  await using looping = new Looping(world);
  await looping.next('settled');
  looping.loop.onlyFailed();
  looping.loop.rerun();
  expect(await looping.counts()).toMatchObject({ total: 3, skipped: 3 });
  expect(looping.events.filter(({ kind }) => kind === 'watching')).toHaveLength(1);
});

test('a job on older inputs goes on to its end, and the next one has its results', async () => {
  let isHeld = true;
  let release = (): void => undefined;
  const held = new Promise<void>((go) => (release = go));
  await using world = await EngineWorld.make(async (seen) => {
    if (isHeld) await held;
    return { out: seen };
  });
  await world.commit('data', data);
  await using looping = new Looping(world);
  await looping.next('datum-begun');
  await world.commit('data', { ...data, d: '4' });
  isHeld = false;
  release();
  expect(await looping.counts()).toMatchObject({ processed: 3 });
  expect(await looping.next('saved')).toMatchObject({ cause: 'input', files: ['data@master'] });
  expect(await looping.counts()).toMatchObject({ total: 4, processed: 1, skipped: 3 });
  expect(looping.events.filter(({ kind }) => kind === 'restarted')).toEqual([]);
  // A branch without commits is one without files.
  await world.project.update('delete branch', async (change) => {
    change.setBranch({ ...(await change.snapshot.maybeBranch('data', 'master'))!, head: undefined });
  });
  expect(await looping.counts()).toMatchObject({ total: 0 });
});

const other = (name: string, repo: string): object => ({
  pipeline: { name },
  transform: { cmd: [name] },
  input: { pfs: { repo, glob: '/*' } },
});

test('newer inputs of what is above leave a job alone; newer code ends it', async () => {
  /** Lets the command of `q` end. */
  const gates: (() => void)[] = [];
  await using world = await EngineWorld.make(async (seen, [name]) => {
    if (name === 'q') await new Promise<void>((go) => gates.push(go));
    return { out: seen };
  });
  await world.commit('data', data);
  await using looping = new Looping(world, [other('q', 'p')]);
  await expect.poll(() => gates).toHaveLength(1);
  await world.commit('data', { ...data, d: '4' });
  expect(await looping.next('saved')).toMatchObject({ cause: 'input', pipelines: ['p'] });
  const states = async (): Promise<string> => {
    const { pipeline, outcome } = await looping.next('job-ended');
    return `${pipeline} ${outcome.state}`;
  };
  gates.pop()?.();
  expect([await states(), await states()]).toEqual(['q success', 'p success']);
  expect(looping.events.filter(({ kind }) => kind === 'restarted')).toEqual([]);

  await expect.poll(() => gates).toHaveLength(1);
  looping.fields = { transform: { cmd: ['g'] } };
  looping.loop.filesMayHaveChanged();
  expect(await looping.next('saved')).toMatchObject({ cause: 'spec', pipelines: ['p'] });
  expect(await looping.next('restarted')).toMatchObject({ pipeline: 'q', cause: 'spec' });
  gates.pop()?.();
  expect([await states(), await states()]).toEqual(['q killed', 'p success']);
  // What it is asked to do at last.
  await expect.poll(() => gates).toHaveLength(1);
  gates.pop()?.();
  await looping.next('settled');
});

test('of a spec that is taken away nothing is looked at any more', async () => {
  await using world = await EngineWorld.make(copy);
  await world.commit('data', data);
  await world.commit('more', { a: '1' });
  await using looping = new Looping(world, [other('q', 'more')]);
  await looping.next('settled');
  looping.others = [];
  looping.loop.filesMayHaveChanged();
  expect(await looping.next('watching')).toMatchObject({ pipelines: [{ name: 'p' }] });
  await world.commit('more', { a: '2' });
  await world.commit('data', { ...data, d: '4' });
  expect(await looping.next('saved')).toMatchObject({ cause: 'input', pipelines: ['p'] });
  await looping.next('settled');
  expect(looping.events.filter(({ kind }) => kind === 'saved')).toHaveLength(1);
});

test('a repo that is read goes and comes again, and the loop goes on with it', async () => {
  await using world = await EngineWorld.make(copy);
  await world.commit('data', data);
  await using looping = new Looping(world);
  await looping.next('settled');
  await deleteRepo(world.project, 'data', { force: true });
  expect(await looping.next('saved')).toMatchObject({ cause: 'input', files: ['data@master'] });
  const { error, isRetried } = await looping.next('fault');
  expect(error.message).toBe('repo data: there is no such repo in project default');
  expect(isRetried).toBe(true);
  // Told as a mistake of the spec where it is read again.
  looping.loop.filesMayHaveChanged();
  expect((await looping.next('spec-fault')).message).toContain('there is no such repo');
  await createRepo(world.project, 'data', '');
  await world.commit('data', { ...data, d: '4' });
  await looping.next('watching');
  const made = Object.fromEntries(Object.entries({ ...data, d: '4' }).map(([name, text]) => [`data/${name}`, text]));
  await expect.poll(() => world.files('p', 'dev-me')).toEqual(made);
});

test.each([
  ['the store is away', new PachError('unreachable', { what: 'memory', why: 'away' })],
  ['the disk is full', new PachError('no-space', { what: 'memory', why: 'full' })],
])('%s, told once; once it is not, what was saved meanwhile runs by itself', async (_, fault) => {
  let isFaulty = false;
  const inner = new MemoryStore();
  let tries = 0;
  const store = new Proxy(inner, {
    get(target, name: keyof MemoryStore) {
      const found: unknown = target[name];
      if (typeof found !== 'function') return found;
      return (...words: unknown[]): unknown => {
        // A full disk can be read.
        if (!isFaulty || (fault.code === 'no-space' && !name.startsWith('write'))) return found.apply(target, words);
        tries += 1;
        const what = `object ${tries}`;
        throw fault.code === 'no-space' ? new PachError('no-space', { what, why: fault.why }) : fault;
      };
    },
  });
  await using world = await EngineWorld.make(copy, store);
  await world.commit('data', data);
  await using looping = new Looping(world);
  await looping.next('settled');
  isFaulty = true;
  looping.fields = { transform: { cmd: ['g'] } };
  looping.loop.filesMayHaveChanged();
  expect(await looping.next('fault')).toMatchObject({ error: { code: fault.code }, isRetried: true });
  const before = tries;
  await expect.poll(() => tries).toBeGreaterThan(before);
  isFaulty = false;
  expect(await looping.next('saved')).toMatchObject({ cause: 'spec' });
  expect(await looping.counts()).toMatchObject({ total: 3, processed: 3 });
  await looping.next('settled');
  expect(looping.events.filter(({ kind }) => kind === 'fault')).toHaveLength(1);
});

test('two loops on one branch: who comes second is told who runs it, and goes on by itself', async () => {
  let release = (): void => undefined;
  const held = new Promise<void>((go) => (release = go));
  await using world = await EngineWorld.make(async (seen) => {
    await held;
    return { out: seen };
  });
  await world.commit('data', data);
  await using first = new Looping(world);
  await first.next('datum-begun');
  await using second = new Looping(world);
  const { error, isRetried } = await second.next('fault');
  expect(error.message).toMatch(/^pipeline p: .*process \d+.* is running it$/);
  expect(isRetried).toBe(true);
  release();
  expect(await second.counts()).toMatchObject({ total: 3, skipped: 3 });
});
