import { expect, test } from 'vitest';
import { ShuffledReads, type WholePacks } from '../../src/mount/shuffled.ts';
import type { PackId, Place } from '../../src/model/refs.ts';

const hashOf = (n: number): Buffer => Buffer.from(`${n}`.padStart(32));
const perPack = 200;
const length = 100_000;
/** The n-th file of a repo that was put in order. */
const placeOf = (n: number): Place => ({
  pack: `${Math.floor(n / perPack)}`.padStart(32, '0') as PackId,
  offset: 8 + (n % perPack) * length,
  length,
});
/** Numbers below `count` in an order of their own. */
function shuffled(count: number): number[] {
  const numbers = Array.from({ length: count }, (_, n) => n);
  for (let n = count - 1, seed = 1; n > 0; n -= 1) {
    seed = (seed * 48_271) % 2_147_483_647;
    const other = seed % (n + 1);
    [numbers[n], numbers[other]] = [numbers[other] as number, numbers[n] as number];
  }
  return numbers;
}

class Packs implements WholePacks {
  readonly bytesMax = 2e9;
  readonly fetched: string[] = [];
  readonly alone = new Set<string>();
  /** Files that native threads have read. */
  stored = 0;
  private readonly works: boolean;

  constructor(works = true) {
    this.works = works;
  }

  fetch(pack: PackId): Promise<boolean> {
    this.fetched.push(pack);
    return Promise.resolve(this.works);
  }

  storedReads = (): number => this.stored;

  fetchNothingAround(pack: PackId): void {
    this.alone.add(pack);
  }
}

async function read(
  packs: Packs,
  numbers: readonly number[],
  files = 10_000,
  reads = new ShuffledReads(packs),
): Promise<ShuffledReads> {
  for (const n of numbers) {
    reads.note(0, { files, bytes: files * length }, hashOf(n), placeOf(n));
    await Promise.resolve();
  }
  return reads;
}

test('who reads in no order gets every pack once, after 64 files or one in a hundred', async () => {
  const order = shuffled(10_000);
  const packs = new Packs();
  await read(packs, order.slice(0, 63));
  expect(packs.fetched).toEqual([]);
  const reads = await read(packs, order.slice(0, 600));
  expect(packs.fetched.toSorted()).toEqual([...new Set(order.map((n) => placeOf(n).pack))].toSorted());
  expect(reads.counters).toMatchObject({ packs: 50 });
  const few = new Packs();
  await read(few, shuffled(2000).slice(0, 20), 2000);
  expect(few.fetched.length).toBeGreaterThan(0);
});

test('who reads in order, or the same again, gets none', async () => {
  const inOrder = Array.from({ length: 3000 }, (_, n) => n);
  const ofEachFolder = inOrder.map((n) => n * 3);
  for (const numbers of [inOrder, ofEachFolder, inOrder.toReversed(), Array(500).fill(7) as number[]]) {
    const packs = new Packs();
    expect((await read(packs, numbers)).counters).toEqual({ packs: 0, files: 0 });
    expect(packs.fetched).toEqual([]);
  }
});

test('it ends where nothing more is read of what was fetched, and where that fails', async () => {
  // Three files of each of some packs, in no order, and then one of each of others.
  const some = Array.from({ length: 22 }, (_, n) => [9, 5, 20].map((each) => n * perPack + each)).flat();
  const others = Array.from({ length: 28 }, (_, n) => (22 + n) * perPack);
  const packs = new Packs();
  expect((await read(packs, [...some, ...others])).counters.files).toBe(0);
  expect(packs.fetched).toHaveLength(10);
  const failing = new Packs(false);
  const order = shuffled(10_000);
  const failed = await read(failing, order.slice(0, 70));
  failing.stored = 1000;
  await read(failing, order.slice(70, 600), 10_000, failed);
  expect(failing.fetched).toHaveLength(10);
});

test('of a repo that does not fit, files come singly', async () => {
  const packs = new Packs();
  const order = shuffled(30_000).slice(0, 600);
  const reads = await read(packs, order, 30_000);
  expect(packs.fetched).toEqual([]);
  expect(packs.alone.size).toBe(new Set(order.map((n) => placeOf(n).pack)).size);
  expect(reads.isDecided(placeOf(order[0] as number).pack)).toBe(true);
  expect(reads.isDecided(placeOf(30_000).pack)).toBe(false);
});
