/**
 * Keys of the live screen, from the bytes that a terminal sends.
 */

export type Key = 'a' | 'f' | 'enter' | 's' | 'd' | 'w' | 'q' | 'up' | 'down' | 'interrupt' | 'suspend';

const escape = '\u001b';

/** What terminals send for a key in one piece: a sequence that begins with ESC, or a character. */
const pieces = new RegExp(`${escape}(?:\\[[0-?]*[ -/]*[@-~]|O.|.)?|.`, 'gsu');

const keys: ReadonlyMap<string, Key> = new Map([
  ...(['a', 'f', 's', 'd', 'w', 'q'] as const).map((key) => [key, key] as const),
  ['\r', 'enter'],
  ['\n', 'enter'],
  ['\u001b[A', 'up'],
  ['\u001bOA', 'up'],
  ['\u001b[B', 'down'],
  ['\u001bOB', 'down'],
  ['\u0003', 'interrupt'],
  ['\u0004', 'q'],
  ['\u001a', 'suspend'],
]);

/** The keys that mean something, in order. Whatever else was typed is left out. */
export function keysOf(typed: string): Key[] {
  return Array.from(typed.matchAll(pieces), ([piece]) => keys.get(piece)).filter((key) => key !== undefined);
}
