/**
 * A clock that a test moves.
 */
import type { Clock } from '../../src/base/clock.ts';

interface Waiting {
  readonly ms: number;
  readonly go: () => void;
}

export class TestClock implements Clock {
  private ms: number;
  private readonly waiting = new Set<Waiting>();
  private readonly watching = new Set<() => void>();

  /** `start`: milliseconds since 1970, or a time as text. */
  constructor(start: number | string = '2026-03-02T00:00:00Z') {
    this.ms = typeof start === 'number' ? start : Date.parse(start);
  }

  now(): number {
    return this.ms;
  }

  until(ms: number, signal: AbortSignal): Promise<void> {
    if (ms <= this.ms || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const go = (): void => {
        this.waiting.delete(one);
        signal.removeEventListener('abort', go);
        resolve();
      };
      const one = { ms, go };
      this.waiting.add(one);
      signal.addEventListener('abort', go);
      for (const told of this.watching) told();
    });
  }

  /** Sets it, forward or back, and wakes who waits for a time that has come, or when it is set back. */
  set(to: number | string): void {
    const before = this.ms;
    this.ms = typeof to === 'number' ? to : Date.parse(to);
    for (const one of this.waiting) if (one.ms <= this.ms || this.ms < before) one.go();
  }

  /** Moves it on. */
  pass(ms: number): void {
    this.set(this.ms + ms);
  }

  /** Resolves once somebody waits for a time that has not come, to the earliest such time. */
  async waited(): Promise<number> {
    while (this.waiting.size === 0) await this.change();
    return Math.min(...[...this.waiting].map(({ ms }) => ms));
  }

  /** Resolves once somebody waits for a time. */
  async waitedFor(time: number | string): Promise<void> {
    const wanted = typeof time === 'number' ? time : Date.parse(time);
    while (![...this.waiting].some(({ ms }) => ms === wanted)) await this.change();
  }

  /** Resolves when somebody begins to wait. */
  private change(): Promise<void> {
    return new Promise((resolve) => {
      const told = (): void => {
        this.watching.delete(told);
        resolve();
      };
      this.watching.add(told);
    });
  }
}
