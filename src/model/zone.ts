/**
 * A time zone: by how much its clocks differ from UTC, and when they are set.
 */
import { PachError } from '../base/errors.ts';

/** From this time on clocks differ from UTC by so many milliseconds. */
export interface Setting {
  readonly at: number;
  readonly offset: number;
}

const secondMs = 1000;
const dayMs = 86_400_000;
/** Clocks are not set twice within this time. */
const strideMs = 7 * dayMs;

export class Zone {
  private readonly format: Intl.DateTimeFormat;

  /** Throws `usage` where there is no zone of that name. */
  constructor(name: string) {
    const numeric = 'numeric';
    try {
      this.format = new Intl.DateTimeFormat('en-US', {
        timeZone: name,
        hourCycle: 'h23',
        year: numeric,
        month: numeric,
        day: numeric,
        hour: numeric,
        minute: numeric,
        second: numeric,
      });
    } catch {
      throw new PachError('usage', { what: `time zone ${JSON.stringify(name)}`, why: 'there is no such time zone' });
    }
  }

  /** What clocks show, less what they show in UTC, in milliseconds. */
  offsetAt(time: number): number {
    const parts = new Map(this.format.formatToParts(time).map(({ type, value }) => [type, Number(value)]));
    const [year = 0, month = 1, ...rest] = (['year', 'month', 'day', 'hour', 'minute', 'second'] as const).map((name) =>
      parts.get(name),
    );
    const [day, hour, minute, second] = rest;
    return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(time / secondMs) * secondMs;
  }

  /** The first setting of the clocks after `after` and not after `until`. Whole seconds. */
  nextSetting(after: number, until: number): Setting | undefined {
    const before = this.offsetAt(after);
    for (let low = after; low < until;) {
      let high = Math.min(low + strideMs, until);
      if (this.offsetAt(high) === before) {
        low = high;
        continue;
      }
      while (high - low > secondMs) {
        const middle = low + Math.floor((high - low) / 2 / secondMs) * secondMs;
        if (this.offsetAt(middle) === before) low = middle;
        else high = middle;
      }
      return { at: high, offset: this.offsetAt(high) };
    }
    return undefined;
  }

  /** The reading at which clocks were set back, where what they show at `time` was shown before that too. */
  setBackBefore(time: number): number | undefined {
    const offset = this.offsetAt(time);
    const before = this.offsetAt(time - dayMs);
    if (before <= offset) return undefined;
    const set = this.nextSetting(time - dayMs, time);
    return set && time + offset < set.at + before ? set.at + before : undefined;
  }
}
