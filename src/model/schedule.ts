/**
 * Times at which something happens again and again: a cron expression of five fields in a time zone,
 * or a period (`@every 10m`). Pure, as globs are: who asks brings the time along.
 *
 * Days on which clocks are set are as people expect. A time that does not exist happens when the clock
 * has been set, a time that comes twice happens once, and what happens in every hour does so in both.
 */
import { Cron, CronPattern } from 'croner';
import { PachError } from '../base/errors.ts';
import { durationMsOf } from './units.ts';
import { Zone } from './zone.ts';

/** All times are milliseconds since 1970, and whole seconds. */
export interface Schedule {
  /** The first time after another; undefined: there is none. Periods are counted from `begun`. */
  next(after: number, begun: number): number | undefined;
}

const secondMs = 1000;
/** Common in crontabs; the reader knows no other names than these but `@reboot`. */
const names = '@yearly, @monthly, @weekly, @daily, @hourly, @every 10m or @never';
const fieldNames = 'minute, hour, day of the month, month, day of the week';

/** Throws `usage` for what is no expression, never happens, or names no time zone. */
export function parseSchedule(expression: string, timeZone: string): Schedule {
  const [, own, text = ''] = /^(?:(?:CRON_)?TZ=(\S*)\s+)?(.*)$/s.exec(expression.trim()) ?? [];
  if (text === '@never') return { next: () => undefined };
  const zone = new Zone(own ?? timeZone);
  const period = /^@every(?:\s+(.*))?$/s.exec(text);
  if (period) return everyOf(expression, period[1] ?? '');
  if (text.startsWith('@') && !/^@(?:yearly|annually|monthly|weekly|daily|midnight|hourly)$/.test(text)) {
    throw wrong(expression, `there is no such name: write five fields, or ${names}`);
  }
  const fields = text.split(/\s+/).length;
  if (!text.startsWith('@') && fields !== 5) {
    const has = text === '' ? 'nothing' : `${fields} field${fields === 1 ? '' : 's'}`;
    throw wrong(expression, `it has ${has}, and must have five: ${fieldNames}; or be ${names}`);
  }
  const schedule = new CronSchedule(text.replaceAll('?', '*'), zone, expression);
  return schedule;
}

/** The last time after `after` that is not after `until`. */
export function lastTime(
  schedule: Schedule,
  { after, until, begun }: { readonly after: number; readonly until: number; readonly begun: number },
): number | undefined {
  // Looks back twice as far each time, so that what lies before the last ones is not gone through.
  for (let back = secondMs; ; back *= 2) {
    const from = Math.max(after, until - back);
    let last: number | undefined;
    for (let time = schedule.next(from, begun); time !== undefined && time <= until;) {
      last = time;
      time = schedule.next(time, begun);
    }
    if (last !== undefined || from === after) return last;
  }
}

function everyOf(expression: string, text: string): Schedule {
  const periodMs = durationMsOf(text.trim());
  if (periodMs === undefined) throw wrong(expression, 'it needs a time such as @every 10m or @every 1h30m');
  if (periodMs % secondMs !== 0) throw wrong(expression, 'the time must be whole seconds');
  return {
    next(after, begun) {
      const start = Math.floor(begun / secondMs) * secondMs;
      return start + Math.max(1, Math.floor((after - start) / periodMs) + 1) * periodMs;
    },
  };
}

class CronSchedule implements Schedule {
  /** Of wall clocks, whose readings it takes for times in UTC. */
  private readonly cron: Cron;
  private readonly zone: Zone;
  private readonly isHourly: boolean;
  /** The answer for all that lies between the two: searching it takes a while. */
  private known: { readonly after: number; readonly next: number } | undefined;

  constructor(text: string, zone: Zone, expression: string) {
    this.zone = zone;
    // As in Pachyderm, `5/15` is 5, 20, 35 and 50.
    const options = { mode: '5-part', timezone: 'UTC', paused: true, sloppyRanges: true } as const;
    try {
      this.cron = new Cron(text, options);
      this.isHourly = new CronPattern(text, 'UTC', options).hour.every(Boolean);
    } catch (error) {
      throw wrong(expression, reasonOf(error));
    }
    // A leap day comes within eight years.
    if (this.reading(0) === undefined) throw wrong(expression, 'it never happens: no month of it has such a day');
  }

  next(after: number): number | undefined {
    const { known } = this;
    if (known && known.after <= after && after < known.next) return known.next;
    const next = this.search(Math.floor(after / secondMs) * secondMs);
    if (next !== undefined) this.known = { after, next };
    return next;
  }

  /** Goes from one setting of the clocks to the next: in between, readings and times differ by the offset. */
  private search(after: number): number | undefined {
    const { zone, isHourly } = this;
    let start = after;
    let offset = zone.offsetAt(start);
    let from = start + offset;
    // Readings that come a second time just now.
    const repeated = isHourly ? undefined : zone.setBackBefore(start);
    if (repeated !== undefined) from = Math.max(from, repeated - secondMs);
    for (;;) {
      const reading = this.reading(from);
      if (reading === undefined) return undefined;
      const set = zone.nextSetting(start, reading - offset);
      if (!set) return reading - offset;
      const { at, offset: now } = set;
      if (now > offset && !isHourly && reading < at + now) return at;
      from = at + (isHourly ? now : Math.max(now, offset)) - secondMs;
      start = at;
      offset = now;
    }
  }

  /** The next reading of the wall clock that is meant. */
  private reading(after: number): number | undefined {
    return this.cron.nextRun(new Date(after))?.getTime();
  }
}

/** What the reader says, without its name. */
function reasonOf(error: unknown): string {
  const reason = (error instanceof Error ? error.message : '').replace(/^CronPattern: (?:Syntax error, )?/, '');
  return `it is no cron expression: ${reason.charAt(0).toLowerCase()}${reason.slice(1).replace(/\.$/, '')}`;
}

function wrong(expression: string, why: string): PachError {
  return new PachError('usage', { what: `the cron expression ${JSON.stringify(expression)}`, why });
}
