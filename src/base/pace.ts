/**
 * How long requests of one kind take. It tells when a request takes far longer than its peers.
 */

/** With fewer answers than this, no request counts as slow. */
const countMin = 8;
const newestWeight = 1 / 8;
const timesSlower = 4;
const hedgeAfterMsMin = 1000;

export class Pace {
  private count = 0;
  private ms = 0;
  private bytes = 0;

  /** Notes a request that was answered. */
  note(ms: number, bytes: number): void {
    this.count += 1;
    const weight = Math.max(newestWeight, 1 / this.count);
    this.ms += (ms - this.ms) * weight;
    this.bytes += (bytes - this.bytes) * weight;
  }

  /** Milliseconds after which a request for so many bytes is far slower than its peers. */
  hedgeAfterMs(bytes: number): number {
    if (this.count < countMin) return Infinity;
    return Math.max(hedgeAfterMsMin, timesSlower * this.ms * Math.max(1, bytes / this.bytes));
  }
}
