/**
 * Folders of outputs: an empty one is kept for as long as a datum makes it, whichever of them change.
 */
import { expect, test } from 'vitest';
import { numbers, oneOf } from '../support/numbers.ts';
import { EngineWorld, type Command, type Tree } from './world.ts';

const seedOfRun = Number(process.env['SEED'] ?? 1);
const steps = Number(process.env['STEPS'] ?? 60);

/** What a datum makes: words of its file, a folder where one ends with a slash. `x` is nobody else's. */
const treeOf = (text: string, name: string): Record<string, string | true> =>
  Object.fromEntries(
    text.split(' ').map((word) => (word.endsWith('/') ? [word.slice(0, -1), true] : [word.replace('x', name), name])),
  );

const command: Command = (seen) => {
  const [[path, text] = ['', '']] = Object.entries(seen);
  return { out: text === '' ? {} : treeOf(String(text), path.replace('data/', '')) };
};

const words = ['a/', 'a/b/', 'a/b/c/', 'd/', 'a/x', 'a/b/x', 'd/x', 'x/', 'a/x/'];

/** Files and folders with nothing in them. */
function expected(data: Tree): Tree {
  const all: Record<string, string | true> = {};
  for (const [name, text] of Object.entries(data)) if (text !== '') Object.assign(all, treeOf(String(text), name));
  const isEmpty = ([path, text]: [string, string | true]): boolean =>
    text !== true || !Object.keys(all).some((other) => other.startsWith(`${path}/`));
  return Object.fromEntries(Object.entries(all).filter(isEmpty));
}

test('an empty folder goes with the last datum that makes it', { timeout: 600_000 }, async () => {
  const next = numbers(seedOfRun);
  await using world = await EngineWorld.make(command);
  await world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } } });
  const data: Record<string, string> = {};
  for (let step = 0; step < steps; step += 1) {
    const name = oneOf(next, ['1', '2', '3', '4']);
    if (next() < 0.25) delete data[name];
    else
      data[name] =
        next() < 0.1 ? '' : Array.from({ length: 1 + Math.floor(next() * 3) }, () => oneOf(next, words)).join(' ');
    await world.commit('data', data);
    const { job } = await world.run('p');
    expect(job.state, `step ${step}`).toBe('success');
    expect(await world.files('p'), `step ${step} of seed ${seedOfRun}: ${JSON.stringify(data)}`).toEqual(
      expected(data),
    );
  }
});

test('a file and an empty folder of two datums at one path are a conflict', async () => {
  await using world = await EngineWorld.make(command);
  await world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } } });
  for (const [first, second] of [
    ['a/', 'a'],
    ['a', 'a/'],
    ['a', 'a/b/'],
    ['a/b/', 'a'],
  ] as const) {
    await world.commit('data', { 1: first });
    expect((await world.run('p')).job.state).toBe('success');
    await world.commit('data', { 1: first, 2: second });
    const { job } = await world.run('p');
    expect(job.state).toBe('failure');
    expect(job.reason).toContain('/pfs/out/a: datum ');
    // Another datum that made the folder too may go, the one that is left still has it.
    await world.commit('data', { 1: first, 3: first.endsWith('/') ? first : 'c' });
    expect((await world.run('p')).job.state).toBe('success');
    await world.commit('data', { 2: second, 3: first.endsWith('/') ? first : 'a' });
    expect((await world.run('p')).job.state).toBe('failure');
  }
});
