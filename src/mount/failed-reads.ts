/**
 * Reads for which the store did not answer in time. Where the kernel read ahead, it asks once more for
 * a page of them, for the same system call: that one fails at once, or its caller would wait twice.
 */
const againMs = 500;
const readsMax = 256;

interface FailedRead {
  readonly ino: number;
  readonly from: number;
  readonly to: number;
  readonly at: number;
}

export class FailedReads {
  private reads: FailedRead[] = [];

  note(ino: number, offset: number, size: number): void {
    this.reads.push({ ino, from: offset, to: offset + size, at: performance.now() });
    if (this.reads.length > readsMax) this.reads.shift();
  }

  /** True once for a read that failed a moment ago and had this range in it. */
  take(ino: number, offset: number, size: number): boolean {
    if (this.reads.length === 0) return false;
    const since = performance.now() - againMs;
    this.reads = this.reads.filter(({ at }) => at > since);
    const has = (read: FailedRead): boolean => read.ino === ino && offset >= read.from && offset + size <= read.to;
    const index = this.reads.findIndex(has);
    if (index < 0) return false;
    this.reads.splice(index, 1);
    return true;
  }
}
