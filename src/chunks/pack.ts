/**
 * The pack format (FORMAT.md section 4): many blobs in one object, with an index at its end.
 */
import { PachError } from '../base/errors.ts';
import { native } from '../base/native.ts';
import type { PackKind } from '../model/keys.ts';
import type { Hash } from '../model/refs.ts';

export const packHeaderBytes = 8;
const entryBytes = 44;
const packFooterBytes = 44;
const version = 1;

/** One blob of a pack. Offset and lengths in bytes. */
export interface PackEntry {
  readonly hash: Hash;
  readonly offset: number;
  readonly storedLength: number;
  readonly plainLength: number;
}

const kindNumbers: Record<PackKind, number> = { data: 1, meta: 2 };

export function packHeader(kind: PackKind): Buffer {
  return Buffer.from([...Buffer.from('PACHPK'), version, kindNumbers[kind]]);
}

/** Index and footer for these blobs, which lie without gaps from the header on. */
export function packIndex(kind: PackKind, entries: readonly PackEntry[]): Buffer {
  const out = Buffer.alloc(entries.length * entryBytes + packFooterBytes);
  let at = 0;
  for (const entry of entries) {
    entry.hash.copy(out, at);
    out.writeUInt32LE(entry.offset, at + 32);
    out.writeUInt32LE(entry.storedLength, at + 36);
    out.writeUInt32LE(entry.plainLength, at + 40);
    at += entryBytes;
  }
  const hash = native().hash('plain', out.subarray(0, at));
  out.writeUInt32LE(entries.length, at);
  hash.copy(out, at + 4);
  out.writeUInt8(version, at + 36);
  out.writeUInt8(kindNumbers[kind], at + 37);
  out.write('PACHIX', at + 38, 'latin1');
  return out;
}

/** Bytes of index and footer of a pack with so many blobs. */
export function packIndexBytes(blobs: number): number {
  return blobs * entryBytes + packFooterBytes;
}

/** The same, from a footer; `where` names the pack in errors. */
export function packIndexBytesOf(footer: Buffer, where: string): number {
  if (footer.length < packFooterBytes) throw damaged(where, 'it is shorter than a footer');
  const at = footer.length - packFooterBytes;
  if (footer.toString('latin1', at + 38) !== 'PACHIX') throw damaged(where, 'its footer is missing');
  if (footer[at + 36] !== version) {
    throw new PachError('unsupported', {
      what: where,
      why: `needs a program that reads version ${footer[at + 36]} of the pack format`,
      next: 'update pachmount',
    });
  }
  return packIndexBytes(footer.readUInt32LE(at));
}

/** The index of a pack as it was read: `count` entries, see `packEntry`. */
export interface PackIndex {
  readonly count: number;
  readonly bytes: Buffer;
}

/** The index in a tail that `packIndex` has made. */
export function indexOf(tail: Buffer): PackIndex {
  const bytes = tail.subarray(0, tail.length - packFooterBytes);
  return { count: bytes.length / entryBytes, bytes };
}

/** The n-th blob of a pack. Its hash is a view of the index. */
export function packEntry({ bytes }: PackIndex, n: number): PackEntry {
  const at = n * entryBytes;
  return {
    hash: bytes.subarray(at, at + 32) as Hash,
    offset: bytes.readUInt32LE(at + 32),
    storedLength: bytes.readUInt32LE(at + 36),
    plainLength: bytes.readUInt32LE(at + 40),
  };
}

/** The blobs of a pack, from its whole tail (index and footer) and its size in bytes. */
export function parsePackIndex(kind: PackKind, tail: Buffer, packBytes: number, where: string): PackIndex {
  if (packIndexBytesOf(tail, where) !== tail.length || packBytes < tail.length + packHeaderBytes) {
    throw damaged(where, 'its index has another length than its footer says');
  }
  const indexBytes = tail.length - packFooterBytes;
  const bytes = tail.subarray(0, indexBytes);
  if (
    !native()
      .hash('plain', bytes)
      .equals(tail.subarray(indexBytes + 4, indexBytes + 36))
  ) {
    throw damaged(where, 'its index does not match its hash');
  }
  if (tail[indexBytes + 37] !== kindNumbers[kind]) throw damaged(where, `it is not a ${kind} pack`);
  let end = packHeaderBytes;
  for (let at = 0; at < indexBytes; at += entryBytes) {
    if (bytes.readUInt32LE(at + 32) !== end) throw damaged(where, 'its blobs do not lie one after another');
    end += bytes.readUInt32LE(at + 36);
  }
  if (end !== packBytes - tail.length) throw damaged(where, 'its blobs do not fill it');
  return { count: indexBytes / entryBytes, bytes };
}

function damaged(where: string, why: string): PachError {
  return new PachError('damaged', { what: where, why, next: 'restore the object from a copy of the store' });
}
