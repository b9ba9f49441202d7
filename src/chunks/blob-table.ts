/**
 * Many blobs and where they lie, about 60 bytes each: rows as a segment stores them (FORMAT.md
 * section 8). A BlobTable finds them by hash; a RowBuffer only gathers them.
 */
import type { PackKind } from '../model/keys.ts';
import type { Hash, PackId, Place } from '../model/refs.ts';

/** Bytes of a row: hash[32], u32 pack number, offset, stored length, plain length. */
export const rowBytes = 48;

const rowsPerPage = 512;
const slotsAtFirst = 1024;

/** A pack and which of the two kinds it is. */
export interface PackName {
  readonly kind: PackKind;
  readonly id: PackId;
}

/** Rows of blobs. Packs are numbered, and rows name them by number. */
export abstract class BlobRows {
  /** The packs that rows name by their index here. */
  readonly packs: PackName[] = [];
  private readonly packNumbers = new Map<PackId, number>();

  /** The number of a pack, a new one when it has none yet. */
  pack(kind: PackKind, id: PackId): number {
    let number = this.packNumbers.get(id);
    if (number === undefined) {
      number = this.packs.push({ kind, id }) - 1;
      this.packNumbers.set(id, number);
    }
    return number;
  }

  /** Adds a blob. Offset and lengths in bytes. */
  abstract add(hash: Uint8Array, pack: number, offset: number, storedLength: number, plainLength: number): void;
}

/** Room for a known number of rows. */
export class RowBuffer extends BlobRows {
  private readonly buffer: Buffer;
  private end = 0;

  constructor(rowsMax: number) {
    super();
    this.buffer = Buffer.allocUnsafe(rowsMax * rowBytes);
  }

  override add(hash: Uint8Array, pack: number, offset: number, storedLength: number, plainLength: number): void {
    this.buffer.set(hash, this.end);
    writePlace(this.buffer, this.end, pack, offset, storedLength, plainLength);
    this.end += rowBytes;
  }

  /** What was added, one row after another. */
  rows(): Buffer {
    return this.buffer.subarray(0, this.end);
  }
}

export class BlobTable extends BlobRows {
  /** Number of blobs. */
  size = 0;
  private readonly pages: Buffer[] = [];
  /** Open addressing: 0 is empty, otherwise the row's number plus one. */
  private slots = new Uint32Array(slotsAtFirst);

  /** Adds a blob, unless it is there. Returns its row's number. */
  override add(hash: Uint8Array, pack: number, offset: number, storedLength: number, plainLength: number): number {
    const slot = this.slotOf(hash);
    const taken = this.slots[slot] as number;
    if (taken > 0) return taken - 1;
    const row = this.size;
    if (row % rowsPerPage === 0) this.pages.push(Buffer.allocUnsafe(rowsPerPage * rowBytes));
    this.slots[slot] = row + 1;
    this.size += 1;
    this.page(row).set(hash, this.at(row));
    this.move(row, pack, offset, storedLength, plainLength);
    if (this.size * 2 > this.slots.length) this.grow();
    return row;
  }

  /** Gives a row another place. */
  move(row: number, pack: number, offset: number, storedLength: number, plainLength: number): void {
    writePlace(this.page(row), this.at(row), pack, offset, storedLength, plainLength);
  }

  /** The row of a hash, or -1. */
  find(hash: Uint8Array): number {
    return (this.slots[this.slotOf(hash)] as number) - 1;
  }

  /** A view of a row's hash, valid while the table is. */
  hashAt(row: number): Hash {
    const at = this.at(row);
    return this.page(row).subarray(at, at + 32) as Hash;
  }

  packAt(row: number): number {
    return this.page(row).readUInt32LE(this.at(row) + 32);
  }

  placeAt(row: number): Place {
    const page = this.page(row);
    const at = this.at(row);
    const { id } = this.packs[page.readUInt32LE(at + 32)] as PackName;
    return { pack: id, offset: page.readUInt32LE(at + 36), length: page.readUInt32LE(at + 40) };
  }

  /** Bytes of the blob as it is stored. */
  storedLengthAt(row: number): number {
    return this.page(row).readUInt32LE(this.at(row) + 40);
  }

  plainLengthAt(row: number): number {
    return this.page(row).readUInt32LE(this.at(row) + 44);
  }

  /** The slot that holds this hash, or the empty one where it would go. */
  private slotOf(hash: Uint8Array): number {
    const mask = this.slots.length - 1;
    for (let slot = firstWord(hash, 0) & mask; ; slot = (slot + 1) & mask) {
      const row = (this.slots[slot] as number) - 1;
      if (row < 0) return slot;
      const at = this.at(row);
      if (this.page(row).compare(hash, 0, 32, at, at + 32) === 0) return slot;
    }
  }

  private grow(): void {
    const slots = new Uint32Array(this.slots.length * 2);
    const mask = slots.length - 1;
    for (let row = 0; row < this.size; row += 1) {
      let slot = firstWord(this.page(row), this.at(row)) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = row + 1;
    }
    this.slots = slots;
  }

  private page(row: number): Buffer {
    return this.pages[Math.floor(row / rowsPerPage)] as Buffer;
  }

  private at(row: number): number {
    return (row % rowsPerPage) * rowBytes;
  }
}

function writePlace(row: Buffer, at: number, pack: number, offset: number, stored: number, plain: number): void {
  row.writeUInt32LE(pack, at + 32);
  row.writeUInt32LE(offset, at + 36);
  row.writeUInt32LE(stored, at + 40);
  row.writeUInt32LE(plain, at + 44);
}

/** Hashes are as good as random, so four of their bytes are a slot's hash. */
function firstWord(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}
