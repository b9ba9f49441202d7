/**
 * Recognizes who goes through the entries of a directory in order, and says which entries to fetch
 * ahead. Native threads answer for fetched entries, so JavaScript does not hear of those. The first
 * entry of each group is therefore left to JavaScript: the request for it shows that the reader has
 * come so far, and the next group is fetched while he goes through this one.
 *
 * Example: the request for entry 7 fetches entries 8 to 11 (`turn` is 8, `last` is 11). Native threads
 * answer for 9 to 11. The request for 8 comes to JavaScript, and 12 to 19 are fetched.
 */

/** Of one directory. All but `ahead` are entry ordinals. */
interface Pass {
  /** The last request that was seen. */
  from: number;
  /**
   * A request at or after `turn`, at most `gapMax` past `last`, continues this pass. Entries between
   * `from` and `turn` are being fetched already.
   */
  turn: number;
  last: number;
  /** Entries fetched at once, doubled with each group. */
  ahead: number;
}

/** `count` entries after the ordinal `after` are to be fetched. */
export interface Ahead {
  readonly after: number;
  readonly count: number;
}

const aheadFirst = 4;
/** Entries of another kind, or that are skipped, between two that are read. */
const gapMax = 16;
const passesMax = 64;

export class Walk {
  private readonly aheadMax: number;
  /** By the directory's inode number, the one used last at the end. */
  private readonly passes = new Map<number, Pass>();

  /** `aheadMax`: entries to fetch at once. */
  constructor(aheadMax: number) {
    this.aheadMax = aheadMax;
  }

  /** Notes a request for the entry at `ordinal` of a directory. Returns what to fetch ahead, if anything. */
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

  /**
   * Notes the ordinals, ascending, of the entries that are being fetched for `ahead`. Returns the one to
   * leave to JavaScript; undefined when a later request has begun another group meanwhile.
   */
  fetched(parent: number, ahead: Ahead, ordinals: readonly number[]): number | undefined {
    const pass = this.passes.get(parent);
    const [turn] = ordinals;
    if (turn === undefined || pass?.last !== ahead.after) return undefined;
    Object.assign(pass, { turn, last: ordinals.at(-1) });
    return turn;
  }
}
