/**
 * What a key may be: a relative path of plain segments, valid as a file name on every system and
 * as an S3 key that needs no escaping.
 */
import { assert } from '../base/errors.ts';

const keyBytesMax = 768;
const segment = /^[A-Za-z0-9._-]{1,200}$/;

/** First segments that a folder uses for itself. */
const reserved: ReadonlySet<string> = new Set(['.tmp', '.lock']);

/** Keys are made by this program, never taken from input as they are: a bad one is a defect. */
export function checkKey(key: string): void {
  const segments = key.split('/');
  const valid =
    key.length <= keyBytesMax &&
    segments.every((name) => segment.test(name) && name !== '.' && name !== '..') &&
    !reserved.has(segments[0] ?? '');
  assert(valid, `a key of a store: ${JSON.stringify(key)}`);
}

/** A prefix is the beginning of a key, so it may be empty or end within a segment. */
export function checkPrefix(prefix: string): void {
  if (prefix !== '') checkKey(prefix.endsWith('/') ? `${prefix}x` : prefix);
}

/**
 * Whether a listing of `prefix` shows `key`. As in a shell, what begins with a dot (probes, what
 * desktops leave in folders) shows only when asked for.
 */
export function isListed(key: string, prefix: string): boolean {
  return key.startsWith(prefix) && (!key.startsWith('.') || prefix.startsWith('.'));
}

/** Mutable objects are small; a larger one is not what it should be and is not read into memory. */
export const smallObjectBytesMax = 64 * 1024 * 1024;
