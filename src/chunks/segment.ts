/**
 * Segments (FORMAT.md section 8): an immutable, sorted index of the blobs of many packs, with a
 * filter that answers most questions about absent ones without reading a block.
 */
import { PachError } from '../base/errors.ts';
import { native } from '../base/native.ts';
import type { PackKind } from '../model/keys.ts';
import type { Hash, PackId, Place } from '../model/refs.ts';
import { rowBytes, type PackName } from './blob-table.ts';

const version = 1;
const headerBytes = 8;
const rowsPerBlock = 1024;
const packBytes = 17;
const fenceBytes = 48;
const footerBytes = 52;
const rowsPerLine = 32;
const lineBytes = 64;
const bitsPerRow = 8;
/** Offset of the bytes of a hash that choose a line of the filter. The first bytes are alike in a segment that holds a part of a sorted sequence. */
const lineAt = 20;
export const segmentEntriesMax = 524_288;

/** What a reader of a segment keeps in memory: everything but the blocks. */
export interface SegmentTail {
  readonly entries: number;
  readonly packs: readonly PackName[];
  readonly filter: Buffer;
  readonly fences: Buffer;
}

/** Bytes at the end of a segment that `parseSegmentTail` needs; `where` names it in errors. */
export function segmentTailBytes(segmentBytes: number, entries: number, where: string): number {
  const bytes = segmentBytes - headerBytes - entries * rowBytes;
  if (bytes < footerBytes || entries > segmentEntriesMax) throw damaged(where, "it can't have that many entries");
  return bytes;
}

/**
 * The whole object, in parts. `rows` are those of a BlobTable with these `packs`, sorted by hash,
 * without duplicates, at most `segmentEntriesMax`; their pack numbers are changed to the segment's.
 */
export function encodeSegment(rows: Buffer, packs: readonly PackName[]): Buffer[] {
  const entries = rows.length / rowBytes;
  const numbers = new Map<number, number>();
  const lines = Math.max(1, Math.ceil(entries / rowsPerLine));
  const filter = Buffer.alloc(lines * lineBytes);
  for (let at = 0; at < rows.length; at += rowBytes) {
    const pack = rows.readUInt32LE(at + 32);
    let number = numbers.get(pack);
    if (number === undefined) numbers.set(pack, (number = numbers.size));
    rows.writeUInt32LE(number, at + 32);
    const line = (rows.readUInt32LE(at + lineAt) % lines) * lineBytes;
    for (let j = 0; j < bitsPerRow; j += 1) {
      const bit = rows.readUInt16LE(at + 4 + 2 * j) % (lineBytes * 8);
      const byte = line + (bit >> 3);
      filter[byte] = (filter[byte] as number) | (1 << (bit & 7));
    }
  }
  const fences: Buffer[] = [];
  for (let at = 0; at < rows.length; at += rowsPerBlock * rowBytes) {
    const block = rows.subarray(at, at + rowsPerBlock * rowBytes);
    fences.push(block.subarray(0, 32), native().hash('plain', block).subarray(0, 16));
  }
  const packTable = [...numbers.keys()].map((number) => {
    const { kind, id } = packs[number] as PackName;
    return Buffer.concat([Buffer.from([kind === 'data' ? 1 : 2]), Buffer.from(id, 'hex')]);
  });
  const body = Buffer.concat([...packTable, filter, ...fences]);
  const footer = Buffer.alloc(footerBytes);
  footer.writeUInt32LE(numbers.size, 0);
  footer.writeUInt32LE(entries, 4);
  footer.writeUInt32LE(lines, 8);
  native().hash('plain', body).copy(footer, 12);
  footer[44] = version;
  footer.write('PACHSG', 46, 'latin1');
  const header = Buffer.from([...Buffer.from('PACHSG'), version, 0]);
  return [header, rows, body, footer];
}

/** Reads and checks the end of a segment; `where` names it in errors. */
export function parseSegmentTail(tail: Buffer, where: string): SegmentTail {
  const at = tail.length - footerBytes;
  if (at < 0 || tail.toString('latin1', at + 46) !== 'PACHSG') throw damaged(where, 'its footer is missing');
  if (tail[at + 44] !== version) {
    throw new PachError('unsupported', {
      what: where,
      why: `needs a program that reads version ${tail[at + 44]} of the segment format`,
      next: 'update pachmount',
    });
  }
  const packCount = tail.readUInt32LE(at);
  const entries = tail.readUInt32LE(at + 4);
  const lines = tail.readUInt32LE(at + 8);
  const filterAt = packCount * packBytes;
  const fencesAt = filterAt + lines * lineBytes;
  if (fencesAt + Math.ceil(entries / rowsPerBlock) * fenceBytes !== at || lines === 0) {
    throw damaged(where, 'its parts do not add up');
  }
  if (
    !native()
      .hash('plain', tail.subarray(0, at))
      .equals(tail.subarray(at + 12, at + 44))
  ) {
    throw damaged(where, 'its index does not match its hash');
  }
  const packs = Array.from({ length: packCount }, (_, i): PackName => {
    const kind = tail[i * packBytes] === 1 ? 'data' : 'meta';
    return { kind, id: tail.toString('hex', i * packBytes + 1, (i + 1) * packBytes) as PackId };
  });
  return { entries, packs, filter: tail.subarray(filterAt, fencesAt), fences: tail.subarray(fencesAt, at) };
}

/** False when the segment certainly does not know this hash. */
export function mayContain({ filter }: SegmentTail, hash: Hash): boolean {
  const line = (hash.readUInt32LE(lineAt) % (filter.length / lineBytes)) * lineBytes;
  for (let j = 0; j < bitsPerRow; j += 1) {
    const bit = hash.readUInt16LE(4 + 2 * j) % (lineBytes * 8);
    if (((filter[line + (bit >> 3)] as number) & (1 << (bit & 7))) === 0) return false;
  }
  return true;
}

/** Number of the only block that can hold this hash, or undefined when it lies before the first. */
export function blockOf({ fences }: SegmentTail, hash: Hash): number | undefined {
  const block = firstAfter(fences, fenceBytes, hash);
  return block === 0 ? undefined : block - 1;
}

/** Offset and length in bytes of `count` blocks within the object, as far as there are any. */
export function blockRange(segment: SegmentTail, block: number, count = 1): { offset: number; length: number } {
  const first = block * rowsPerBlock;
  const rows = Math.min(count * rowsPerBlock, segment.entries - first);
  return { offset: headerBytes + first * rowBytes, length: rows * rowBytes };
}

export function blockCount(segment: SegmentTail): number {
  return Math.ceil(segment.entries / rowsPerBlock);
}

/** Checks a block's bytes against the hash in its fence; `where` names the segment in errors. */
export function checkBlock(segment: SegmentTail, block: number, bytes: Buffer, where: string): void {
  const fence = segment.fences.subarray(block * fenceBytes + 32, (block + 1) * fenceBytes);
  if (!native().hash('plain', bytes).subarray(0, 16).equals(fence)) {
    throw damaged(where, `its block ${block} does not match its hash`);
  }
  for (let at = 0; at < bytes.length; at += rowBytes) {
    if (bytes.readUInt32LE(at + 32) >= segment.packs.length) {
      throw damaged(where, 'it names a pack that it does not list');
    }
  }
}

export interface Found {
  readonly kind: PackKind;
  readonly place: Place;
}

/** Where a block says that this hash lies, or undefined. */
export function findInBlock(segment: SegmentTail, bytes: Buffer, hash: Hash): Found | undefined {
  const at = (firstAfter(bytes, rowBytes, hash) - 1) * rowBytes;
  if (at < 0 || bytes.compare(hash, 0, 32, at, at + 32) !== 0) return undefined;
  const { kind, id } = segment.packs[bytes.readUInt32LE(at + 32)] as PackName;
  return { kind, place: { pack: id, offset: bytes.readUInt32LE(at + 36), length: bytes.readUInt32LE(at + 40) } };
}

/** Of sorted items that begin with a hash: the number of the first that is greater. */
function firstAfter(sorted: Buffer, itemBytes: number, hash: Hash): number {
  let low = 0;
  let high = sorted.length / itemBytes;
  while (low < high) {
    const middle = (low + high) >> 1;
    const at = middle * itemBytes;
    if (sorted.compare(hash, 0, 32, at, at + 32) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function damaged(where: string, why: string): PachError {
  return new PachError('damaged', { what: where, why, next: 'restore the object from a copy of the store' });
}
