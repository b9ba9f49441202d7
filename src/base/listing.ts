/**
 * A folder of this machine: what lies in it, in the order of the names' bytes. Kept as a few
 * buffers, so that a million names are no million objects.
 */
import { native, type NativeListing } from './native.ts';
import type { Place } from './place.ts';

export type FileKind = 'file' | 'directory' | 'symlink' | 'other';

/** lstat of one name in a folder. Sizes in bytes, times as seconds and nanoseconds. */
export interface FileStat {
  readonly name: Buffer;
  readonly kind: FileKind;
  readonly executable: boolean;
  readonly size: number;
  readonly mtimeSeconds: number;
  readonly mtimeNanoseconds: number;
  /** errno name when lstat of this name failed (then the rest is zero). */
  readonly error?: string;
}

const kinds: readonly FileKind[] = ['file', 'directory', 'symlink', 'other'];
const rowBytes = 48;
export const fingerprintBytes = 16;

export class Listing {
  /** How many names there are. */
  readonly count: number;
  /**
   * For each regular file, in order, 16 bytes that change whenever name, inode, size, mode or times
   * do. Zeros for a file that changed so lately that its next change may leave the times as they are.
   */
  readonly fingerprints: Buffer;
  private readonly native: NativeListing;
  private readonly rows: DataView;

  constructor(listing: NativeListing) {
    const { rows, fingerprints } = listing;
    this.native = listing;
    this.count = rows.length / rowBytes;
    this.fingerprints = fingerprints;
    this.rows = new DataView(rows.buffer, rows.byteOffset, rows.length);
  }

  /** The sizes of all entries, added up. */
  get bytes(): number {
    let sum = 0;
    for (let at = 0; at < this.rows.byteLength; at += rowBytes) sum += this.rows.getFloat64(at + 8, true);
    return sum;
  }

  /** True when the folder has a name. */
  has(name: Buffer): boolean {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.at(middle).name.compare(name) < 0) low = middle + 1;
      else high = middle;
    }
    return low < this.count && this.at(low).name.equals(name);
  }

  at(n: number): FileStat {
    const { rows } = this;
    const at = n * rowBytes;
    const start = n === 0 ? 0 : rows.getFloat64(at - rowBytes, true);
    const error = this.native.errors[n];
    return {
      name: this.native.names.subarray(start, rows.getFloat64(at, true)),
      kind: kinds[rows.getUint8(at + 32)] as FileKind,
      executable: rows.getUint8(at + 33) === 1,
      size: rows.getFloat64(at + 8, true),
      mtimeSeconds: rows.getFloat64(at + 16, true),
      mtimeNanoseconds: rows.getFloat64(at + 24, true),
      ...(error === undefined ? {} : { error }),
    };
  }
}

/** See `NativeData.listFolder`. */
export async function listFolder({ root, path }: Place, settledMs = 0): Promise<Listing> {
  return new Listing(await native().listFolder(root, path, settledMs));
}
