/**
 * Segments (FORMAT.md section 8): an immutable, sorted index of the blobs of many packs, with a
 * filter that answers most questions about absent ones without reading a block.
 */
import { PachError } from '../base/errors.ts';
import { native } from '../base/native.ts';
import type { PackKind } from '../model/keys.ts';
import type { Hash, PackId, Place } from '../model/refs.ts';

const version = 1;
const headerBytes = 8;
const entryBytes = 48;
const entriesPerBlock = 1024;
const packBytes = 17;
const fenceBytes = 48;
const footerBytes = 52;
const entriesPerLine = 42;
const lineBytes = 64;
export const segmentEntriesMax = 1_048_576;

export interface SegmentEntry {
  readonly hash: Hash;
  readonly kind: PackKind;
  readonly place: Place;
  readonly plainLength: number;
}

/** What a reader of a segment keeps in memory: everything but the blocks. */
export interface SegmentTail {
  readonly entries: number;
  readonly packs: readonly { readonly kind: PackKind; readonly id: PackId }[];
  readonly filter: Buffer;
  readonly fences: Buffer;
}

/** Bytes at the end of a segment that `parseSegmentTail` needs; `where` names it in errors. */
export function segmentTailBytes(segmentBytes: number, entries: number, where: string): number {
  const bytes = segmentBytes - headerBytes - entries * entryBytes;
  if (bytes < footerBytes || entries > segmentEntriesMax) throw damaged(where, 'so many entries can not be in it');
  return bytes;
}

/** The whole object. `entries` are sorted by hash, without duplicates, at most `segmentEntriesMax`. */
export function encodeSegment(entries: readonly SegmentEntry[]): Buffer {
  const packNumbers = new Map<PackId, number>();
  const packs: { kind: PackKind; id: PackId }[] = [];
  const blocks = Buffer.alloc(entries.length * entryBytes);
  const lines = Math.max(1, Math.ceil(entries.length / entriesPerLine));
  const filter = Buffer.alloc(lines * lineBytes);
  entries.forEach((entry, index) => {
    let pack = packNumbers.get(entry.place.pack);
    if (pack === undefined) {
      pack = packs.push({ kind: entry.kind, id: entry.place.pack }) - 1;
      packNumbers.set(entry.place.pack, pack);
    }
    const at = index * entryBytes;
    entry.hash.copy(blocks, at);
    blocks.writeUInt32LE(pack, at + 32);
    blocks.writeUInt32LE(entry.place.offset, at + 36);
    blocks.writeUInt32LE(entry.place.length, at + 40);
    blocks.writeUInt32LE(entry.plainLength, at + 44);
    for (const bit of filterBits(entry.hash, lines)) {
      filter[bit >> 3] = (filter[bit >> 3] as number) | (1 << (bit & 7));
    }
  });
  const fences: Buffer[] = [];
  for (let at = 0; at < blocks.length; at += entriesPerBlock * entryBytes) {
    const block = blocks.subarray(at, at + entriesPerBlock * entryBytes);
    fences.push(block.subarray(0, 32), native().hash('plain', block).subarray(0, 16));
  }
  const packTable = Buffer.concat(
    packs.map(({ kind, id }) => Buffer.concat([Buffer.from([kind === 'data' ? 1 : 2]), Buffer.from(id, 'hex')])),
  );
  const body = Buffer.concat([packTable, filter, ...fences]);
  const footer = Buffer.alloc(footerBytes);
  footer.writeUInt32LE(packs.length, 0);
  footer.writeUInt32LE(entries.length, 4);
  footer.writeUInt32LE(lines, 8);
  native().hash('plain', body).copy(footer, 12);
  footer[44] = version;
  footer.write('PACHSG', 46, 'latin1');
  const header = Buffer.from([...Buffer.from('PACHSG'), version, 0]);
  return Buffer.concat([header, blocks, body, footer]);
}

/** Reads and checks the end of a segment; `where` names it in errors. */
export function parseSegmentTail(tail: Buffer, where: string): SegmentTail {
  const at = tail.length - footerBytes;
  if (at < 0 || tail.toString('latin1', at + 46) !== 'PACHSG') throw damaged(where, 'its footer is not there');
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
  if (fencesAt + Math.ceil(entries / entriesPerBlock) * fenceBytes !== at || lines === 0) {
    throw damaged(where, 'its parts do not add up');
  }
  if (
    !native()
      .hash('plain', tail.subarray(0, at))
      .equals(tail.subarray(at + 12, at + 44))
  ) {
    throw damaged(where, 'its index does not match its hash');
  }
  const packs = Array.from({ length: packCount }, (_, i) => {
    const kind: PackKind = tail[i * packBytes] === 1 ? 'data' : 'meta';
    return { kind, id: tail.toString('hex', i * packBytes + 1, (i + 1) * packBytes) as PackId };
  });
  return { entries, packs, filter: tail.subarray(filterAt, fencesAt), fences: tail.subarray(fencesAt, at) };
}

/** False when the segment certainly does not know this hash. */
export function mayContain(segment: SegmentTail, hash: Hash): boolean {
  return filterBits(hash, segment.filter.length / lineBytes).every(
    (bit) => ((segment.filter[bit >> 3] as number) & (1 << (bit & 7))) !== 0,
  );
}

/** Number of the only block that can hold this hash, or undefined when it lies before the first. */
export function blockOf(segment: SegmentTail, hash: Hash): number | undefined {
  let low = 0;
  let high = segment.fences.length / fenceBytes;
  while (low < high) {
    const middle = (low + high) >> 1;
    const at = middle * fenceBytes;
    if (segment.fences.compare(hash, 0, 32, at, at + 32) <= 0) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? undefined : low - 1;
}

/** Offset and length in bytes of a block within the object. */
export function blockRange(segment: SegmentTail, block: number): { offset: number; length: number } {
  const first = block * entriesPerBlock;
  const count = Math.min(entriesPerBlock, segment.entries - first);
  return { offset: headerBytes + first * entryBytes, length: count * entryBytes };
}

/** The entries of a block, checked against its fence; `where` names the segment in errors. */
export function parseBlock(segment: SegmentTail, block: number, bytes: Buffer, where: string): SegmentEntry[] {
  const fence = segment.fences.subarray(block * fenceBytes + 32, (block + 1) * fenceBytes);
  if (!native().hash('plain', bytes).subarray(0, 16).equals(fence)) {
    throw damaged(where, `its block ${block} does not match its hash`);
  }
  const entries: SegmentEntry[] = [];
  for (let at = 0; at < bytes.length; at += entryBytes) {
    const pack = segment.packs[bytes.readUInt32LE(at + 32)];
    if (!pack) throw damaged(where, 'it names a pack that it does not list');
    const place = { pack: pack.id, offset: bytes.readUInt32LE(at + 36), length: bytes.readUInt32LE(at + 40) };
    const hash = bytes.subarray(at, at + 32) as Hash;
    entries.push({ hash, kind: pack.kind, place, plainLength: bytes.readUInt32LE(at + 44) });
  }
  return entries;
}

function filterBits(hash: Hash, lines: number): number[] {
  const line = (hash.readUInt32LE(0) % lines) * lineBytes * 8;
  const bits: number[] = [];
  for (let j = 0; j < 8; j += 1) bits.push(line + (hash.readUInt16LE(4 + 2 * j) % 512));
  return bits;
}

function damaged(where: string, why: string): PachError {
  return new PachError('damaged', { what: where, why, next: 'restore the object from a copy of the store' });
}
