/**
 * The checks that an examination (`pach doctor`) makes, one after another.
 */
import { PachError } from '../base/errors.ts';

export interface Check {
  /** What was looked at: `conditional writes`. */
  readonly check: string;
  /** `warn`: works, but not well or not all of it. */
  readonly state: 'ok' | 'warn' | 'fail';
  /** What was found, for people. */
  readonly value: string;
  /** What to do about it. */
  readonly advice?: string;
}

/**
 * Carries out a check; an error in it is a failed check. Only `unreachable` is thrown on, since no
 * later check could be carried out either.
 */
export async function checked(
  check: string,
  look: () => Promise<Omit<Check, 'check'> | string>,
  advice?: string,
): Promise<Check> {
  try {
    const found = await look();
    return { check, ...(typeof found === 'string' ? { state: 'ok', value: found } : found) };
  } catch (error) {
    if (!(error instanceof PachError) || error.code === 'unreachable') throw error;
    const next = error.next ?? advice;
    return { check, state: 'fail', value: error.message, ...(next === undefined ? {} : { advice: next }) };
  }
}

/** A check that failed because something is not as it must be. */
export function failed(value: string, advice: string): Omit<Check, 'check'> {
  return { state: 'fail', value, advice };
}

/** A check that found something that works, but not well. */
export function warned(value: string, advice: string): Omit<Check, 'check'> {
  return { state: 'warn', value, advice };
}
