/**
 * How long a caller waits at most for another machine. The caller makes it, and passes it down to
 * every attempt, queue and body. It begins anew whenever enough data has arrived.
 */
import { timerMsMax } from './async.ts';
import { PachError } from './errors.ts';

/** How long a read waits for a store that does not answer, by default. */
export const timeoutMsDefault = 30_000;
/** A read that receives this many bytes within its window gets another window. */
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

  /** Notes bytes that arrived, for the caller itself or for requests before it in a queue. */
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
   * `work` gets is aborted when this returns or throws, so that no request goes on for nobody.
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

/** One error for every abort: making one each time would cost a stack trace. */
const ended = new Error('nobody waits for it any more');
