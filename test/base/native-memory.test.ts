import { randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { native } from '../../src/base/native.ts';

test('memory that is given back is empty for all who had a part of it', () => {
  const bytes = native().allocate(100_000);
  const part = bytes.subarray(5, 10);
  native().release(bytes);
  expect([bytes.length, part.length, bytes.buffer.byteLength]).toEqual([0, 0, 0]);
  native().release(bytes);
  expect(() => native().allocate(8 * 1024 * 1024 + 1)).toThrow(/at most 8 MiB/);
});

test('of memory that others share nothing is given back', () => {
  const small = Buffer.from('one of many in the pool of Node');
  const part = Buffer.alloc(100_000, 1).subarray(1);
  native().release(small);
  native().release(part);
  expect(small.toString()).toMatch(/^one of many/);
  expect(part.every((byte) => byte === 1)).toBe(true);
});

test('memory that several have together is given back with all of them, and not with some', async () => {
  const plain = ['a'.repeat(5000), 'b', ''].map((text) => Buffer.from(text));
  const blobs = (await native().encodeBlobs(plain)).map((blob) => blob!);
  const [first, ...others] = blobs as [Buffer, ...Buffer[]];
  const before = blobs.map((blob) => Buffer.from(blob));
  native().release(first);
  native().release(...others, Buffer.alloc(100));
  native().release(first, Buffer.alloc(100), ...others);
  expect(blobs).toEqual(before);
  const alone = native().allocate(5000);
  native().release(...blobs, alone);
  expect([...blobs, alone].map(({ length, buffer }) => [length, buffer.byteLength])).toEqual(
    blobs.map(() => [0, 0]).concat([[0, 0]]),
  );
  expect(() => native().release(first, {} as Buffer)).toThrow(TypeError);
});

test('small files that were read together have their memory together', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'pach-memory-'));
  const lengths = [0, 3, 1024, 300_000, 5];
  for (const [n, length] of lengths.entries()) writeFileSync(join(dir, String(n)), Buffer.alloc(length, n));
  const names = [...lengths.keys()].map((n) => Buffer.from(String(n)));
  const files = await native().readSmallFiles(Buffer.from(dir), Buffer.alloc(0), names, 400_000);
  const bytes = files.map((file) => file.bytes!);
  expect(bytes.map(({ length }) => length)).toEqual(lengths);
  native().release(...bytes);
  expect(bytes.map(({ length }) => length)).toEqual([0, 0, 0, 0, 0]);
  rmSync(dir, { recursive: true });
});

test('files of parts of any length, aligned and not, have all bytes in order', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'pach-memory-'));
  const slab = (length: number): Buffer => {
    const bytes = native().allocate(length);
    randomBytes(length).copy(bytes);
    return bytes;
  };
  const mebibyte = 1024 * 1024;
  const cases = [
    [slab(262_144), slab(4 * mebibyte), slab(4 * mebibyte).subarray(0, 3_000_001)],
    [slab(4096), slab(2 * mebibyte), randomBytes(7), slab(2 * mebibyte), randomBytes(3 * mebibyte)],
    [randomBytes(100), slab(2 * mebibyte), slab(mebibyte).subarray(4096)],
    [slab(8 * mebibyte), slab(8 * mebibyte), randomBytes(1)],
    [slab(2 * mebibyte)],
  ];
  for (const [n, parts] of cases.entries()) {
    const path = join(dir, String(n));
    closeSync(await native().writeNewFile(Buffer.from(path), parts));
    expect(readFileSync(path).equals(Buffer.concat(parts)), `case ${n}`).toBe(true);
  }
  rmSync(dir, { recursive: true });
});
