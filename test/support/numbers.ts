/**
 * Numbers that a seed decides.
 */

/** Mulberry32: the same numbers for the same seed, from 0 to below 1. */
export function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One of these. */
export function oneOf<T>(next: () => number, items: readonly T[]): T {
  if (items.length === 0) throw new Error('nothing to choose from');
  return items[Math.floor(next() * items.length)] as T;
}
