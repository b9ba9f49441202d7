/**
 * Finds out whether a store keeps the promises that lost updates hang on.
 */
import { randomBytes } from 'node:crypto';
import { isPachError } from '../base/errors.ts';
import type { Store } from './store.ts';

/** Of an object that is no part of a store, and that listings do not show. */
export function probeKey(): string {
  return `.probe/${randomBytes(16).toString('hex')}`;
}

/**
 * True when the store refuses to write over what exists and to replace what has changed. Writes
 * one small object under `.probe/` and removes it; throws what writing throws (`denied`, …).
 */
export async function conditionalWrites(store: Store): Promise<boolean> {
  const key = probeKey();
  const [first, second, third] = ['first', 'second', 'third'].map((text) => Buffer.from(text)) as [
    Buffer,
    Buffer,
    Buffer,
  ];
  try {
    if (!(await store.writeIfAbsent(key, [first]))) return false;
    if (await store.writeIfAbsent(key, [second])) return false;
    const before = await store.readWithToken(key);
    if (!before || !first.equals(before.bytes)) return false;
    if ((await store.writeIfUnchanged(key, second, before.token)) === undefined) return false;
    if ((await store.writeIfUnchanged(key, third, before.token)) !== undefined) return false;
    const after = await store.readWithToken(key);
    return after !== undefined && second.equals(after.bytes);
  } catch (error) {
    if (isPachError(error, 'unsupported')) return false;
    throw error;
  } finally {
    // What cannot be removed does no harm: listings do not show it.
    await store.delete(key).catch(() => undefined);
  }
}
