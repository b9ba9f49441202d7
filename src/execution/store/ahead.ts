/**
 * How many shards that nobody has taken an engine keeps in the store: more than there are workers that may want one
 * at the same time, since those who find too few try for the same ones. Where workers take more than it can write,
 * shards become longer.
 */
const shardsMin = 64;
const shardsMax = 1024;
const longerMax = 64;

export class ShardsAhead {
  private shards: number;
  private times = 1;

  /** `workers`: as many as are asked for. */
  constructor(workers: number) {
    this.shards = Math.min(shardsMax, Math.max(shardsMin, workers));
  }

  get max(): number {
    return this.shards;
  }

  /** So many times longer than they would be otherwise. */
  get longer(): number {
    return this.times;
  }

  /** Grows where workers that look find too few. `stored`: what was there at the last look; `claims` as they are now. */
  grow(stored: readonly string[], claims: ReadonlyMap<string, unknown>, isLengthKnown: boolean): void {
    if (stored.length === 0) return;
    const left = stored.filter((name) => !claims.has(name)).length;
    if (left >= this.shards / 2) this.times = Math.max(1, this.times / 2);
    else if (left < this.shards / 8 && (isLengthKnown || this.shards === shardsMax)) {
      this.times = Math.min(longerMax, this.times * 2);
    }
    // While shards are of one datum all of them are taken soon.
    if (left < (isLengthKnown ? this.shards / 2 : 1)) this.shards = Math.min(shardsMax, this.shards * 2);
  }
}
