/**
 * How many transfers to have under way at a time: as few as bring all that the store and the line
 * give. Too few wait for each answer's first byte, or for what a server allows one connection; with
 * too many, what a reader waits for shares the line with what he needs last. Found by trying: from
 * time to time one step more or one less, which stays when it pays (more) or costs nothing (fewer).
 */
const steps = [2, 3, 4, 6, 8, 12, 16];
const stepFirst = 2;
/** More must bring so much more; fewer may bring so much less, which is noise. */
const gain = 1.1;
const loss = 0.97;
/** Transfers for each one at a time, of which a rate is told, and rates between two trials. */
const transfersPerSlot = 2;
const ratesBetween = 4;

export class InFlight {
  private step = stepFirst;
  /** What the trial under way is compared with, and the step that it goes back to. */
  private trial: { readonly rate: number; readonly from: number } | undefined;
  private goesUp = true;
  /** The first trial comes at once: a store that is far away should not have to wait for it. */
  private rates = ratesBetween;
  private readonly now: () => number;
  private begun: number | undefined;
  private bytes = 0;
  private count = 0;

  /** `now`: milliseconds of a clock that only goes forward. */
  constructor(now: () => number = () => performance.now()) {
    this.now = now;
  }

  get limit(): number {
    return steps[this.step] as number;
  }

  /**
   * Notes that a transfer of so many bytes has ended; `isBusy`: more wait than may be under way, so that
   * the limit is what holds them. True when the limit is another one now.
   */
  note(bytes: number, isBusy: boolean): boolean {
    if (!isBusy) {
      this.begun = undefined;
      return this.giveUp();
    }
    if (this.begun === undefined) {
      this.begin();
      return false;
    }
    this.bytes += bytes;
    this.count += 1;
    if (this.count < this.limit * transfersPerSlot) return false;
    const rate = this.bytes / Math.max(1, this.now() - this.begun);
    this.begin();
    return this.judge(rate);
  }

  /** Ends a trial that tells nothing: with so many at a time none waits. */
  private giveUp(): boolean {
    if (!this.trial) return false;
    this.step = this.trial.from;
    this.trial = undefined;
    return true;
  }

  private begin(): void {
    this.begun = this.now();
    this.bytes = 0;
    this.count = 0;
  }

  private judge(rate: number): boolean {
    const before = this.step;
    if (this.trial) {
      const pays = rate >= this.trial.rate * (this.goesUp ? gain : loss);
      if (!pays) this.step = this.trial.from;
      this.trial = undefined;
      // What pays goes on; what did not is tried the other way, later.
      this.rates = pays ? ratesBetween : 0;
      if (!pays) this.goesUp = !this.goesUp;
    }
    this.rates += 1;
    if (this.rates > ratesBetween) this.tryNext(rate);
    return this.step !== before;
  }

  private tryNext(rate: number): void {
    const next = this.step + (this.goesUp ? 1 : -1);
    this.rates = 0;
    if (next < 0 || next >= steps.length) {
      this.goesUp = !this.goesUp;
      return;
    }
    this.trial = { rate, from: this.step };
    this.step = next;
  }
}
