/**
 * The time that somebody waits at most for another machine. It is made where the waiting begins, and
 * every attempt, queue and body below hears it. Data that really moves renews it.
 */
import { timerMsMax } from './async.ts';
import { PachError } from './errors.ts';

/** How long a read waits for a store that does not answer, where nobody says otherwise. */
export const timeoutMsDefault = 30_000;
/** A read that gets so many bytes within its time has as much time again. */
const movedBytesMin = 64 * 1024;

interface Clock {
  readonly windowMs: number;
  endMs: number;
  /** Bytes that came since the window began. */
  bytes: number;
  isOver: boolean;
}

export class Deadline {
  private readonly clock: Clock;
  private readonly stop: AbortSignal | undefined;

  constructor(windowMs: number = timeoutMsDefault) {
    this.clock = { windowMs, endMs: performance.now() + windowMs, bytes: 0, isOver: false };
  }

  /** The same deadline; what runs under it ends also when `stop` is aborted. */
  under(stop: AbortSignal | undefined): Deadline {
    return Object.assign(Object.create(Deadline.prototype) as Deadline, { clock: this.clock, stop });
  }

  /** Notes bytes that came for who waits, or for those before him in a queue. */
  moved(bytes: number): void {
    this.clock.bytes += bytes;
  }

  /** Milliseconds until it is over; 0 from then on. */
  get leftMs(): number {
    const { clock } = this;
    const now = performance.now();
    if (now >= clock.endMs && !clock.isOver) {
      clock.isOver = clock.bytes < movedBytesMin;
      clock.endMs = now + clock.windowMs;
      clock.bytes = 0;
    }
    return clock.isOver ? 0 : clock.endMs - now;
  }

  get isOver(): boolean {
    return this.leftMs === 0;
  }

  /**
   * The result of `work`. Throws `unreachable` of `what` when the deadline is over first. The signal that
   * `work` gets is aborted at the end, however that comes: nothing goes on that nobody waits for.
   */
  async run<T>(what: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.isOver) throw this.error(what);
    const { stop } = this;
    const scope = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    let end: () => void = () => undefined;
    const over = new Promise<never>((_, reject) => {
      end = () => reject(this.error(what));
      const look = (): void => {
        if (this.isOver) end();
        else timer = setTimeout(look, Math.min(timerMsMax, Math.ceil(this.leftMs)));
      };
      look();
    });
    stop?.addEventListener('abort', end, { once: true });
    try {
      return await Promise.race([work(scope.signal), over]);
    } finally {
      clearTimeout(timer);
      stop?.removeEventListener('abort', end);
      scope.abort(ended);
    }
  }

  private error(what: string): PachError {
    const why = `no answer came within ${this.clock.windowMs / 1000} s`;
    return new PachError('unreachable', { what, why, next: 'check the network, and the server that keeps the store' });
  }
}

/** One for all: a reason made at each abort would cost its stack. */
const ended = new Error('nobody waits for it any more');
