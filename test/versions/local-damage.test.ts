/**
 * A damaged disk cache: whatever happens to its files, before they are opened and while they are
 * read, what readers get is right or nothing. One full read leaves it sound.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { cachedItems, verifyItem } from '../../src/cache/inventory.ts';
import { openCache } from '../../src/cache/shape.ts';
import { listRange } from '../../src/model/list.ts';
import type { Store } from '../../src/store/store.ts';
import { numbers, oneOf } from '../support/numbers.ts';
import { openContentOf, servedBy, storeOf, type Opened } from './local-store.ts';

const mebibyte = 1 << 20;
const blockBytes = 4096;
const headerBytes = 4096;
const storeId = '0'.repeat(32);
/** Both of one length: the checksums of one fit the other. */
const contents = [randomBytes(4 * mebibyte + 1234), randomBytes(4 * mebibyte + 1234)] as const;
const size = contents[0].length;
const pathOf = (which: number): string => ['/a', '/b'][which] as string;

let dir: string;
let folder: Store;
let served: Store & AsyncDisposable;
/** Where chunks begin, for each file. */
let borders: readonly (readonly number[])[];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pach-damage-'));
  folder = await storeOf(join(dir, 'store'), { '/a': contents[0], '/b': contents[1] });
  served = await servedBy(folder, () => 'works');
  borders = await Promise.all([0, 1].map((which) => bordersOf(which)));
});
afterAll(async () => {
  await served[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

async function open(store: Store, cache: string, which: number): Promise<Opened> {
  const part = await openCache(cache, storeId);
  return openContentOf(store, pathOf(which), { dir: part, memory: 12 * mebibyte, timeoutSeconds: 5 });
}

async function bordersOf(which: number): Promise<number[]> {
  const { content, project } = await open(folder, join(dir, 'borders'), which);
  const found: number[] = [];
  const hash = Buffer.from(content.file.name.slice(-64), 'hex');
  for await (const { offset } of listRange(project.reader, { type: 'list', hash } as never, 0, size))
    found.push(offset);
  return found.slice(1);
}

/** A place in a file: many of them where two chunks meet, as that is where a block has two owners. */
interface Place {
  readonly border: boolean;
  /** Part of the file, or of its borders. */
  readonly part: number;
}

interface Damage {
  readonly kind: keyof typeof damages;
  readonly which: number;
  readonly place: Place;
  readonly blocks: number;
}

/** What a damage is done to. */
interface Target {
  readonly path: string;
  readonly other: string;
  /** Bytes from the beginning, and where the checksum of that block is. */
  readonly at: number;
  readonly sumAt: number;
  readonly blocks: number;
  /** Checksums as they were when this session began. */
  readonly old: Buffer;
}

const damages = {
  flip: ({ path, at, blocks }: Target) => change(path, at, 1, (byte) => byte ^ (1 << (blocks % 8))),
  zero: ({ path, at, blocks }: Target) => change(path, at, blocks * 100, () => 0),
  hole: ({ path, at, blocks }: Target) => {
    execFileSync('fallocate', ['-p', '-o', `${at}`, '-l', `${blocks * blockBytes + 1}`, path]);
  },
  truncate: ({ path, at }: Target) => fs.truncateSync(path, at),
  empty: ({ path }: Target) => {
    fs.truncateSync(path, 0);
    fs.truncateSync(path, size);
  },
  touch: ({ path }: Target) => fs.utimesSync(path, 1, 1),
  otherBytes: ({ path, other, at }: Target) => overwrite(path, at, fs.readFileSync(other).subarray(at, at + 300_000)),
  sumsFlip: ({ path, sumAt }: Target) => change(`${path}.sums`, sumAt, 1, (byte) => byte ^ 128),
  headerFlip: ({ path, blocks }: Target) => change(`${path}.sums`, blocks % 200, 1, (byte) => byte ^ 1),
  sumsZero: ({ path, sumAt }: Target) => change(`${path}.sums`, sumAt, 400, () => 0),
  sumsOld: ({ path, old }: Target) => overwrite(`${path}.sums`, 0, old),
  sumsOfOther: ({ path, other }: Target) => overwrite(`${path}.sums`, 0, fs.readFileSync(`${other}.sums`)),
  swap: ({ path, other }: Target) => swap(path, other),
  swapSums: ({ path, other }: Target) => swap(`${path}.sums`, `${other}.sums`),
  swapBoth: ({ path, other }: Target) => {
    swap(path, other);
    swap(`${path}.sums`, `${other}.sums`);
  },
  noSums: ({ path }: Target) => fs.rmSync(`${path}.sums`),
  sumsCut: ({ path }: Target) => fs.truncateSync(`${path}.sums`, headerBytes + 100),
};
const kinds = Object.keys(damages) as (keyof typeof damages)[];
/** Who cuts a file that is mapped kills who reads it there: that is for a live mount. */
const liveKinds = kinds.filter((kind) => kind !== 'sumsCut');

const damageOf = (of: readonly (keyof typeof damages)[]): fc.Arbitrary<Damage> =>
  fc.record({
    kind: fc.constantFrom(...of),
    which: fc.nat(1),
    place: fc.record({ border: fc.boolean(), part: fc.noBias(fc.nat(9999)).map((n) => n / 10_000) }),
    blocks: fc.nat(600),
  });

interface Session {
  readonly before: readonly Damage[];
  readonly during: readonly Damage[];
  /** What the readers do. */
  readonly seed: number;
}

const session: fc.Arbitrary<Session> = fc.record({
  before: fc.array(damageOf(kinds), { maxLength: 3 }),
  during: fc.array(damageOf(liveKinds), { maxLength: 4 }),
  seed: fc.nat(),
});

/** The files of one cache. */
class Cache {
  readonly dir: string;
  private readonly paths: readonly string[];
  private old: readonly Buffer[] = [];

  constructor(folderOf: string, paths: readonly string[]) {
    this.dir = folderOf;
    this.paths = paths;
  }

  /** Keeps the checksums that are there now, for `sumsOld`. */
  remember(): void {
    this.old = this.paths.map((path) =>
      fs.existsSync(`${path}.sums`) ? fs.readFileSync(`${path}.sums`) : Buffer.alloc(0),
    );
  }

  damage({ kind, which, place, blocks }: Damage): void {
    const [path, other] = [this.paths[which], this.paths[1 - which]] as [string, string];
    // Somebody may be replacing one of them just now.
    if (!this.paths.every((each) => fs.existsSync(each) && fs.existsSync(`${each}.sums`))) return;
    const at = offsetOf(which, place);
    const sumAt = headerBytes + Math.floor(at / blockBytes) * 4;
    damages[kind]({ path, other, at, sumAt, blocks, old: this.old[which] ?? Buffer.alloc(0) });
  }
}

function swap(a: string, b: string): void {
  if (!fs.existsSync(a) || !fs.existsSync(b)) return;
  fs.renameSync(a, `${a}.swapped`);
  fs.renameSync(b, a);
  fs.renameSync(`${a}.swapped`, b);
}

/** Changes bytes in place, no more than there are. */
function change(path: string, at: number, length: number, to: (byte: number, index: number) => number): void {
  const descriptor = fs.openSync(path, 'r+');
  const bytes = Buffer.alloc(Math.max(0, Math.min(length, fs.fstatSync(descriptor).size - at)));
  fs.readSync(descriptor, bytes, 0, bytes.length, at);
  for (const [index, byte] of bytes.entries()) bytes[index] = to(byte, index);
  fs.writeSync(descriptor, bytes, 0, bytes.length, at);
  fs.closeSync(descriptor);
}

function overwrite(path: string, at: number, bytes: Buffer): void {
  change(path, at, bytes.length, (_, index) => bytes[index] as number);
}

function offsetOf(which: number, { border, part }: Place): number {
  const near = borders[which] as readonly number[];
  if (!border) return Math.floor(part * size);
  // Up to a block before or after it.
  return (near[Math.floor(part * near.length)] as number) + Math.floor((((part * 997) % 1) - 0.5) * 2 * blockBytes);
}

/** As a mount reads: from the file, when need be once more, and else without it. Undefined for the last. */
async function readAs(
  { content }: Pick<Opened, 'content'>,
  offset: number,
  length: number,
): Promise<Buffer | undefined> {
  for (let tries = 0; tries < 3; tries += 1) {
    if (!(await content.ensure(offset, length))) return undefined;
    const bytes = await content.file.bytes.read(offset, length);
    if (bytes) return bytes;
  }
  return undefined;
}

/** Some of the reads that a process makes, and what it would lend to the kernel. */
async function reader(which: number, opened: Opened, seed: number): Promise<void> {
  const next = numbers(seed);
  const bytes = contents[which] as Buffer;
  const { file: local } = opened.content;
  for (let reads = 0; reads < 6; reads += 1) {
    const border = oneOf(next, borders[which] as number[]);
    const offset = next() < 0.5 ? Math.floor(next() * size) : Math.max(0, border - Math.floor(next() * 9000));
    const length = Math.min(size - offset, 1 + Math.floor(next() ** 2 * mebibyte));
    const read = await readAs(opened, offset, length);
    if (read && !read.equals(bytes.subarray(offset, offset + length)))
      throw new Error(`${pathOf(which)}: wrong bytes in ${length} from ${offset}`);
    if (next() < 0.3) await opened.content.fetch(0, size);
    if (next() < 0.3) await local.seal();
    if (!local.bytes.sealed()) continue;
    const lent = Buffer.alloc(size);
    fs.readSync(local.bytes.data, lent, 0, size, 0);
    if (!lent.equals(bytes)) throw new Error(`${pathOf(which)}: wrong bytes would be lent`);
  }
}

async function inSession(store: Store, cache: Cache, { before, during, seed }: Session): Promise<void> {
  for (const each of before) cache.damage(each);
  cache.remember();
  // Two processes have the first file open.
  const opened = [await open(store, cache.dir, 0), await open(store, cache.dir, 0), await open(store, cache.dir, 1)];
  const reading = opened.map((each, index) => reader(index < 2 ? 0 : 1, each, seed + index));
  const damaging = (async () => {
    for (const each of during) {
      await opened[0]?.content.ensure(Math.floor(numbers(seed)() * size), 1);
      cache.damage(each);
    }
  })();
  await Promise.all([...reading, damaging]);
  for (const { content } of opened) {
    content.close();
    content.file.bytes.close();
  }
}

async function damagedItems(cache: string): Promise<number> {
  let count = 0;
  for await (const item of cachedItems(cache)) count += Number((await verifyItem(item)).damaged > 0);
  return count;
}

test('a cache whose files were emptied heals while many read it, also where two chunks share a block', async () => {
  const place = join(dir, 'emptied');
  const before = await open(folder, place, 0);
  await before.content.fetch(0, size);
  before.content.file.bytes.close();
  const path = join(place, storeId, before.content.file.name);
  change(path, 0, size, () => 0);
  const opened = await Promise.all([0, 1, 2].map(() => open(folder, place, 0)));
  const next = numbers(5);
  // Within each chunk, in any order: when it comes, its neighbours are still the damaged ones.
  const middles = (borders[0] as number[]).map((border) => Math.min(size - 8000, border + 100_000));
  const reads = opened.flatMap((each) => middles.map((from) => ({ each, from, order: next() })));
  await Promise.all(
    reads
      .toSorted((x, y) => x.order - y.order)
      .map(async ({ each, from }) => {
        const read = await readAs(each, from, 8000);
        expect(read?.equals(contents[0].subarray(from, from + 8000)), `at ${from}`).toBe(true);
      }),
  );
  for (const { content } of opened) {
    expect((await readAs({ content }, 0, size))?.equals(contents[0])).toBe(true);
  }
  expect(await damagedItems(place)).toBe(0);
});

test.each(['folder', 'server'])('any damage, at any time: what is read from a cache of a %s is right', async (from) => {
  const store = from === 'folder' ? folder : served;
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(session, { minLength: 1, maxLength: 3 }), async (sessions) => {
      runs += 1;
      const folderOf = join(dir, `${from}-${runs}`);
      const names = await Promise.all(
        [0, 1].map(async (which) => {
          const { content } = await open(store, folderOf, which);
          await content.fetch(0, size);
          await content.file.seal();
          content.file.bytes.close();
          return join(folderOf, storeId, content.file.name);
        }),
      );
      const cache = new Cache(folderOf, names);
      for (const each of sessions) await inSession(store, cache, each);
      for (const which of [0, 1]) {
        const opened = await open(store, folderOf, which);
        for (let offset = 0; offset < size; offset += 128 * 1024) {
          const length = Math.min(size - offset, 128 * 1024);
          const read = await readAs(opened, offset, length);
          expect(
            read?.equals((contents[which] as Buffer).subarray(offset, offset + length)),
            `${pathOf(which)} at ${offset}`,
          ).toBe(true);
        }
        // Once all that is under way has been written.
        const { file: local } = opened.content;
        await vi.waitFor(async () => expect(await local.seal()).toBe(true), { timeout: 120_000 });
        opened.content.file.bytes.close();
      }
      expect(await damagedItems(folderOf)).toBe(0);
      fs.rmSync(folderOf, { recursive: true });
    }),
    { numRuns: 12, endOnFailure: true },
  );
});
