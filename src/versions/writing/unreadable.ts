/**
 * Files and folders of a put that can't be read. Either they are left out and the rest is committed, or
 * nothing is committed. Then the rest is still opened, but not read, so that one message names all of them.
 */
import { PachError, type ErrorCode } from '../../base/errors.ts';
import { fullPath, type Place } from '../../base/place.ts';
import { textOfName } from '../../model/paths.ts';

const namesShown = 10;
/** Errors of this process, not of the file: the next file fails too. */
const ofThisProcess = new Set(['EMFILE', 'ENFILE', 'ENOMEM']);

/** A file or folder of this machine can't be read. */
class UnreadableError extends PachError {}

export class Unreadable {
  /** Paths that were left out: all, or the first of them. */
  readonly paths: string[] = [];
  private readonly skips: boolean;
  private readonly tell: (path: string, why: string) => void;
  private count = 0;
  private first: UnreadableError | undefined;

  /** `tell` hears of each thing that is left out. */
  constructor(skips: boolean, tell: (path: string, why: string) => void) {
    this.skips = skips;
    this.tell = tell;
  }

  /** True once nothing will be committed: what is left is only counted. */
  get counts(): boolean {
    return !this.skips && this.count > 0;
  }

  add(error: UnreadableError): void {
    this.count += 1;
    this.first ??= error;
    if (this.skips) this.tell(error.what, error.why);
    if (this.skips || this.count <= namesShown) this.paths.push(error.what);
  }

  /** Throws when something can't be read and was not to be left out. */
  check(): void {
    if (!this.counts || !this.first) return;
    const { first } = this;
    const next = 'the same command with --skip-unreadable commits the rest';
    if (this.count === 1) {
      throw new PachError(first.code, { what: first.what, why: first.why, next, cause: first.cause });
    }
    const more = this.count > this.paths.length ? `, and ${this.count - this.paths.length} more` : '';
    throw new PachError(first.code === 'denied' ? 'denied' : 'failed', {
      what: `${this.count} files or folders`,
      why: `they can't be read, so nothing was committed: ${this.paths.join(', ')}${more}; the first: ${first.why}`,
      next,
      cause: first,
    });
  }
}

/** Leaves out what an error says can't be read, where the options take that. Throws every other error. */
export function leaveOut(
  { unreadable: of }: { readonly unreadable?: Unreadable | undefined },
  error: unknown,
): undefined {
  if (!of || !(error instanceof UnreadableError)) throw error;
  of.add(error);
}

/** A local path as it is shown to people. */
export function shownPath(path: Place): string {
  return textOfName(fullPath(path));
}

/** What went wrong with a source, as an operating error that names it. `error` may be an errno's name. */
export function unreadable(shown: string, error: unknown): unknown {
  const code = typeof error === 'string' ? error : (error as { code?: unknown }).code;
  if (error instanceof PachError || typeof code !== 'string') return error;
  const as = (kind: ErrorCode, why: string): PachError =>
    new (ofThisProcess.has(code) ? PachError : UnreadableError)(kind, { what: shown, why, cause: error });
  switch (code) {
    case 'ENOENT':
      return as('not-found', 'it does not exist (any more)');
    case 'EACCES':
    case 'EPERM':
      return as('denied', 'you have no permission to read it');
    case 'ELOOP':
    case 'ENOTDIR':
      return as('failed', 'its type changed while pach read its folder');
    default:
      return as('failed', `it can't be read (${code})`);
  }
}
