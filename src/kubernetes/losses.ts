/**
 * How soon pods that were lost are replaced: at once, and where that happens again and again while nothing
 * gets done, after pauses that grow, since what ends pods so quickly will end the next ones too.
 */
const pauseMsMin = 1000;
const pauseMsMax = 60_000;
/** So often in a row without a pause. */
const atOnce = 2;

export class Losses {
  private lost = 0;
  private replaced = 0;
  /** How often pods were replaced, with nothing done in between. */
  private inRow = 0;
  private notBefore = -Infinity;

  add(): void {
    this.lost += 1;
  }

  /** Something got done. */
  progress(): void {
    this.inRow = 0;
    this.notBefore = -Infinity;
  }

  /** True while some that were lost are to be replaced later. */
  get isPausing(): boolean {
    return this.due() < this.lost;
  }

  /** Of all that were lost, how many are replaced by now: their replacements are the caller's to make. */
  due(now = performance.now()): number {
    if (this.replaced === this.lost || now < this.notBefore) return this.replaced;
    this.replaced = this.lost;
    this.inRow += 1;
    const pauses = this.inRow - atOnce;
    this.notBefore = pauses < 0 ? -Infinity : now + Math.min(pauseMsMax, pauseMsMin * 2 ** pauses);
    return this.replaced;
  }
}
