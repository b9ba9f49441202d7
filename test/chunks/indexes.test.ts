/**
 * Packs' indexes and segments: what is written is read back, golden bytes stay, and hostile ones
 * end in an error of ours.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PachError } from '../../src/base/errors.ts';
import { native } from '../../src/base/native.ts';
import { KnownBlobs } from '../../src/chunks/known.ts';
import { mergeIndexes } from '../../src/chunks/merge-indexes.ts';
import {
  packEntry,
  packHeader,
  packIndex,
  parsePackIndex,
  type PackEntry,
  type PackIndex,
} from '../../src/chunks/pack.ts';
import { PackWriter } from '../../src/chunks/pack-writer.ts';
import { BlobTable, RowBuffer, rowBytes } from '../../src/chunks/blob-table.ts';
import {
  blockOf,
  blockRange,
  checkBlock,
  encodeSegment,
  findInBlock,
  mayContain,
  parseSegmentTail,
  segmentTailBytes,
} from '../../src/chunks/segment.ts';
import { packKey } from '../../src/model/keys.ts';
import type { Hash, PackId, Place } from '../../src/model/refs.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { traceStore } from '../../src/store/trace.ts';

const hashOf = (text: string): Hash => createHash('sha256').update(text).digest() as Hash;
const idOf = (text: string): PackId => hashOf(text).toString('hex', 0, 16) as PackId;

function packEntries(count: number): PackEntry[] {
  let offset = 8;
  return Array.from({ length: count }, (_, i) => {
    const entry = { hash: hashOf(`blob ${i}`), offset, storedLength: 10 + i, plainLength: 9 + i };
    offset += entry.storedLength;
    return entry;
  });
}

interface Entry {
  readonly hash: Hash;
  readonly kind: 'data' | 'meta';
  readonly place: Place;
  readonly plainLength: number;
}

function segmentEntries(count: number): Entry[] {
  return Array.from({ length: count }, (_, i): Entry => {
    const kind = i % 3 === 0 ? 'meta' : 'data';
    const place = { pack: idOf(`pack ${kind} ${i % 7}`), offset: 8 + i, length: 100 + i };
    return { hash: hashOf(`entry ${i}`), kind, place, plainLength: 90 + i };
  }).sort((a, b) => a.hash.compare(b.hash));
}

function segmentOf(entries: readonly Entry[]): Buffer {
  const rows = new RowBuffer(entries.length);
  for (const { hash, kind, place, plainLength } of entries) {
    rows.add(hash, rows.pack(kind, place.pack), place.offset, place.length, plainLength);
  }
  return Buffer.concat(encodeSegment(rows.rows(), rows.packs));
}

const entriesOf = (index: PackIndex): PackEntry[] => Array.from({ length: index.count }, (_, n) => packEntry(index, n));

/** Bytes as stored for ever; PACHMOUNT_WRITE_VECTORS=1 writes them anew. */
function golden(name: string, bytes: Buffer): { stored: string | undefined; now: string } {
  const path = 'fixtures/format/indexes.json';
  const vectors = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>;
  if (process.env['PACHMOUNT_WRITE_VECTORS']) {
    writeFileSync(path, `${JSON.stringify({ ...vectors, [name]: bytes.toString('hex') }, null, 2)}\n`);
  }
  return { stored: vectors[name], now: bytes.toString('hex') };
}

/** Fails unless reading changed bytes gives the same as before or an error of ours. */
function survivesChanges(bytes: Buffer, read: (bytes: Buffer) => unknown): void {
  const change = fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), fc.nat(bytes.length));
  fc.assert(
    fc.property(change, fc.boolean(), ([at, by, length], cut) => {
      const changed = Buffer.from(bytes);
      changed[at] = ((changed[at] as number) + by) % 256;
      try {
        read(cut ? bytes.subarray(0, length) : changed);
      } catch (error) {
        if (!(error instanceof PachError)) throw error;
      }
    }),
    { numRuns: 500 },
  );
}

describe('pack index', () => {
  const entries = packEntries(5);
  const index = packIndex('data', entries);
  const size = 8 + 10 + 11 + 12 + 13 + 14 + index.length;

  test('golden bytes, and back', () => {
    for (const { stored, now } of [golden('pack header', packHeader('meta')), golden('pack index', index)]) {
      expect(now).toBe(stored);
    }
    expect(entriesOf(parsePackIndex('data', index, size, 'p'))).toEqual(entries);
  });

  test('refuses what is not so', () => {
    expect(() => parsePackIndex('meta', index, size, 'p')).toThrow(/not a meta pack/);
    expect(() => parsePackIndex('data', index, size + 1, 'p')).toThrow(/do not fill it/);
    const newer = Buffer.from(index);
    newer[newer.length - 8] = 9;
    expect(() => parsePackIndex('data', newer, size, 'p')).toThrow(/version 9/);
    survivesChanges(index, (bytes) => parsePackIndex('data', bytes, size, 'p'));
  });
});

describe('segment', () => {
  const entries = segmentEntries(3000);
  const bytes = segmentOf(entries);
  const tail = bytes.subarray(bytes.length - segmentTailBytes(bytes.length, entries.length, 's'));

  test('golden bytes', () => {
    const { stored, now } = golden('segment', segmentOf(segmentEntries(3)));
    expect(now).toBe(stored);
  });

  test('finds what is in it, and hardly ever looks for what is not', () => {
    const parsed = parseSegmentTail(tail, 's');
    for (const entry of entries) {
      const block = blockOf(parsed, entry.hash) as number;
      const { offset, length } = blockRange(parsed, block);
      const rows = bytes.subarray(offset, offset + length);
      checkBlock(parsed, block, rows, 's');
      expect(mayContain(parsed, entry.hash)).toBe(true);
      expect(findInBlock(parsed, rows, entry.hash)).toEqual({ kind: entry.kind, place: entry.place });
      expect(findInBlock(parsed, rows, hashOf('absent'))).toBeUndefined();
    }
    const wrong = Array.from({ length: 5000 }, (_, i) => hashOf(`absent ${i}`)).filter((hash) =>
      mayContain(parsed, hash),
    );
    expect(wrong.length).toBeLessThan(15);
  });

  test('refuses what is not so', () => {
    survivesChanges(tail, (changed) => parseSegmentTail(changed, 's'));
    const parsed = parseSegmentTail(tail, 's');
    const { offset, length } = blockRange(parsed, 1);
    const block = Buffer.from(bytes.subarray(offset, offset + length));
    block[5] = (block[5] as number) ^ 1;
    expect(() => checkBlock(parsed, 1, block, 's')).toThrow(/block 1 does not match/);
  });
});

describe('tables', () => {
  test('a table finds what was added, the first place of it, and nothing else', () => {
    const table = new BlobTable();
    const pack = table.pack('data', idOf('a'));
    for (let i = 0; i < 5000; i += 1) expect(table.add(hashOf(`${i}`), pack, 8 + i, 1, 2)).toBe(i);
    for (let i = 0; i < 5000; i += 1) expect(table.add(hashOf(`${i}`), table.pack('meta', idOf('b')), 9, 9, 9)).toBe(i);
    expect(table.size).toBe(5000);
    for (let i = 0; i < 5000; i += 1) {
      expect(table.placeAt(table.find(hashOf(`${i}`)))).toEqual({ pack: idOf('a'), offset: 8 + i, length: 1 });
    }
    for (let i = 5000; i < 6000; i += 1) expect(table.find(hashOf(`${i}`))).toBe(-1);
  });

  test('rows are sorted, of equal hashes the first stays', async () => {
    const rows = new RowBuffer(4000);
    const pack = rows.pack('data', idOf('a'));
    for (let i = 0; i < 4000; i += 1) rows.add(hashOf(`${i % 3000}`), pack, i, 1, 2);
    const sorted = rows.rows();
    expect(await native().sortRows(sorted, rowBytes)).toBe(3000);
    const hashes = Array.from({ length: 3000 }, (_, i) => hashOf(`${i}`)).sort((a, b) => a.compare(b));
    for (const [n, hash] of hashes.entries()) {
      expect(sorted.subarray(n * rowBytes, n * rowBytes + 32).equals(hash)).toBe(true);
      expect(sorted.readUInt32LE(n * rowBytes + 36)).toBeLessThan(3000);
    }
  });
});

test('a pack has a copy of what was added, in the memory of packs before it', async () => {
  const store = new MemoryStore();
  const writer = new PackWriter(store, 'p', 'data');
  const bytes = Buffer.alloc(3_000_000);
  const places = [];
  for (let n = 0; n < 40; n += 1) {
    bytes.fill(n);
    places.push(await writer.add(hashOf(String(n)), [Buffer.of(0), bytes], bytes.length));
  }
  bytes.fill(255);
  const packs = await writer.finish();
  expect(packs.length).toBeGreaterThan(3);
  for (const [n, { pack, offset, length }] of places.entries()) {
    const stored = await store.read(packKey('p', 'data', pack), offset, length);
    expect(Buffer.compare(stored, Buffer.concat([Buffer.of(0), Buffer.alloc(bytes.length, n)]))).toBe(0);
  }
});

test('many packs become few segments, and every blob is found with few requests', async () => {
  const { store, counts } = traceStore(new MemoryStore());
  let indexes: Parameters<typeof mergeIndexes>[3] = { segments: [], fresh: [] };
  for (let pack = 0; pack < 150; pack += 1) {
    const writer = new PackWriter(store, 'p', 'data');
    for (let i = 0; i < 20; i += 1) await writer.add(hashOf(`${pack} ${i}`), [Buffer.from('stored')], 6);
    indexes = await mergeIndexes(store, store, 'p', {
      ...indexes,
      fresh: [...indexes.fresh, ...(await writer.finish())],
    });
  }
  expect(indexes.segments.length).toBeLessThanOrEqual(2);
  expect(indexes.fresh.length).toBeLessThanOrEqual(16);
  counts.reset();
  const known = new KnownBlobs(store, 'p', indexes);
  for (let pack = 0; pack < 150; pack += 1) expect(await known.find(hashOf(`${pack} 7`))).toMatchObject({ length: 6 });
  for (let i = 0; i < 200; i += 1) expect(await known.find(hashOf(`absent ${i}`))).toBeUndefined();
  expect(counts.count()).toBeLessThan(indexes.fresh.length + indexes.segments.length + 10);
});

test('a pack that is listed and not there is damage', async () => {
  const fresh = [{ kind: 'data' as const, id: idOf('gone'), bytes: 1000, blobs: 3 }];
  const known = new KnownBlobs(new MemoryStore(), 'p', { segments: [], fresh });
  await expect(known.find(hashOf('x'))).rejects.toMatchObject({ code: 'damaged' });
});
