/**
 * How far a job is: counted datum by datum, and told a few times a second, however fast it goes.
 */
import type { DatumCounts, Outcome } from '../model/records/pipelines.ts';
import type { JobEvent } from './events.ts';

/** Fast enough for who looks at it. */
const progressEveryMs = 100;
const looksEvery = 256;

export class Counting implements Disposable {
  private readonly tell: (event: JobEvent) => void;
  private found = 0;
  private queued = 0;
  private isPlanned = false;
  private processed = 0;
  private taken = 0;
  private failed = 0;
  private recovered = 0;
  private changes = 0;
  private toldAt = -Infinity;
  private timer: NodeJS.Timeout | undefined;

  constructor(tell: (event: JobEvent) => void) {
    this.tell = tell;
  }

  /** A datum that has a result already, of this job or of another one. */
  known(isOwn: boolean, state: Outcome['state']): void {
    this.found += 1;
    if (isOwn) this.ran(state);
    else this.skipped();
  }

  /** A datum that is to run. */
  toRun(): void {
    this.found += 1;
    this.queued += 1;
    this.changed();
  }

  /** There are no more datums than were counted so far. */
  planned(): void {
    this.isPlanned = true;
    this.tell({ kind: 'planned', total: this.found, toRun: this.queued });
    this.changed();
  }

  /** The first one is told at once: it is what somebody waits for who has changed something. */
  ran(state: Outcome['state']): void {
    const isFirst = this.processed + this.failed + this.recovered === 0;
    if (state === 'success') this.processed += 1;
    else if (state === 'failed') this.failed += 1;
    else this.recovered += 1;
    if (isFirst) this.tellNow();
    else this.changed();
  }

  skipped(): void {
    this.taken += 1;
    this.changed();
  }

  /** `total`: of the finished map; undefined for a job that did not come so far. */
  counts(total: number | undefined): DatumCounts {
    const { processed, failed, recovered, found } = this;
    const ran = processed + failed + recovered;
    const skipped = total === undefined ? this.taken : total - ran;
    return { total: total ?? found, processed, skipped, failed, recovered };
  }

  /** Tells the last that is not told yet, and nothing after it. */
  [Symbol.dispose](): void {
    if (this.timer) this.tellNow();
  }

  /** A million datums in a row come here: it looks at the clock for a few of them only. */
  private changed(): void {
    this.changes += 1;
    // No timer runs while datums are counted in a row.
    if (this.timer && this.changes % looksEvery !== 0) return;
    const left = this.toldAt + progressEveryMs - performance.now();
    if (left <= 0) this.tellNow();
    else this.timer ??= setTimeout(() => this.tellNow(), left).unref();
  }

  private tellNow(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.toldAt = performance.now();
    this.tell({ kind: 'progress', counts: this.counts(undefined), isPlanned: this.isPlanned });
  }
}
