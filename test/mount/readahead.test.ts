/** Which bytes are fetched beside the reads of a file. */
import assert from 'node:assert/strict';
import { expect, test } from 'vitest';
import { Readahead } from '../../src/mount/readahead.ts';
import { numbers } from '../support/numbers.ts';

const mebibyte = 1024 * 1024;
const size = 1024 * mebibyte;
const chunk = mebibyte;

/** A file of which nothing is here at first, and a reader who waits for what is not. Counts in MiB. */
class Reader {
  readonly here = new Set<number>();
  waits = 0;
  /** How often what was fetched beside a read lay around it. */
  around = 0;
  private readonly readahead: Readahead;
  private readonly file: number;

  constructor(readahead: Readahead, file = 1) {
    this.readahead = readahead;
    this.file = file;
  }

  read(offset: number, length: number): number {
    const waits = !this.here.has(Math.floor(offset / chunk));
    if (waits) this.waits += 1;
    this.bring(offset, length);
    const ahead = this.readahead.next(this.file, offset, length, size, waits);
    const ranges = ahead?.ranges ?? [];
    if (ahead?.isScattered) this.around += 1;
    for (const range of ranges) {
      assert(range.offset >= 0 && range.offset + range.length <= size + length);
      this.bring(range.offset, range.length);
    }
    return ranges.reduce((sum, range) => sum + range.length, 0);
  }

  private bring(offset: number, length: number): void {
    for (let at = Math.floor(offset / chunk); at * chunk < offset + length; at += 1) this.here.add(at);
  }
}

test('who reads on waits a few times, and then is always ahead of nothing', () => {
  const reader = new Reader(new Readahead(64 * mebibyte));
  for (let at = 0; at < 512; at += 1) reader.read(at * mebibyte, mebibyte);
  expect(reader.waits).toBeLessThan(8);
  expect(reader.around).toBe(0);
  expect(reader.here.size).toBeLessThanOrEqual(512 + 64);
});

test('who had to wait tells what the next one gets at once; who only begins gets nothing beside', () => {
  const readahead = new Readahead(64 * mebibyte);
  const [first, second] = [new Reader(readahead, 1), new Reader(readahead, 2)] as const;
  for (let at = 0; at < 2; at += 1) first.read(at * mebibyte, mebibyte);
  expect(first.here.size).toBeLessThanOrEqual(2 + 4);
  // As of a store that is so slow that nothing is there in time.
  for (let at = 2; at < 256; at += 1) {
    first.here.clear();
    first.read(at * mebibyte, mebibyte);
  }
  second.read(0, mebibyte);
  expect(second.here.size).toBe(1);
  second.read(mebibyte, mebibyte);
  expect(second.here.size).toBe(2 + 16);
});

test('who reads on and is heard of only at the marks never waits in the end', () => {
  const readahead = new Readahead(64 * mebibyte);
  let fetched = 0;
  let mark = Infinity;
  const waited: number[] = [];
  for (let at = 0; at < 512 * mebibyte; at += 131_072) {
    const end = at + 131_072;
    const isWaiting = end > fetched;
    if (isWaiting) waited.push(at);
    if (!isWaiting && end <= mark) continue;
    mark = Infinity;
    const ahead = readahead.next(1, at, 131_072, size, isWaiting);
    fetched = Math.max(fetched, end);
    for (const { offset, length } of ahead?.ranges ?? []) {
      expect(offset).toBeLessThanOrEqual(fetched);
      fetched = offset + length;
    }
    mark = ahead?.mark ?? mark;
  }
  expect(waited.filter((at) => at > 8 * mebibyte)).toEqual([]);
});

test.for([4096, 65_536, mebibyte])('who reads backward, %i bytes at a time, has what comes before', (length) => {
  const reader = new Reader(new Readahead(64 * mebibyte));
  for (let at = size - length; at >= size - 256 * mebibyte; at -= length) reader.read(at, length);
  expect(reader.waits).toBeLessThan(20);
  expect(reader.here.size).toBeLessThanOrEqual(256 + 64 + 1);
});

test.for([3, 7, 20])('who takes a piece every %i MiB has the next ones, and nothing between', (stride) => {
  const reader = new Reader(new Readahead(64 * mebibyte));
  const count = 50;
  for (let index = 0; index < count; index += 1) reader.read(index * stride * mebibyte, 8192);
  expect(reader.waits).toBeLessThan(10);
  expect(reader.here.size).toBeLessThanOrEqual(count + 64);
});

test('who reads backward waits for few chunks, which are of any length', () => {
  const readahead = new Readahead(64 * mebibyte);
  const length = 65_536;
  const random = numbers(5);
  const ends = [size];
  while ((ends.at(-1) as number) > size / 2) {
    ends.push((ends.at(-1) as number) - length * Math.ceil(4 + random() * 28));
  }
  let here = size;
  let waits = 0;
  for (let at = size - length; at >= size / 2; at -= length) {
    const isWaiting = at < here;
    if (isWaiting) waits += 1;
    const ranges = readahead.next(1, at, length, size, isWaiting)?.ranges ?? [];
    const lowest = Math.min(isWaiting ? at : here, ...ranges.map(({ offset }) => offset));
    // Whole chunks come.
    here = ends.find((end) => end <= lowest) ?? 0;
  }
  expect(ends.length).toBeGreaterThan(400);
  expect(waits).toBeLessThan(60);
});

test('the same from the end to the beginning', () => {
  const reader = new Reader(new Readahead(64 * mebibyte));
  for (let index = 50; index >= 0; index -= 1) reader.read(index * 20 * mebibyte, 8192);
  expect(reader.waits).toBeLessThan(10);
});

test('reads here and there bring nothing beside', () => {
  const reader = new Reader(new Readahead(64 * mebibyte));
  let seed = 1;
  let beside = 0;
  for (let index = 0; index < 2000; index += 1) {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    beside += reader.read(Math.floor((seed / 2_147_483_648) * (size / 4096)) * 4096, 4096);
  }
  expect(beside).toBeLessThan(16 * mebibyte);
});

test('readers of several files share what may be fetched ahead, and one alone has all again', () => {
  let now = 10_000;
  const readahead = new Readahead(64 * mebibyte, () => now);
  const readers = [1, 2, 3, 4].map((file) => new Reader(readahead, file));
  const aheadOf = (reader: Reader, at: number): number => Math.max(...reader.here) - at;
  for (let at = 0; at < 200; at += 1) {
    now += 1;
    for (const reader of readers) reader.read(at * mebibyte, mebibyte);
  }
  for (const reader of readers) expect(aheadOf(reader, 200)).toBeLessThanOrEqual(17);
  const [first] = readers as [Reader];
  now += 5000;
  for (let at = 200; at < 600; at += 1) first.read(at * mebibyte, mebibyte);
  expect(first.waits).toBeLessThan(16);
});

test('those who read at once and always wait get no more than their share', () => {
  let now = 10_000;
  const readahead = new Readahead(64 * mebibyte, () => now);
  const fetched = [0, 0, 0, 0];
  const lengths: number[] = [];
  const ahead = (file: number, at: number): number => (fetched[file] as number) - at * mebibyte;
  const read = (file: number, at: number): void => {
    now += 1;
    const ranges = readahead.next(file, at * mebibyte, mebibyte, size, true)?.ranges ?? [];
    for (const { offset, length } of ranges) {
      fetched[file] = Math.max(fetched[file] as number, offset + length);
      lengths.push(length);
    }
  };
  for (let at = 0; at < 200; at += 1) for (let file = 0; file < 4; file += 1) read(file, at);
  for (let file = 0; file < 4; file += 1) {
    expect(ahead(file, 200)).toBeGreaterThan(4 * mebibyte);
    expect(ahead(file, 200)).toBeLessThanOrEqual(17 * mebibyte);
  }
  now += 5000;
  for (let at = 200; at < 300; at += 1) read(0, at);
  expect(ahead(0, 300)).toBeGreaterThan(48 * mebibyte);
  expect(ahead(0, 300)).toBeLessThanOrEqual(64 * mebibyte);
  // A little at a time, so that the store always has something to do.
  expect(Math.max(...lengths.slice(-5))).toBeLessThanOrEqual(9 * mebibyte);
});

test('off is off', () => {
  const reader = new Reader(new Readahead(0));
  for (let at = 0; at < 64; at += 1) expect(reader.read(at * mebibyte, mebibyte)).toBe(0);
});

test('who has waited for a 64th of a file by large reads at random gets what lies around them', () => {
  const reader = new Reader(new Readahead(64 * mebibyte));
  const random = numbers(11);
  const blocks = Array.from({ length: 4096 }, (_, n) => ({ n, by: random() })).toSorted((a, b) => a.by - b.by);
  const off = new Reader(new Readahead(0));
  for (const { n } of blocks) {
    const beside = reader.read((n * mebibyte) / 4, mebibyte / 4);
    expect(beside > 0 && reader.waits < 64).toBe(false);
    expect(off.read((n * mebibyte) / 4, mebibyte / 4)).toBe(0);
  }
  // Of 128 parts of 8 MiB he waits for 32 and for one in two of the others, at most, beside those.
  expect(reader.waits).toBeLessThanOrEqual(64 + 32 + 48 + 1);
  expect(reader.around).toBeGreaterThan(64);
});

test('small reads at random, and columns of a table by some threads, bring nothing beside before they are a sixteenth', () => {
  const small = new Reader(new Readahead(64 * mebibyte));
  const random = numbers(11);
  for (let n = 0; n < 900; n += 1) small.read(Math.floor(random() * (size / 65_536)) * 65_536, 65_536);
  expect(small.around).toBe(0);
  // Each thread takes row groups in their order, of which it reads two parts; and from the end to the beginning.
  for (const isBack of [false, true]) {
    const columns = new Reader(new Readahead(64 * mebibyte));
    const at = Array.from({ length: 8 }, (_, thread) => thread * 128 * mebibyte);
    for (let n = 0; n < 200; n += 1) {
      const thread = Math.floor(random() * 8);
      const offset = at[thread] as number;
      at[thread] = offset + (n % 2 === 0 ? 1.5 : 7) * mebibyte;
      if (offset < (thread + 1) * 128 * mebibyte)
        columns.read(isBack ? size - offset - mebibyte : offset, mebibyte / 4);
    }
    expect(columns.around).toBe(0);
    expect(columns.waits).toBeGreaterThan(100);
  }
});
