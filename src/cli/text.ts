/**
 * Numbers and times as people read them.
 */
import { PachError } from '../base/errors.ts';

/** Bytes with three digits and a decimal unit: `1.25MB`. */
export function sizeText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value.toFixed(0) : value.toPrecision(3)}${units[unit]}`;
}

/** RFC 3339 without fractions of a second. */
export function timeText(time: string): string {
  return time.replace(/\.\d+Z$/, 'Z');
}

/** How long something takes, roughly: `42 s`, `12 min`, `3 h`. */
export function waitText(seconds: number): string {
  if (seconds < 100) return `${Math.ceil(seconds)} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${Math.ceil(minutes / 60)} h`;
}

/** `a, b or c`. */
export function alternatives(words: readonly string[]): string {
  return words.length > 1 ? `${words.slice(0, -1).join(', ')} or ${words.at(-1)}` : words.join('');
}

export function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Bytes from `256MB`, `1GiB` or `4096`; throws `usage` naming the option. */
export function bytesOf(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kKMGT]?)(i?)B?$/.exec(text);
  if (!match) throw new PachError('usage', { what: `${option} ${text}`, why: 'give a size like 256MB, 1GiB or 4096' });
  const power = ['', 'k', 'm', 'g', 't'].indexOf((match[2] as string).toLowerCase());
  return Math.floor(Number(match[1]) * (match[3] === 'i' ? 1024 : 1000) ** power);
}

const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of a duration such as 90s, 30m, 24h, 7d or 0. Throws `usage` naming the flag. */
export function durationOf(flag: string, text: string): number {
  const [, digits, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  if (text === '0') return 0;
  if (digits === undefined || unit === undefined) {
    throw new PachError('usage', {
      what: `${flag} ${text}`,
      why: 'it takes a number and s, m, h or d',
      next: `for example ${flag} 24h`,
    });
  }
  return Number(digits) * (unitMs[unit] as number);
}

/** 0 to 1, from a text such as `10%`. Throws `usage` naming the flag. */
export function shareOf(flag: string, text: string): number {
  const [, digits] = /^(\d{1,3}(?:\.\d+)?)%$/.exec(text) ?? [];
  if (digits !== undefined && Number(digits) <= 100) return Number(digits) / 100;
  throw new PachError('usage', { what: `${flag} ${text}`, why: 'give 0% to 100%', next: `for example ${flag} 10%` });
}
