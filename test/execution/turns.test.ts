/**
 * Turns of workers, shared by pipelines.
 */
import { expect, test } from 'vitest';
import { Turns, type Turn } from '../../src/execution/workers/turns.ts';

const { signal } = new AbortController();

test('a free turn goes to the pipeline that has the fewest, and of these to the one that waits longest', async () => {
  const turns = new Turns(2);
  const given: string[] = [];
  const held = new Map<string, Turn>();
  const take = (name: string): Promise<void> =>
    turns.take(name[0] as string, signal).then((turn) => {
      given.push(name);
      held.set(name, turn);
    });
  await Promise.all([take('a1'), take('a2')]);
  const waiting = [take('a3'), take('b1'), take('c1'), take('b2')];
  expect(held.get('a1')?.isOver(0)).toBe(true);
  expect(held.get('a1')?.isOver(60_000)).toBe(false);
  const end = async (name: string): Promise<void> => {
    const turn = held.get(name);
    turn?.[Symbol.dispose]();
    turn?.[Symbol.dispose](); // a second time it is nothing
    await new Promise((later) => setImmediate(later));
  };
  for (const name of ['a1', 'a2', 'b1', 'a3']) await end(name);
  await Promise.all(waiting);
  expect(given).toEqual(['a1', 'a2', 'b1', 'a3', 'c1', 'b2']);
  expect(held.get('b2')?.isOver(0)).toBe(false);
});

test('who waits no more gets no turn, and takes none from others', async () => {
  const turns = new Turns(1);
  const first = await turns.take('a', signal);
  const abort = new AbortController();
  const left = turns.take('b', abort.signal);
  const next = turns.take('c', signal);
  abort.abort(new Error('stopped'));
  await expect(left).rejects.toThrow('stopped');
  first[Symbol.dispose]();
  expect((await next).isShared).toBe(true);
  await expect(turns.take('d', abort.signal)).rejects.toThrow('stopped');
});
