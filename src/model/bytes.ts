/**
 * Bytes written and read one value after another (FORMAT.md, conventions). A reader treats what
 * it reads as hostile: it never goes beyond its end and ends in `damaged` at the first byte that
 * no writer writes.
 */
import { isUtf8 } from 'node:buffer';
import { assert, PachError } from '../base/errors.ts';

/** The error for stored bytes that no writer writes. */
export function damaged(what: string, why: string): PachError {
  return new PachError('damaged', {
    what,
    why: `its stored bytes are damaged: ${why}`,
    next: 'restore the object from a copy of the store',
  });
}

/** The error for bytes that only a newer program understands. */
export function unsupported(what: string, needed: string): PachError {
  return new PachError('unsupported', {
    what,
    why: `needs a program that knows ${needed}`,
    next: 'update pachmount',
  });
}

export class Writer {
  private buffer: Buffer;
  private end = 0;

  constructor(bytesExpected = 256) {
    this.buffer = Buffer.allocUnsafe(bytesExpected);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.end;
  }

  u8(value: number): void {
    this.reserve(1);
    this.end = this.buffer.writeUInt8(value, this.end);
  }

  /** Unsigned LEB128, at most 53 bits. */
  varint(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, `${value} is not a count that can be stored`);
    this.reserve(8);
    let rest = value;
    while (rest > 0x7f) {
      this.buffer[this.end] = (rest % 128) + 128;
      this.end += 1;
      rest = Math.floor(rest / 128);
    }
    this.buffer[this.end] = rest;
    this.end += 1;
  }

  /** A signed integer: 0, -1, 1, -2, … become 0, 1, 2, 3, … */
  zigzag(value: number): void {
    this.varint(value >= 0 ? value * 2 : -value * 2 - 1);
  }

  /** Bytes without their length. */
  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.buffer.set(bytes, this.end);
    this.end += bytes.length;
  }

  bytes(bytes: Uint8Array): void {
    this.varint(bytes.length);
    this.raw(bytes);
  }

  str(text: string): void {
    this.bytes(Buffer.from(text));
  }

  /** What was written; the writer must not be used any more. */
  finish(): Buffer {
    return this.buffer.subarray(0, this.end);
  }

  private reserve(bytes: number): void {
    const needed = this.end + bytes;
    if (needed <= this.buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.buffer.length * 2));
    this.buffer.copy(larger, 0, 0, this.end);
    this.buffer = larger;
  }
}

export class Reader {
  private readonly buffer: Buffer;
  private readonly what: string;
  private at = 0;

  /** `what` names the bytes in errors. */
  constructor(buffer: Buffer, what: string) {
    this.buffer = buffer;
    this.what = what;
  }

  /** Offset of the next byte. */
  get offset(): number {
    return this.at;
  }

  get remaining(): number {
    return this.buffer.length - this.at;
  }

  fail(why: string): never {
    throw damaged(this.what, why);
  }

  u8(): number {
    const value = this.buffer[this.at];
    if (value === undefined) this.fail('they end too early');
    this.at += 1;
    return value;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let length = 1; ; length += 1) {
      const byte = this.u8();
      if (length === 8 && byte > 0x0f) this.fail('a number is too large');
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (byte === 0 && length > 1) this.fail('a number is longer than it must be');
        return value;
      }
      scale *= 128;
    }
  }

  zigzag(): number {
    const value = this.varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** So many bytes: a view, not a copy. */
  raw(length: number): Buffer {
    if (length > this.remaining) this.fail('they end too early');
    this.at += length;
    return this.buffer.subarray(this.at - length, this.at);
  }

  /** A view, not a copy. */
  bytes(lengthMax = Number.MAX_SAFE_INTEGER): Buffer {
    const length = this.varint();
    if (length > lengthMax) this.fail(`a value has ${length} bytes, more than ${lengthMax}`);
    return this.raw(length);
  }

  str(): string {
    const bytes = this.bytes();
    if (!isUtf8(bytes)) this.fail('a text is not UTF-8');
    return bytes.toString();
  }

  /** A number of items that follow, each of at least `bytesMin` bytes. */
  count(max: number, bytesMin = 1): number {
    const count = this.varint();
    if (count > max || count * bytesMin > this.remaining) this.fail(`${count} items can't be in them`);
    return count;
  }

  /** Checks that nothing is left. */
  done(): void {
    if (this.remaining > 0) this.fail(`${this.remaining} bytes follow their end`);
  }
}

/** Adds two totals, both at most 2^53 - 1. Throws `damaged` when the sum is larger. */
export function addTotals(what: string, a: number, b: number): number {
  const sum = a + b;
  if (!Number.isSafeInteger(sum)) throw damaged(what, 'its totals are too large');
  return sum;
}
