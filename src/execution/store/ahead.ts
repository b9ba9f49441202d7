/**
 * How many shards that nobody has taken an engine keeps in the store: more than there are workers that may want one
 * at the same time, since those who find too few try for the same ones.
 */
const shardsMin = 64;
const shardsMax = 1024;

export class ShardsAhead {
  private shards: number;

  /** `workers`: as many as are asked for. */
  constructor(workers: number) {
    this.shards = Math.min(shardsMax, Math.max(shardsMin, workers));
  }

  get max(): number {
    return this.shards;
  }

  /** Grows where workers that look find too few. `stored`: what was there at the last look; `claims` as they are now. */
  grow(stored: readonly string[], claims: ReadonlyMap<string, unknown>, isLengthKnown: boolean): void {
    if (stored.length === 0) return;
    const left = stored.filter((name) => !claims.has(name)).length;
    // While shards are of one datum all of them are taken soon.
    if (left < (isLengthKnown ? this.shards / 2 : 1)) this.shards = Math.min(shardsMax, this.shards * 2);
  }
}
