/**
 * Bytes that are put together to objects, in a few aligned pieces of memory, which are used again. The
 * collector looks through everything whenever much memory comes and goes.
 */
import { native } from '../base/native.ts';

/** Most objects are small. The second piece begins at a multiple of the first, which disks want. */
const firstBytes = 64 * 1024;
const slabBytes = 4 * 1024 * 1024;

/** Memory that is in nobody's use now. */
export class SlabPool {
  private readonly free: Buffer[] = [];

  take(): Buffer {
    return this.free.pop() ?? native().allocate(slabBytes);
  }

  give(slab: Buffer): void {
    this.free.push(slab);
  }

  /** Gives the memory back to the system. */
  release(): void {
    for (const slab of this.free.splice(0)) native().release(slab);
  }
}

/** The bytes of one object. */
export class Slabs {
  /** All bytes so far. */
  length = 0;
  private readonly pool: SlabPool;
  private readonly slabs: Buffer[] = [];
  /** Bytes of the last slab that are in use. */
  private filled = 0;

  constructor(pool: SlabPool) {
    this.pool = pool;
  }

  /** Appends a copy. */
  append(bytes: Uint8Array): void {
    let from = 0;
    while (from < bytes.length) {
      const slab = this.room();
      const count = Math.min(bytes.length - from, slab.length - this.filled);
      slab.set(bytes.subarray(from, from + count), this.filled);
      this.filled += count;
      from += count;
    }
    this.length += bytes.length;
  }

  /** The bytes, one part after another. */
  parts(): Buffer[] {
    return this.slabs.map((slab, n) => (n === this.slabs.length - 1 ? slab.subarray(0, this.filled) : slab));
  }

  /** Gives the memory back: nobody looks at the parts any more. */
  release(): void {
    const [first, ...others] = this.slabs.splice(0);
    if (first) native().release(first);
    for (const slab of others) this.pool.give(slab);
  }

  /** The last slab, which has room for a byte at least. */
  private room(): Buffer {
    const last = this.slabs.at(-1);
    if (last && this.filled < last.length) return last;
    const slab = last ? this.pool.take() : native().allocate(firstBytes);
    this.slabs.push(slab);
    this.filled = 0;
    return slab;
  }
}
