import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import { addTotals, Reader, Writer } from '../../src/model/bytes.ts';

function written(write: (writer: Writer) => void): Buffer {
  const writer = new Writer(1);
  write(writer);
  return writer.finish();
}

function reading<T>(hex: string, read: (reader: Reader) => T): T {
  return read(new Reader(Buffer.from(hex, 'hex'), 'test'));
}

describe('varint', () => {
  it('round-trips', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        const bytes = written((writer) => writer.varint(value));
        const reader = new Reader(bytes, 'test');
        expect(reader.varint()).toBe(value);
        reader.done();
      }),
    );
  });

  it.each([
    [0, '00'],
    [127, '7f'],
    [128, '8001'],
    [2 ** 32, '8080808010'],
    [Number.MAX_SAFE_INTEGER, 'ffffffffffffff0f'],
  ])('writes %d as %s', (value, hex) => {
    expect(written((writer) => writer.varint(value)).toString('hex')).toBe(hex);
    expect(reading(hex, (reader) => reader.varint())).toBe(value);
  });

  it.each(['8000', 'ffffffffffffff10', 'ffffffffffffff8f01', '80', ''])('refuses %s', (hex) => {
    expect(() => reading(hex, (reader) => reader.varint())).toThrow(/damaged/);
  });

  it('is asked for counts only', () => {
    expect(() => written((writer) => writer.varint(-1))).toThrow(/assertion/);
    expect(() => written((writer) => writer.varint(2 ** 53))).toThrow(/assertion/);
  });
});

describe('values', () => {
  it('round-trip', () => {
    const signed = fc.integer({ min: -(2 ** 52) + 1, max: 2 ** 52 - 1 });
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.uint8Array(), signed, (text, bytes, integer) => {
        const stored = written((writer) => {
          writer.str(text);
          writer.bytes(bytes);
          writer.zigzag(integer);
        });
        const reader = new Reader(stored, 'test');
        expect(reader.str()).toBe(text);
        expect([...reader.bytes()]).toEqual([...bytes]);
        expect(reader.zigzag()).toBe(integer);
        reader.done();
      }),
    );
  });

  it.each([
    ['a length beyond the end', '05aabb', (reader: Reader) => reader.bytes()],
    ['a length beyond its limit', '02aabb', (reader: Reader) => reader.bytes(1)],
    ['bytes that are no UTF-8', '01ff', (reader: Reader) => reader.str()],
    ['a count that can not be', 'ffff03', (reader: Reader) => reader.count(1e6)],
    ['a count beyond its limit', '020000', (reader: Reader) => reader.count(1)],
    ['what follows the end', '00', (reader: Reader) => reader.done()],
  ])('refuse %s', (_, hex, read) => {
    expect(() => reading(hex, read)).toThrow(expect.toSatisfy((error: unknown) => isPachError(error, 'damaged')));
  });

  it('have totals below 2^53', () => {
    expect(addTotals('x', 2, 3)).toBe(5);
    expect(() => addTotals('x', Number.MAX_SAFE_INTEGER, 1)).toThrow(/too large/);
  });
});
