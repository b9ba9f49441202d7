/**
 * Times of cron expressions, also on days on which clocks are set, against a count of every minute.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { isLong } from '../support/long.ts';
import { lastTime, parseSchedule } from '../../src/model/schedule.ts';

const hourMs = 3_600_000;
const minuteMs = 60_000;

/** The times of an expression from one time to another, both RFC 3339. */
function times(expression: string, zone: string, from: string, until: string): string[] {
  const schedule = parseSchedule(expression, zone);
  const found: string[] = [];
  const begun = Date.parse(from);
  for (let time = schedule.next(begun, begun); time !== undefined && time <= Date.parse(until);) {
    found.push(new Date(time).toISOString().replace(':00.000Z', ''));
    time = schedule.next(time, begun);
  }
  return found;
}

test('in a time zone, and through the days on which clocks are set', () => {
  const spring = ['Europe/Berlin', '2026-03-28T12:00:00Z', '2026-03-30T12:00:00Z'] as const;
  const autumn = ['Europe/Berlin', '2026-10-24T12:00:00Z', '2026-10-26T12:00:00Z'] as const;
  // 02:30 does not exist on the 29th: it is 03:00 in summer time instead.
  expect(times('30 2 * * *', ...spring)).toEqual(['2026-03-29T01:00', '2026-03-30T00:30']);
  expect(times('0,30 2 * * *', ...spring)).toEqual(['2026-03-29T01:00', '2026-03-30T00:00', '2026-03-30T00:30']);
  expect(times('0 */2 * * *', ...spring).slice(6, 9)).toEqual([
    '2026-03-29T01:00',
    '2026-03-29T02:00',
    '2026-03-29T04:00',
  ]);
  // It comes twice on the 25th of October.
  expect(times('30 2 * * *', ...autumn)).toEqual(['2026-10-25T00:30', '2026-10-26T01:30']);
  expect(times('*/30 2 * * *', ...autumn).slice(0, 3)).toEqual([
    '2026-10-25T00:00',
    '2026-10-25T00:30',
    '2026-10-26T01:00',
  ]);
  // Also for who asks when it comes the second time.
  expect(times('30 2 * * *', 'Europe/Berlin', '2026-10-25T01:10:00Z', '2026-10-26T12:00:00Z')).toEqual([
    '2026-10-26T01:30',
  ]);
  expect(times('30 2,3 * * *', 'Europe/Berlin', '2026-10-25T01:10:00Z', '2026-10-25T12:00:00Z')).toEqual([
    '2026-10-25T02:30',
  ]);
  // What happens in every hour goes by the hours that pass.
  expect(times('30 * * * *', 'Europe/Berlin', '2026-03-28T23:45:00Z', '2026-03-29T02:45:00Z')).toEqual([
    '2026-03-29T00:30',
    '2026-03-29T01:30',
    '2026-03-29T02:30',
  ]);
  expect(times('30 * * * *', 'Europe/Berlin', '2026-10-24T23:45:00Z', '2026-10-25T02:45:00Z')).toEqual([
    '2026-10-25T00:30',
    '2026-10-25T01:30',
    '2026-10-25T02:30',
  ]);
  // Clocks that are set by half an hour; at midnight, which does not exist; and a day that a country left out.
  expect(times('0 2 * * *', 'Australia/Lord_Howe', '2026-10-03T00:00:00Z', '2026-10-04T00:00:00Z')).toEqual([
    '2026-10-03T15:30',
  ]);
  expect(times('@daily', 'Africa/Cairo', '2026-04-23T00:00:00Z', '2026-04-24T23:00:00Z')).toEqual([
    '2026-04-23T22:00',
    '2026-04-24T21:00',
  ]);
  expect(times('0 12 30 12 *', 'Pacific/Apia', '2011-12-29T00:00:00Z', '2012-01-01T00:00:00Z')).toEqual([
    '2011-12-30T10:00',
  ]);
  // An expression may name its own zone, as in Pachyderm.
  expect(times('CRON_TZ=Asia/Tokyo 0 6 * * *', 'UTC', '2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z')).toEqual([
    '2026-01-01T21:00',
  ]);
});

test('periods are counted from when they begin; never is never', () => {
  const begun = Date.parse('2026-01-01T00:00:07.900Z');
  const every = parseSchedule('@every 1h30m', 'UTC');
  expect(every.next(begun, begun)).toBe(Date.parse('2026-01-01T01:30:07Z'));
  expect(every.next(begun - hourMs, begun)).toBe(Date.parse('2026-01-01T01:30:07Z'));
  expect(every.next(Date.parse('2026-01-01T03:00:07Z'), begun)).toBe(Date.parse('2026-01-01T04:30:07Z'));
  expect(parseSchedule('@never', 'UTC').next(begun, begun)).toBeUndefined();
  expect(times('0 0 29 2 *', 'UTC', '2026-01-01T00:00:00Z', '2033-01-01T00:00:00Z')).toEqual([
    '2028-02-29T00:00',
    '2032-02-29T00:00',
  ]);
});

test('the last time before another is found without going through all before it', () => {
  const until = Date.parse('2026-06-01T10:20:30Z');
  const last = (expression: string, after = 0): string => {
    const schedule = parseSchedule(expression, 'UTC');
    const time = lastTime(schedule, { after, until, begun: 0 });
    return time === undefined ? 'none' : new Date(time).toISOString();
  };
  expect(last('* * * * *')).toBe('2026-06-01T10:20:00.000Z');
  expect(last('@every 1s')).toBe('2026-06-01T10:20:30.000Z');
  expect(last('@yearly')).toBe('2026-01-01T00:00:00.000Z');
  expect(last('0 0 29 2 *')).toBe('2024-02-29T00:00:00.000Z');
  expect(last('@yearly', Date.parse('2026-01-01T00:00:00Z'))).toBe('none');
  expect(last('@never')).toBe('none');
});

test.each([
  ['61 * * * *', 'it is no cron expression: invalid value for minute: 61'],
  ['* * *', 'it has 3 fields, and must have five: minute, hour, day of the month, month, day of the week; or be'],
  ['* * * * * *', 'it has 6 fields'],
  ['', 'it has nothing'],
  ['0 0 30 2 *', 'it never happens'],
  ['0 0 31 4,6,9,11 *', 'it never happens'],
  ['*/0 * * * *', 'illegal stepping: 0'],
  ['5-1 * * * *', "from value is larger than to value: '5-1'"],
  ['* * * foo *', 'configuration entry 4 (foo) contains illegal characters'],
  ['@reboot', 'there is no such name'],
  ['@evry 10m', 'there is no such name'],
  ['@every', 'it needs a time such as @every 10m'],
  ['@every ten minutes', 'it needs a time such as @every 10m'],
  ['@every 500ms', 'the time must be whole seconds'],
  ['@every 0s', 'it needs a time'],
])('%j is refused', (expression, why) => {
  expect(() => parseSchedule(expression, 'UTC')).toThrow(why);
});

test('a zone that does not exist is refused', () => {
  expect(() => parseSchedule('@daily', 'Europe/Berlinn')).toThrow('there is no such time zone');
  expect(() => parseSchedule('TZ=Nowhere @daily', 'UTC')).toThrow('there is no such time zone');
});

const zones = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Australia/Lord_Howe',
  'Africa/Cairo',
  'Asia/Kathmandu',
  'America/Santiago',
];

/** A field: its text and the numbers that it means. */
function field(
  min: number,
  max: number,
): fc.Arbitrary<{ text: string; has: (value: number) => boolean; isStar: boolean }> {
  const number = fc.integer({ min, max });
  return fc.oneof(
    { weight: 3, arbitrary: fc.constant({ text: '*', has: () => true, isStar: true }) },
    {
      weight: 2,
      arbitrary: fc.uniqueArray(number, { minLength: 1, maxLength: 3 }).map((values) => {
        return { text: values.join(','), has: (value: number) => values.includes(value), isStar: false };
      }),
    },
    fc.tuple(number, number).map(([a, b]) => {
      const [low, high] = a < b ? [a, b] : [b, a];
      return { text: `${low}-${high}`, has: (value: number) => value >= low && value <= high, isStar: false };
    }),
    fc.integer({ min: 2, max: Math.max(2, Math.floor(max / 2)) }).map((step) => {
      return { text: `*/${step}`, has: (value: number) => (value - min) % step === 0, isStar: false };
    }),
  );
}

test('the same times as by a look at every minute of a few days', () => {
  const format = new Map(
    zones.map((timeZone) => [
      timeZone,
      new Intl.DateTimeFormat('en-GB', { timeZone, dateStyle: 'short', timeStyle: 'short' }),
    ]),
  );
  const readingAt = (zone: string, time: number): number => {
    const [, day, month, year, hour, minute] =
      /(\d+)\/(\d+)\/(\d+), (\d+):(\d+)/.exec(format.get(zone)?.format(time) ?? '') ?? [];
    return Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute));
  };
  const days = [
    '2026-03-29',
    '2026-10-25',
    '2026-03-08',
    '2026-11-01',
    '2026-04-05',
    '2026-10-04',
    '2026-04-24',
    '2026-09-06',
    '2026-06-15',
  ];
  const fields = fc.tuple(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6));
  fc.assert(
    fc.property(
      fields,
      fc.constantFrom(...zones),
      fc.constantFrom(...days),
      ([minute, hour, day, month, weekday], zone, date) => {
        const expression = [minute, hour, day, month, weekday].map(({ text }) => text).join(' ');
        let schedule;
        try {
          schedule = parseSchedule(expression, zone);
        } catch {
          return; // it never happens
        }
        const means = (reading: number): boolean => {
          const at = new Date(reading);
          const isDay = day.has(at.getUTCDate());
          const isWeekday = weekday.has(at.getUTCDay());
          const fits = day.isStar || weekday.isStar ? isDay && isWeekday : isDay || isWeekday;
          return (
            fits && minute.has(at.getUTCMinutes()) && hour.has(at.getUTCHours()) && month.has(at.getUTCMonth() + 1)
          );
        };
        const isHourly = Array.from({ length: 24 }, (_, each) => each).every((each) => hour.has(each));
        const start = Date.parse(`${date}T00:00:00Z`) - 18 * hourMs;
        const end = start + 60 * hourMs;
        const expected: number[] = [];
        // The latest reading that was shown so far: what it shows again is a repetition.
        let shown = readingAt(zone, start);
        for (let time = start + minuteMs; time <= end; time += minuteMs) {
          const reading = readingAt(zone, time);
          let happens = means(reading) && (isHourly || reading > shown);
          // Readings that were left out count at the first one after them.
          if (!isHourly) for (let left = shown + minuteMs; left < reading; left += minuteMs) happens ||= means(left);
          if (happens) expected.push(time);
          shown = Math.max(shown, reading);
        }
        const found: number[] = [];
        for (
          let time = schedule.next(start, start);
          time !== undefined && time <= end;
          time = schedule.next(time, start)
        )
          found.push(time);
        expect(
          found.map((time) => new Date(time).toISOString()),
          `${expression} in ${zone}`,
        ).toEqual(expected.map((time) => new Date(time).toISOString()));
      },
    ),
    { numRuns: isLong ? 1000 : 20 },
  );
});
