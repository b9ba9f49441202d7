/**
 * Sees who goes from one folder to the next below a folder, and says which come soon.
 */

interface Pass {
  /** Ordinal of the last folder that was entered or fetched ahead. */
  last: number;
  ahead: number;
}

const aheadFirst = 4;
const aheadMax = 64;
/** Between two folders may lie so many other names. */
const gapMax = 16;
const passesMax = 64;

export class Walk {
  /** By the parent's inode, the newest last. */
  private readonly passes = new Map<number, Pass>();

  /** Notes that the folder at `ordinal` of a parent was entered. How many to fetch of those after it. */
  enter(parent: number, ordinal: number): number {
    const pass = this.passes.get(parent);
    this.passes.delete(parent);
    const goesOn = pass && ordinal > pass.last && ordinal <= pass.last + gapMax;
    const ahead = goesOn ? Math.min(aheadMax, pass.ahead * 2) : aheadFirst / 2;
    this.passes.set(parent, { last: ordinal, ahead });
    const [oldest] = this.passes.keys();
    if (this.passes.size > passesMax && oldest !== undefined) this.passes.delete(oldest);
    return goesOn ? ahead : 0;
  }

  /** Notes up to which ordinal folders were fetched. */
  fetched(parent: number, ordinal: number): void {
    const pass = this.passes.get(parent);
    if (pass) pass.last = Math.max(pass.last, ordinal);
  }
}
