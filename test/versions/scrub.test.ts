/**
 * All data is read once in a round, a part at a time, whoever reads and wherever it breaks off.
 */
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import type { Store } from '../../src/store/store.ts';
import { checkProject, type FsckResult } from '../../src/versions/upkeep/fsck.ts';
import { forgetDamage, scrub, scrubOf } from '../../src/versions/upkeep/scrub.ts';
import { bytesAt, collected, errors, filled, flip, packKeys, put, replace } from './fsck-store.ts';
import { openTestProject } from './project.ts';

const day = 24 * 3_600_000;
const start = Date.parse('2026-01-01T00:00:00Z');

/** Checks the next part on this day; a round is not followed by another one within thirty days. */
function pass(store: Store, at: number, share = 0.3, progress = (): void => undefined): Promise<FsckResult> {
  const project = openTestProject(store);
  const now = start + at * day;
  return scrub(project, { share, since: now - 30 * day, now }, (next) =>
    checkProject(project, { readShare: 0, random: Math.random, progress, pass: next }),
  );
}

async function manyPacks(): Promise<Store> {
  const { project, store } = await filled();
  for (let n = 0; n < 6; n += 1) await put(project, `/n${n}`, randomBytes(400_000));
  return store;
}

async function bytesOfData(store: Store): Promise<number> {
  let all = 0;
  for (const key of await packKeys(openTestProject(store), 'data')) all += (await bytesAt(store, key)).length;
  return all;
}

test('each byte is read once in a round, and again in the next, which begins when the last is old enough', async () => {
  const store = await manyPacks();
  for (const first of [0, 31]) {
    let read = 0;
    for (let at = first; at < first + 12; at += 1) read += (await pass(store, at)).checked.bytesRead;
    expect(read).toBe(await bytesOfData(store));
    expect((await pass(store, first + 12)).checked.bytesRead).toBe(0);
    expect(await scrubOf(await openTestProject(store).snapshot())).toMatchObject({ done: true, damage: [] });
  }
});

test('a part that breaks off is gone on with where it was', async () => {
  const store = await manyPacks();
  let seen = 0;
  const breaks = (): void => {
    seen += 1;
    if (seen > 20) throw new Error('broken off');
  };
  await expect(pass(store, 0, 1, breaks)).rejects.toThrow('broken off');
  const rest = (await pass(store, 1, 1)).checked.bytesRead;
  expect(rest).toBeGreaterThan(0);
  expect(rest).toBeLessThan(await bytesOfData(store));
  expect(await scrubOf(await openTestProject(store).snapshot())).toMatchObject({ done: true });
});

test('what is damaged is remembered until it was seen whole, or is not used any more', async () => {
  const { project, store } = await collected();
  await put(project, '/small', randomBytes(2000));
  const damage = async (): Promise<readonly string[]> =>
    (await scrubOf(await openTestProject(store).snapshot()))?.damage ?? [];
  const keys = await packKeys(project, 'data');
  const whole = await Promise.all(keys.map((key) => bytesAt(store, key)));
  for (const key of keys) await flip(store, key, 100);
  let found = 0;
  for (let at = 0; at < keys.length; at += 1) found += errors(await pass(store, at, 1e-9)).length;
  expect(found).toBe(keys.length);
  expect(await damage()).toHaveLength(keys.length);
  // In the next round they are whole again, one after another.
  for (const [n, key] of keys.entries()) await replace(store, key, whole[n] as Buffer);
  for (let at = 40; at < 40 + keys.length; at += 1) {
    expect(errors(await pass(store, at, 1e-9))).toEqual([]);
    expect(await damage()).toHaveLength(keys.length - (at - 39));
  }
  await flip(store, keys[0] as string, 100);
  await pass(store, 80, 1);
  expect(await damage()).toHaveLength(1);
  await forgetDamage(openTestProject(store));
  expect(await damage()).toEqual([]);
});

test('a store that goes away meanwhile is an error of its own', async () => {
  const store = await manyPacks();
  const away = new Proxy(store, {
    get(target, name: keyof typeof store) {
      if (name === 'list') throw new Error('the store is away');
      const value = target[name];
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const error = await pass(away, 0).catch((thrown: unknown) => thrown);
  expect(isPachError(error)).toBe(false);
  expect(await scrubOf(await openTestProject(store).snapshot())).toMatchObject({ done: false, time: start });
});
