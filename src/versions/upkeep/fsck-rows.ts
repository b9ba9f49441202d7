/**
 * What is known of the rows of a BlobTable, a few bytes each.
 */
import type { Hash } from '../../model/refs.ts';

const recordBytes = 48;
const recordsPerPage = 512;

/** A set of rows. */
export class RowSet {
  private flags = new Uint8Array(1024);
  /** How many rows are in it. */
  size = 0;

  has(row: number): boolean {
    return this.flags[row] === 1;
  }

  add(row: number): void {
    if (this.has(row)) return;
    if (row >= this.flags.length) {
      const larger = new Uint8Array(Math.max(row + 1, this.flags.length * 2));
      larger.set(this.flags);
      this.flags = larger;
    }
    this.flags[row] = 1;
    this.size += 1;
  }
}

/** What a tree or a list says of all below it; a list has no files. */
export interface Totals {
  readonly contentHash: Hash;
  readonly files: number;
  readonly bytes: number;
}

/** Totals by row. */
export class RowTotals {
  /** Number of each row's record plus one; 0 for none. */
  private slots = new Uint32Array(1024);
  private readonly pages: Buffer[] = [];
  private size = 0;

  get(row: number): Totals | undefined {
    const slot = (this.slots[row] ?? 0) - 1;
    if (slot < 0) return undefined;
    const page = this.pages[Math.floor(slot / recordsPerPage)] as Buffer;
    const at = (slot % recordsPerPage) * recordBytes;
    const contentHash = page.subarray(at, at + 32) as Hash;
    return { contentHash, files: page.readDoubleLE(at + 32), bytes: page.readDoubleLE(at + 40) };
  }

  /** Keeps the totals of a row that has none yet. */
  add(row: number, { contentHash, files, bytes }: Totals): void {
    if (row >= this.slots.length) {
      const larger = new Uint32Array(Math.max(row + 1, this.slots.length * 2));
      larger.set(this.slots);
      this.slots = larger;
    }
    if (this.size % recordsPerPage === 0) this.pages.push(Buffer.allocUnsafe(recordsPerPage * recordBytes));
    const page = this.pages.at(-1) as Buffer;
    const at = (this.size % recordsPerPage) * recordBytes;
    page.set(contentHash, at);
    page.writeDoubleLE(files, at + 32);
    page.writeDoubleLE(bytes, at + 40);
    this.size += 1;
    this.slots[row] = this.size;
  }
}
