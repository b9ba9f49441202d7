/**
 * Repairs that break off, and stores on either side that fail: what was good stays good, and a repair
 * that comes to its end leaves the project whole.
 */
import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import { RetryingStore } from '../../src/store/retry.ts';
import type { Store } from '../../src/store/store.ts';
import { copiesFrom } from '../../src/transfer/copies.ts';
import { repairProject } from '../../src/versions/upkeep/repair.ts';
import { faultyStore, refused, seededFaults } from '../store/faults.ts';
import { bytesAt, check, collected, errors, filled, flip, packKeys, put } from './fsck-store.ts';
import { openTestProject } from './project.ts';
import { copyOf } from './repair-store.ts';

async function repair(store: Store, from: Store): Promise<void> {
  const copies = await copiesFrom([openTestProject(from)], () => undefined);
  const request = { readShare: 1, random: Math.random, progress: () => undefined, copies };
  expect(errors(await repairProject(openTestProject(store), request))).toEqual([]);
}

/** How it ends: `done`, or what its error says. */
function endOf(repairing: Promise<void>): Promise<string> {
  return repairing.then(
    () => 'done',
    (error: unknown) => {
      if (isPachError(error)) return error.code;
      return error instanceof Error && error.name === 'AssertionError' ? 'lost' : (error as Error).message;
    },
  );
}

/** A store, and a copy of it from before it was damaged. */
async function damaged(): Promise<{ readonly store: Store; readonly copy: Store }> {
  const { project, store } = Math.random() < 0.5 ? await filled() : await collected();
  const copy = await copyOf(store);
  const [data = ''] = await packKeys(project, 'data');
  const [meta = ''] = await packKeys(project, 'meta');
  await flip(store, data, 1_000_000);
  await flip(store, meta, 30);
  return { store, copy };
}

/** The n-th write fails and nothing after it is done, as where the process was killed. */
function dyingAt(store: Store, n: number): Store {
  let writes = 0;
  return new Proxy(store, {
    get(target, name: keyof typeof store) {
      const value = target[name];
      if (typeof value !== 'function') return value;
      const isWrite = name === 'writeIfAbsent' || name === 'writeIfUnchanged' || name === 'delete';
      return (...of: unknown[]): unknown => {
        if (isWrite) writes += 1;
        if (writes >= n) return Promise.reject(new Error('killed'));
        return (value as (...of: unknown[]) => unknown).apply(target, of);
      };
    },
  });
}

test('a repair that is killed at any write changes nothing, and the next one comes to its end', async () => {
  const ends: string[] = [];
  while (ends.at(-1) !== 'done') {
    const { store, copy } = await damaged();
    const before = errors(await check(store, 1)).toSorted();
    const head = await bytesAt(store, 'projects/default/head');
    ends.push(await endOf(repair(dyingAt(store, ends.length + 1), copy)));
    const isSame = (await bytesAt(store, 'projects/default/head')).equals(head);
    const after = errors(await check(store, 1)).toSorted();
    // Nothing has changed, or all has.
    expect({ isSame, after }).toEqual(
      ends.at(-1) === 'done' ? { isSame: false, after: [] } : { isSame, after: before },
    );
    await repair(store, copy);
    expect((await check(store, 1)).findings).toEqual([]);
  }
  // Two packs, a segment, the head.
  expect(ends.length).toBeGreaterThan(4);
  expect(new Set(ends)).toEqual(new Set(['killed', 'done']));
});

test('stores on either side that fail now and then: in the end all is whole', async () => {
  const first = Number(process.env['SEED'] ?? randomInt(2 ** 31));
  const retrying = (store: Store): Store =>
    new RetryingStore(store, { delayMs: 0.1, timeoutMs: 2_000, mayHaveHappened: (error) => !refused(error) });
  for (let seed = first; seed < first + 4; seed += 1) {
    const { store, copy } = await damaged();
    const ends: string[] = [];
    while (ends.at(-1) !== 'done' && ends.length < 50) {
      const here = retrying(faultyStore(store, seededFaults(seed + ends.length, 10)));
      const there = retrying(faultyStore(copy, seededFaults(seed - ends.length, 10)));
      ends.push(await endOf(repair(here, there)));
    }
    // `lost`: a fault has damaged what was read, which is told.
    const honest = ['done', 'lost', 'unreachable', 'damaged', 'unsupported', 'failed', 'conflict'];
    expect(ends.filter((end) => !honest.includes(end))).toEqual([]);
    await repair(store, copy);
    expect((await check(store, 1)).findings, `seed ${seed}`).toEqual([]);
  }
});

/** As a collection moves the head. */
async function nextEpoch(store: Store): Promise<void> {
  const project = openTestProject(store);
  const { head, token } = await project.readHead();
  await project.replace(token, { ...head, epoch: head.epoch + 1 });
}

test('a writer and a collection meanwhile: one of them gives way, and nothing is lost', async () => {
  const others: [(store: Store, copy: Store) => Promise<unknown>, string][] = [
    [(store) => put(openTestProject(store), '/meanwhile', Buffer.alloc(200_000, 'x')), 'done'],
    [repair, 'conflict'],
    [nextEpoch, 'conflict'],
  ];
  for (const [meanwhile, expected] of others) {
    const { store, copy } = await damaged();
    let came = false;
    const racing = new Proxy(store, {
      get(target, name: keyof typeof store) {
        const value = target[name];
        if (typeof value !== 'function') return value;
        if (name !== 'writeIfUnchanged' || came) return value.bind(target);
        return async (...of: Parameters<Store['writeIfUnchanged']>): Promise<unknown> => {
          came = true;
          await meanwhile(store, copy);
          return target.writeIfUnchanged(...of);
        };
      },
    });
    const code = await endOf(repair(racing, copy));
    expect(code).toBe(expected);
    // Whoever was first has published all that his head refers to.
    const isWhole = code === 'done' || meanwhile === repair;
    expect(errors(await check(store, 1)).length === 0).toBe(isWhole);
    await repair(store, copy);
    expect((await check(store, 1)).findings).toEqual([]);
  }
});
