/**
 * Sees who goes through the names of a folder in their order (from one folder below it to the next,
 * or from one small file to the next), and says which of those that follow to fetch. Native threads
 * answer for what was fetched, so the first name of it is left to be asked for here: who comes to it
 * has the next ones fetched while he goes on.
 */

interface Pass {
  /** Ordinals: who comes to one from `turn` on, and not far behind `last`, goes on; up to there it is on its way. */
  from: number;
  turn: number;
  last: number;
  ahead: number;
}

/** So many names after that ordinal are to be fetched. */
export interface Ahead {
  readonly after: number;
  readonly count: number;
}

const aheadFirst = 4;
/** Between two of a kind may lie so many other names. */
const gapMax = 16;
const passesMax = 64;

export class Walk {
  private readonly aheadMax: number;
  /** By the parent's inode, the newest last. */
  private readonly passes = new Map<number, Pass>();

  /** At most so many are fetched at a time. */
  constructor(aheadMax: number) {
    this.aheadMax = aheadMax;
  }

  /** Notes that somebody has come to the name at `ordinal` of a parent. What to fetch then, if anything. */
  enter(parent: number, ordinal: number): Ahead | undefined {
    const pass = this.passes.get(parent);
    if (pass && ordinal > pass.from && ordinal < pass.turn) return undefined;
    const goesOn = pass && ordinal >= pass.turn && ordinal <= pass.last + gapMax;
    const count = goesOn ? Math.min(this.aheadMax, pass.ahead * 2) : aheadFirst / 2;
    const last = goesOn ? Math.max(ordinal, pass.last) : ordinal;
    this.passes.delete(parent);
    this.passes.set(parent, { from: ordinal, turn: last + 1, last, ahead: count });
    const [oldest] = this.passes.keys();
    if (this.passes.size > passesMax && oldest !== undefined) this.passes.delete(oldest);
    return goesOn ? { after: last, count } : undefined;
  }

  /** Notes which names, ascending, are fetched for `ahead`. The one that is to be asked for, unless somebody has gone on. */
  fetched(parent: number, ahead: Ahead, ordinals: readonly number[]): number | undefined {
    const pass = this.passes.get(parent);
    const [turn] = ordinals;
    if (turn === undefined || pass?.last !== ahead.after) return undefined;
    Object.assign(pass, { turn, last: ordinals.at(-1) });
    return turn;
  }
}
