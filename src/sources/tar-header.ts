/**
 * Blocks of tar archives: the header of a member (V7, ustar, GNU) and the records of pax.
 */

export const blockBytes = 512;

export interface TarHeader {
  readonly name: Buffer;
  /** One character: `0` a file, `1` a hard link, `5` a directory, … */
  readonly type: string;
  /** Bytes that follow, without padding. */
  readonly size: number;
  readonly mode: number;
  readonly mtimeSeconds: number;
  readonly linkName: Buffer;
}

/** Records by their keys, as far as we know these; any of `GNU.sparse.…` is `GNU.sparse`. */
export type PaxRecords = ReadonlyMap<string, Buffer>;

/** In one header; more is made to harm. */
const recordsMax = 10_000;
const keysKnown: ReadonlySet<string> = new Set(['path', 'linkpath', 'size', 'mtime', 'GNU.sparse']);

const slash = Buffer.from('/');

/** What a block says; undefined when it is no header (its checksum is wrong, or a number in it). */
export function parseTarHeader(block: Buffer): TarHeader | undefined {
  const mode = numberOf(block.subarray(100, 108));
  const size = numberOf(block.subarray(124, 136));
  const mtimeSeconds = numberOf(block.subarray(136, 148));
  const checksum = numberOf(block.subarray(148, 156));
  if (mode === undefined || size === undefined || mtimeSeconds === undefined || checksum === undefined)
    return undefined;
  if (size < 0 || !checksumsOf(block).includes(checksum)) return undefined;
  const name = textOf(block.subarray(0, 100));
  // GNU's own form has other things where ustar has the first part of a long name.
  const ustar = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = ustar ? textOf(block.subarray(345, 500)) : Buffer.alloc(0);
  return {
    name: prefix.length > 0 ? Buffer.concat([prefix, slash, name]) : name,
    type: block[156] === 0 ? '0' : String.fromCharCode(block[156] ?? 0),
    size,
    mode,
    mtimeSeconds,
    linkName: textOf(block.subarray(157, 257)),
  };
}

/** Records `LENGTH KEY=VALUE\n`; undefined when they are malformed or too many. Keeps copies: there may be a million that nobody needs. */
export function parsePax(bytes: Buffer): PaxRecords | undefined {
  const records = new Map<string, Buffer>();
  for (let at = 0, count = 1; at < bytes.length; count += 1) {
    if (count > recordsMax) return undefined;
    const [digits] = /^[1-9][0-9]{0,8}(?= )/.exec(bytes.toString('latin1', at, at + 10)) ?? [];
    if (digits === undefined) return undefined;
    const end = at + Number(digits);
    const equals = bytes.indexOf('=', at);
    if (end > bytes.length || bytes[end - 1] !== 0x0a || equals < 0 || equals >= end) return undefined;
    const key = bytes.toString('utf8', at + digits.length + 1, equals).replace(/^GNU\.sparse\..*/s, 'GNU.sparse');
    if (keysKnown.has(key)) records.set(key, Buffer.from(bytes.subarray(equals + 1, end - 1)));
    at = end;
  }
  return records;
}

/** A decimal of pax, such as `1700000000.25` or `-1.5`, as seconds and nanoseconds. */
export function parsePaxTime(text: string): { mtimeSeconds: number; mtimeNanoseconds: number } | undefined {
  const match = /^(-?)(\d{1,12})(?:\.(\d*))?$/.exec(text);
  if (!match) return undefined;
  const nanoseconds = Number((match[3] ?? '').slice(0, 9).padEnd(9, '0'));
  const seconds = Number(match[2]);
  if (match[1] === '') return { mtimeSeconds: seconds, mtimeNanoseconds: nanoseconds };
  if (nanoseconds === 0) return { mtimeSeconds: 0 - seconds, mtimeNanoseconds: 0 };
  return { mtimeSeconds: -seconds - 1, mtimeNanoseconds: 1_000_000_000 - nanoseconds };
}

/** Octal, or base 256 when the first bit is set; undefined for neither, and beyond 2^53. */
function numberOf(field: Buffer): number | undefined {
  const first = field[0] ?? 0;
  if ((first & 0x80) === 0) {
    const text = field
      .toString('latin1')
      .replace(/[\0 ]+$/, '')
      .replace(/^ +/, '');
    if (text === '') return 0;
    return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : undefined;
  }
  const bits = BigInt(`0x${field.toString('hex')}`);
  const width = BigInt(field.length * 8);
  // The mark is the top bit of a positive number, and a part of a negative one.
  const value = Number(first === 0xff ? bits - (1n << width) : bits - (1n << (width - 1n)));
  return Number.isSafeInteger(value) ? value : undefined;
}

function textOf(field: Buffer): Buffer {
  const end = field.indexOf(0);
  return Buffer.from(end < 0 ? field : field.subarray(0, end));
}

/** Of the block with spaces where its checksum lies; old programs took its bytes as signed. */
function checksumsOf(block: Buffer): [unsigned: number, signed: number] {
  let [unsigned, signed] = [8 * 0x20, 8 * 0x20];
  for (let at = 0; at < blockBytes; at += 1) {
    if (at >= 148 && at < 156) continue;
    const byte = block[at] ?? 0;
    unsigned += byte;
    signed += byte < 0x80 ? byte : byte - 0x100;
  }
  return [unsigned, signed];
}
