/**
 * Who may use a worker, where several pipelines run at a time: so many workers in all, shared fairly. A
 * free turn goes to the pipeline that has the fewest, and of several such to the one that has waited
 * longest. Whoever has had a turn for a while gives it up between two datums, if another pipeline waits.
 */

export interface Turn extends Disposable {
  /** Others may come to need it: it is held only while there is a datum. */
  readonly isShared: boolean;
  /** True when it has lasted `ms` and another pipeline waits: it is to be given up as soon as that is possible. */
  isOver(ms: number): boolean;
}

interface Waiting {
  readonly pipeline: string;
  readonly go: () => void;
}

export class Turns {
  private readonly max: number;
  /** By pipeline, those that have any. */
  private readonly held = new Map<string, number>();
  private count = 0;
  /** In the order in which they came. */
  private readonly waiting = new Set<Waiting>();

  /** `max`: Infinity where one pipeline runs at a time. */
  constructor(max: number) {
    this.max = max;
  }

  /** Throws the reason of `signal` when that is aborted before. */
  async take(pipeline: string, signal: AbortSignal): Promise<Turn> {
    signal.throwIfAborted();
    if (this.count < this.max) this.hold(pipeline);
    else await this.wait(pipeline, signal);
    const begun = performance.now();
    let isHeld = true;
    return {
      isShared: this.max !== Infinity,
      isOver: (ms) => performance.now() - begun >= ms && this.isWanted(pipeline),
      [Symbol.dispose]: () => {
        if (isHeld) this.release(pipeline);
        isHeld = false;
      },
    };
  }

  private isWanted(pipeline: string): boolean {
    for (const other of this.waiting) if (other.pipeline !== pipeline) return true;
    return false;
  }

  private wait(pipeline: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const one: Waiting = {
        pipeline,
        go: () => {
          this.waiting.delete(one);
          signal.removeEventListener('abort', leave);
          this.hold(pipeline);
          resolve();
        },
      };
      const leave = (): void => {
        this.waiting.delete(one);
        reject(signal.reason as Error);
      };
      this.waiting.add(one);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  private hold(pipeline: string): void {
    this.count += 1;
    this.held.set(pipeline, (this.held.get(pipeline) ?? 0) + 1);
  }

  private release(pipeline: string): void {
    this.count -= 1;
    const left = (this.held.get(pipeline) ?? 0) - 1;
    if (left > 0) this.held.set(pipeline, left);
    else this.held.delete(pipeline);
    let next: Waiting | undefined;
    let least = Infinity;
    for (const one of this.waiting) {
      const has = this.held.get(one.pipeline) ?? 0;
      if (has < least) [next, least] = [one, has];
    }
    next?.go();
  }
}
