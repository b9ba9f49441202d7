/**
 * Operating errors: one class with a closed set of codes, mapped once per face
 * (exit code, errno). A broken invariant is an assertion, not one of these.
 */

export type ErrorCode =
  | 'usage' // the request itself is wrong
  | 'not-found'
  | 'conflict' // lost a race, exists already, is in use
  | 'denied' // credentials or rights are missing
  | 'unreachable' // the store did not answer in bounded time
  | 'damaged' // stored bytes are not what they must be
  | 'unsupported' // a newer format, or a store that lacks what we need
  | 'no-space'
  | 'interrupted'
  | 'failed'; // anything else that went wrong outside this program

export interface PachErrorOptions {
  /** The thing that went wrong, as the user names it: `images@master:/a.png`. */
  readonly what: string;
  /** The cause, in words a user understands. */
  readonly why: string;
  /** A command that helps, as a shell takes it (names by `shellWord`), or advice in words. */
  readonly next?: string | undefined;
  /** Another command that helps. */
  readonly or?: string | undefined;
  readonly cause?: unknown;
}

export class PachError extends Error {
  override readonly name = 'PachError';
  readonly code: ErrorCode;
  readonly what: string;
  readonly why: string;
  readonly next: string | undefined;
  readonly or: string | undefined;

  constructor(code: ErrorCode, options: PachErrorOptions) {
    super(`${options.what}: ${options.why}`, { cause: options.cause });
    this.code = code;
    this.what = options.what;
    this.why = options.why;
    this.next = options.next;
    this.or = options.or;
  }
}

/** What a kind of failure means to a user, whatever it is about. */
export interface Meaning {
  readonly code: ErrorCode;
  readonly why: string;
  readonly next?: string | undefined;
}

/** An operating error about `what` with this meaning. */
export function errorWith(what: string, { code, why, next }: Meaning, cause: unknown): PachError {
  return new PachError(code, { what, why, next, cause });
}

/** True when `error` is an operating error with one of `codes` (any code when none is given). */
export function isPachError(error: unknown, ...codes: readonly ErrorCode[]): error is PachError {
  return error instanceof PachError && (codes.length === 0 || codes.includes(error.code));
}

/** Stops on a broken invariant: a defect of this program, never of its input. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}
