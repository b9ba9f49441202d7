/**
 * How many transfers to run at a time. Too few do not fill the line: each waits for its first byte, and
 * a server may limit a connection. With too many, the bytes that a reader waits for share the line with
 * those that are needed last. The number is found by trials, from time to time: one step more, which
 * stays if it brings more bytes, or one step less, which stays if it brings as many.
 */
const steps = [2, 3, 4, 6, 8, 12, 16];
const stepFirst = 2;
/** A step more must raise the rate by this factor. A step less may lower it by this one, which is noise. */
const gain = 1.1;
const loss = 0.97;
/** A rate is measured over this many transfers for each one under way. So many rates lie between two trials. */
const transfersPerSlot = 2;
const ratesBetween = 4;

export class InFlight {
  private step = stepFirst;
  /** Of the trial under way: the rate to compare with, and the step to go back to. */
  private trial: { readonly rate: number; readonly from: number } | undefined;
  private goesUp = true;
  /** Begins so that the first trial comes at once: a store that is far away needs it soon. */
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

  /** Ends a trial without a result: none waits, so the limit has no effect. */
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
      // After a step that pays comes the next one at once; else one the other way, later.
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
