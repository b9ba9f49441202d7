/**
 * What a check has found: things that are alike are one finding, with the first addresses that
 * can't be read for it.
 */
import { isPachError, type PachError } from '../../base/errors.ts';

export interface Finding {
  /** An error when a version, or one that is made later, may lack something. */
  readonly severity: 'error' | 'warning' | 'repaired';
  readonly what: string;
  readonly why: string;
  /** Versions, branches and paths in versions (`repo@commit:/path`), the first of them. */
  readonly affects: readonly string[];
  readonly next?: string | undefined;
}

const affectsMax = 20;
const restore = 'restore the object from a copy of the store: pach fsck --repair --from URL';

const missed = 'missed';

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

/** A finding to which more may come, and which may be mended. */
export class Draft {
  private readonly first: Omit<Finding, 'affects'>;
  private readonly addresses = new Map<string, string>();
  /** Things of this kind, and what is wrong with each. */
  private readonly things = new Map<string, string>();
  private mended: string | undefined;

  constructor(first: Omit<Finding, 'affects'>) {
    this.first = first;
  }

  /** Counts one more thing like the first; the same thing only once. */
  count(thing: string, why = this.first.why): void {
    if (!this.things.has(thing)) this.things.set(thing, why);
  }

  affects({ address, path }: Where): void {
    if (this.addresses.size < affectsMax && !this.addresses.has(path)) this.addresses.set(path, address);
  }

  /** One of the things is as it must be again; without a name, all of them are. */
  mend(thing?: string): void {
    if (thing === undefined) this.mended ??= this.why;
    else if (this.things.has(thing)) {
      const { why } = this;
      this.things.delete(thing);
      if (this.things.size === 0) this.mended ??= why;
    }
  }

  get isMended(): boolean {
    return this.mended !== undefined;
  }

  get finding(): Finding {
    const { what, severity, next } = this.first;
    if (this.mended !== undefined) return { severity: 'repaired', what, why: this.mended, affects: [] };
    return {
      severity,
      what,
      why: this.why,
      affects: [...this.addresses.values()],
      ...(next !== undefined && { next }),
    };
  }

  private get why(): string {
    const { things } = this;
    const [why = this.first.why] = things.values();
    return things.size > 1 ? `${why}, and ${things.size - 1} more like it` : why;
  }
}

export class Findings {
  private readonly drafts = new Map<string, Draft>();

  /** All drafts, in the order in which they were begun. */
  get begun(): readonly Draft[] {
    return [...this.drafts.values()];
  }

  /** All of them, in the order in which they were found first. */
  get all(): readonly Finding[] {
    return [...this.drafts.values()].map(({ finding }) => finding);
  }

  /** Something is not what it must be. Alike are those of the same `what` and `why`, or the same `group`. */
  wrong(what: string, why: string, group = why): Draft {
    return this.draft({ severity: 'error', what, why }, group);
  }

  /** One of the things that were found of `what` is as it must be again. */
  mend(what: string, thing: string): void {
    for (const [key, draft] of this.drafts) if (key.startsWith(`${what}\0`)) draft.mend(thing);
  }

  /** An object is not used any more; what is missed because of it stays. */
  replaced(key: string): void {
    for (const [of, draft] of this.drafts) {
      if (of.startsWith(`${key}\0`) && of !== `${key}\0${missed}`) draft.mend();
    }
  }

  /** What lies in an object is not known to any index. */
  missed(key: string, why: string): Draft {
    return this.wrong(key, why, missed);
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
