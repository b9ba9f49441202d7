/**
 * Sees who goes through the names of a folder in their order (from one folder below it to the next,
 * or from one small file to the next), and says how many of those that follow to fetch.
 */

interface Pass {
  /** Ordinals: where the last fetching ahead began, and the last one that was fetched or come to. */
  from: number;
  last: number;
  ahead: number;
}

const aheadFirst = 4;
const aheadMax = 64;
/** Between two of a kind may lie so many other names. */
const gapMax = 16;
const passesMax = 64;

export class Walk {
  /** By the parent's inode, the newest last. */
  private readonly passes = new Map<number, Pass>();

  /** Notes that somebody has come to the name at `ordinal` of a parent. How many to fetch of those after it. */
  enter(parent: number, ordinal: number): number {
    const pass = this.passes.get(parent);
    // It is on its way already.
    if (pass && ordinal > pass.from && ordinal <= pass.last) return 0;
    const goesOn = pass && ordinal > pass.last && ordinal <= pass.last + gapMax;
    const ahead = goesOn ? Math.min(aheadMax, pass.ahead * 2) : aheadFirst / 2;
    this.passes.delete(parent);
    this.passes.set(parent, { from: ordinal, last: ordinal, ahead });
    const [oldest] = this.passes.keys();
    if (this.passes.size > passesMax && oldest !== undefined) this.passes.delete(oldest);
    return goesOn ? ahead : 0;
  }

  /** Notes up to which ordinal they were fetched. */
  fetched(parent: number, ordinal: number): void {
    const pass = this.passes.get(parent);
    if (pass) pass.last = Math.max(pass.last, ordinal);
  }
}
