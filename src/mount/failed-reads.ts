/**
 * Reads that failed because the store did not answer in time. When the kernel's read-ahead fails, the
 * kernel asks once more, for a single page, on behalf of the same system call. That second request
 * fails at once: otherwise the caller would wait for two timeouts.
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

  /** True, once, when a read that contained this range failed a moment ago. */
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
