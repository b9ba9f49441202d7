/**
 * Documents that are named by their hash: JSON without blanks, names of objects in ascending order.
 */
import { native } from '../base/native.ts';
import type { Hash } from './refs.ts';

export function canonicalJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(sorted(value)));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, item]) => [name, sorted(item)]));
}

export function hashOf(...parts: readonly Uint8Array[]): Hash {
  return native().hash('plain', ...parts) as Hash;
}
