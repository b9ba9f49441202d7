/**
 * The frames that the engine and a launcher exchange, as native/launcher/PROTOCOL.md has them.
 * Nothing that comes from a launcher is believed: commands run beside it.
 */
import { PachError } from '../../base/errors.ts';
import { nameOfText, textOfName } from '../../model/paths.ts';

/** Types of frames, each way. */
export const toLauncher = {
  setup: 1,
  run: 2,
  kill: 3,
  datum: 4,
  hold: 5,
  input: 6,
  inputEnd: 7,
  resize: 8,
  connect: 9,
  portInput: 10,
  portInputEnd: 11,
  portTaken: 12,
  end: 13,
} as const;
export const fromLauncher = {
  ready: 65,
  log: 66,
  exit: 67,
  next: 68,
  failure: 69,
  held: 70,
  errors: 71,
  taken: 72,
  connected: 73,
  portOutput: 74,
  portOutputEnd: 75,
  portInputTaken: 76,
  terminating: 77,
} as const;

export const protocolVersion = 2;
const sentBytesMax = 64 << 20;
const receivedBytesMax = 1 << 20;
const itemsMax = 65_536;
const textBytesMax = 1 << 20;

/** A frame under construction. Throws `usage` for what does not fit into one. */
export class FrameWriter {
  private readonly parts: Buffer[] = [];
  private bytes = 1;
  private readonly type: number;

  constructor(type: number) {
    this.type = type;
  }

  u8(value: number | boolean): this {
    return this.push(Buffer.from([Number(value)]));
  }

  u32(value: number): this {
    const part = Buffer.alloc(4);
    part.writeUInt32LE(value);
    return this.push(part);
  }

  u64(value: number): this {
    const part = Buffer.alloc(8);
    part.writeBigUInt64LE(BigInt(value));
    return this.push(part);
  }

  blob(value: Buffer): this {
    return this.u32(value.length).push(value);
  }

  /** What fills the rest of the frame. */
  raw(value: Buffer): this {
    return this.push(value);
  }

  /** Names in it may be other bytes than UTF-8, as `textOfName` gives them. */
  text(value: string): this {
    if (value.includes('\0')) throw tooMuch(JSON.stringify(value.slice(0, 60)), 'it has a NUL character');
    const part = nameOfText(value);
    if (part.length > textBytesMax) throw tooMuch(`${value.slice(0, 60)}…`, `it has more than ${textBytesMax} bytes`);
    return this.blob(part);
  }

  list<T>(items: readonly T[], write: (item: T) => void): this {
    if (items.length > itemsMax) throw tooMuch('a command', `it has a list of more than ${itemsMax} items`);
    this.u32(items.length);
    for (const item of items) write(item);
    return this;
  }

  texts(items: readonly string[]): this {
    return this.list(items, (item) => this.text(item));
  }

  variables(env: Readonly<Record<string, string>>): this {
    return this.texts(Object.entries(env).map(([name, value]) => `${name}=${value}`));
  }

  /** The frame with its head. */
  done(): Buffer {
    if (this.bytes > sentBytesMax)
      throw tooMuch('a command', `its input and variables have more than ${sentBytesMax} bytes`);
    const head = Buffer.alloc(5);
    head.writeUInt32LE(this.bytes);
    head[4] = this.type;
    return Buffer.concat([head, ...this.parts]);
  }

  private push(part: Buffer): this {
    this.parts.push(part);
    this.bytes += part.length;
    return this;
  }
}

/** Reads a payload's fields, in order. Throws when it is not what it must be. */
export class FrameReader {
  private offset = 0;
  private readonly payload: Buffer;

  constructor(payload: Buffer) {
    this.payload = payload;
  }

  u8(): number {
    return this.take(1).readUInt8();
  }

  u32(): number {
    return this.take(4).readUInt32LE();
  }

  u64(): number {
    return Number(this.take(8).readBigUInt64LE());
  }

  text(): string {
    return textOfName(this.take(this.u32()));
  }

  /** All that is left. */
  rest(): Buffer {
    return this.take(this.payload.length - this.offset);
  }

  end(): void {
    if (this.offset !== this.payload.length) throw malformed();
  }

  private take(bytes: number): Buffer {
    const end = this.offset + bytes;
    if (end > this.payload.length) throw malformed();
    const part = this.payload.subarray(this.offset, end);
    this.offset = end;
    return part;
  }
}

export interface Frame {
  readonly type: number;
  readonly payload: Buffer;
}

/** Cuts what comes from a stream into frames. */
export class FrameSplitter {
  private rest: Buffer = Buffer.alloc(0);

  /** The frames that are complete with `bytes`. Throws `damaged` at a malformed one. */
  *push(bytes: Buffer): Generator<Frame> {
    this.rest = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes]);
    while (this.rest.length >= 4) {
      const length = this.rest.readUInt32LE();
      if (length < 1 || length > receivedBytesMax) throw malformed();
      if (this.rest.length < 4 + length) return;
      const frame = this.rest.subarray(4, 4 + length);
      this.rest = this.rest.subarray(4 + length);
      yield { type: frame.readUInt8(), payload: frame.subarray(1) };
    }
  }
}

export function malformed(): PachError {
  return new PachError('damaged', { what: 'the launcher of a worker', why: 'it sent an invalid message' });
}

function tooMuch(what: string, why: string): PachError {
  return new PachError('usage', { what, why });
}
