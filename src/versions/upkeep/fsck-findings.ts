/**
 * What a check has found: things that are alike are one finding, with the first addresses that
 * can't be read for it.
 */
import { isPachError, type PachError } from '../../base/errors.ts';

export interface Finding {
  /** An error when a version, or one that is made later, may lack something. */
  readonly severity: 'error' | 'warning';
  readonly what: string;
  readonly why: string;
  /** Versions, branches and paths in versions (`repo@commit:/path`), the first of them. */
  readonly affects: readonly string[];
  readonly next?: string | undefined;
}

const affectsMax = 20;
const restore = 'restore the object from a copy of the store';

/** A path in a version, or something else that has a name. */
export interface Where {
  readonly address: string;
  /** The same for one path in all versions of a repo: only the first of them is told. */
  readonly path: string;
}

/** Something that can be read by its name alone. */
export function named(address: string): Where {
  return { address, path: address };
}

/** A finding to which more may come. */
export class Draft {
  private readonly first: Omit<Finding, 'affects'>;
  private readonly addresses = new Map<string, string>();
  private readonly more = new Set<string>();

  constructor(first: Omit<Finding, 'affects'>) {
    this.first = first;
  }

  /** Counts one more thing like the first; the same thing only once. */
  count(thing: string): void {
    this.more.add(thing);
  }

  affects({ address, path }: Where): void {
    if (this.addresses.size < affectsMax && !this.addresses.has(path)) this.addresses.set(path, address);
  }

  get finding(): Finding {
    const { why, ...first } = this.first;
    const others = this.more.size > 1 ? `, and ${this.more.size - 1} more like it` : '';
    return { ...first, why: `${why}${others}`, affects: [...this.addresses.values()] };
  }
}

export class Findings {
  private readonly drafts = new Map<string, Draft>();

  /** All of them, in the order in which they were found first. */
  get all(): readonly Finding[] {
    return [...this.drafts.values()].map(({ finding }) => finding);
  }

  /** Something is not what it must be. Alike are those of the same `what` and `why`, or the same `group`. */
  wrong(what: string, why: string, group = why): Draft {
    return this.draft({ severity: 'error', what, why }, group);
  }

  /** An object of the store is not there, or not what was stored. */
  lost(key: string, why: string, group = why): Draft {
    return this.draft({ severity: 'error', what: key, why, next: restore }, group);
  }

  warn(what: string, why: string): Draft {
    return this.draft({ severity: 'warning', what, why }, why);
  }

  /** An error of reading; thrown again when it says nothing about what is stored. */
  error(error: unknown): Draft {
    if (!isPachError(error, 'damaged', 'unsupported', 'not-found')) throw error;
    const { what, why, next }: PachError = error;
    return this.draft({ severity: 'error', what, why, ...(next !== 'pach fsck' && { next }) }, why);
  }

  private draft(first: Omit<Finding, 'affects'>, group: string): Draft {
    const key = `${first.what}\0${group}`;
    const draft = this.drafts.get(key) ?? new Draft(first);
    this.drafts.set(key, draft);
    return draft;
  }
}
