/**
 * Entries on their way into the native inode table, and nodes out of it (native/fuse/entries.h).
 */
import type { Hash, PackId, Ref } from '../model/refs.ts';
import type { FoundNode, TableNode } from './fuse-addon.ts';
import type { ViewEntry, ViewNode } from './view.ts';

const headBytes = 106;
const kinds = ['file', 'directory', 'symlink'] as const;
const refTypes = [undefined, 'chunk', 'node'] as const;
/** The type of content outside of the store, of which the table has the hash. */
const outsideType = refTypes.length;

/** One entry, with its name. */
export function encodeEntry(entry: ViewEntry): Buffer {
  const out = Buffer.alloc(headBytes + entry.name.length);
  write(entry, out, 0);
  return out;
}

export function encodeEntries(entries: readonly ViewEntry[]): Buffer {
  const length = entries.reduce((sum, entry) => sum + headBytes + entry.name.length, 0);
  const out = Buffer.alloc(length);
  let at = 0;
  for (const entry of entries) at = write(entry, out, at);
  return out;
}

/** What an entry takes of the kernel's buffer, `plus` with its attributes. */
export function formattedBytes(entry: ViewEntry, plus: boolean): number {
  return (plus ? 152 : 24) + Math.ceil(entry.name.length / 8) * 8;
}

/** Where a list goes on after an entry. */
export function nextOf({ ordinal, next = ordinal + 1 }: ViewEntry): number {
  return next;
}

function write(entry: ViewEntry, out: Buffer, at: number): number {
  out.writeDoubleLE(entry.ordinal, at);
  out.writeDoubleLE(entry.size, at + 8);
  out.writeDoubleLE(entry.mtimeSeconds, at + 16);
  out.writeUInt32LE(entry.mtimeNanoseconds, at + 24);
  out[at + 28] = kinds.indexOf(entry.kind);
  out[at + 29] = entry.executable ? 1 : 0;
  const { ref, outside, within } = entry;
  if (within) within.copy(out, at + 32);
  if (outside) {
    out[at + 30] = outsideType;
    outside.copy(out, at + 32);
  } else if (ref) {
    out[at + 30] = refTypes.indexOf(ref.type);
    ref.hash.copy(out, at + 32);
    if (ref.place) {
      out[at + 31] = 1;
      out.write(ref.place.pack, at + 64, 16, 'hex');
      out.writeUInt32LE(ref.place.offset, at + 80);
      out.writeUInt32LE(ref.place.length, at + 84);
    }
  }
  out.writeUInt16LE(entry.name.length, at + 88);
  out.writeDoubleLE(entry.validMs, at + 90);
  out.writeDoubleLE(nextOf(entry), at + 98);
  entry.name.copy(out, at + headBytes);
  return at + headBytes + entry.name.length;
}

export function viewNodeOf(node: FoundNode): ViewNode {
  const { ino, parent, top, ordinal, executable, size, mtimeSeconds, mtimeNanoseconds } = node;
  const kind = kinds[node.kind] ?? 'file';
  const hash = node.hash as Hash;
  const outside = node.ref === outsideType ? hash : undefined;
  const within = node.ref === 0 && kind !== 'directory' ? hash : undefined;
  const directory = node.directory && refOf(node.directory);
  const content = { ref: refOf(node), outside, within, directory };
  return { ino, parent, top, ordinal, kind, executable, size, mtimeSeconds, mtimeNanoseconds, ...content };
}

function refOf(node: TableNode): Ref | undefined {
  const type = refTypes[node.ref];
  if (!type) return undefined;
  const hash = node.hash as Hash;
  if (!node.place) return { type, hash };
  const place = { pack: node.pack.toString('hex') as PackId, offset: node.placeOffset, length: node.placeLength };
  return { type, hash, place };
}
