/**
 * How far a job is.
 */
import type { DatumCounts, JobId, Outcome } from '../model/records/pipelines.ts';

export class Counting {
  readonly job: JobId;
  /** True once it is known how many there are. */
  isPlanned = false;
  private found = 0;
  private processed = 0;
  private taken = 0;
  private failed = 0;
  private recovered = 0;
  private readonly begun = performance.now();

  constructor(job: JobId) {
    this.job = job;
  }

  /** Datums that were looked at; more while it plans. */
  get total(): number {
    return this.found;
  }

  get done(): number {
    return this.processed + this.taken + this.failed + this.recovered;
  }

  get failures(): number {
    return this.failed;
  }

  get skips(): number {
    return this.taken;
  }

  /** At the pace so far; undefined while that is not known. */
  get secondsLeft(): number | undefined {
    const ran = this.processed + this.failed + this.recovered;
    if (ran === 0 || !this.isPlanned) return undefined;
    return (((performance.now() - this.begun) / ran) * (this.found - this.done)) / 1000;
  }

  planned(): void {
    this.found += 1;
  }

  ran(state: Outcome['state']): void {
    if (state === 'success') this.processed += 1;
    else if (state === 'failed') this.failed += 1;
    else this.recovered += 1;
  }

  skipped(): void {
    this.taken += 1;
  }

  /** `total`: of the finished map; undefined for a job that did not come so far. */
  counts(total: number | undefined): DatumCounts {
    const { processed, failed, recovered, found } = this;
    const ran = processed + failed + recovered;
    const skipped = total === undefined ? this.taken : total - ran;
    return { total: total ?? found, processed, skipped, failed, recovered };
  }
}
