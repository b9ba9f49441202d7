/**
 * Work that comes at times of day, and says itself when the next time is.
 */

/** Does what is due at `now`. Resolves to when there is more to do; undefined: not before something changes. */
export type TimedWork = (now: number) => Promise<number | undefined>;

export class Timed {
  private readonly work: TimedWork;
  private next = -Infinity;
  private last = -Infinity;

  constructor(work: TimedWork) {
    this.work = work;
  }

  /** What there is to do may have become something else. */
  changed(): void {
    this.next = -Infinity;
  }

  /** Does what is due, where something is: also after the clock was set back. Resolves to when to come again. */
  async at(now: number): Promise<number> {
    if (now >= this.next || now < this.last) {
      const next = await this.work(now);
      this.next = next ?? Infinity;
      this.last = now;
    }
    return this.next;
  }
}
