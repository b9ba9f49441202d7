/**
 * Bounded concurrency: limits and ordered pipelines. Every queue has a limit.
 */

/** At most `max` holders at a time; others wait in order. */
export class Semaphore {
  private free: number;
  private readonly waiting = new Set<() => void>();

  constructor(max: number) {
    this.free = max;
  }

  /** Runs `work` once a place is free. Throws the reason of `signal` when that is aborted before. */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.free > 0) this.free -= 1;
    else await this.turn(signal);
    try {
      return await work();
    } finally {
      const [next] = this.waiting;
      if (next) next();
      else this.free += 1;
    }
  }

  private turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.waiting.delete(go);
        reject(signal?.reason as Error);
      };
      const go = (): void => {
        this.waiting.delete(go);
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      this.waiting.add(go);
      signal?.addEventListener('abort', leave, { once: true });
    });
  }
}

/**
 * Maps with up to `ahead` calls under way and yields the results in the order of the input.
 * When the consumer stops early or a call fails, the calls still under way are awaited first.
 */
export async function* mapOrdered<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  ahead: number,
  map: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const pending: Promise<R>[] = [];
  try {
    for await (const item of items) {
      const call = map(item);
      call.catch(() => undefined); // observed below, in order
      pending.push(call);
      if (pending.length >= ahead) yield await (pending.shift() as Promise<R>);
    }
    while (pending.length > 0) yield await (pending.shift() as Promise<R>);
  } finally {
    await Promise.allSettled(pending);
  }
}

/** All results, as `Promise.all` gives them; but a failure is told only when none of them is under way any more. */
export async function allEnded<A, B>(work: readonly [Promise<A>, Promise<B>]): Promise<[A, B]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}

/** How long a stream that is always ready may block the event loop, and with it signals to the process. */
const turnMsMax = 20;

/** Of the time that all others took. */
const busyShare = 1 / 2;

/**
 * The same stream, which throws the reason of `signal` soon after that is aborted. A loop over
 * bytes in memory never returns to the event loop by itself, so nothing could abort the signal.
 * Whoever else works meanwhile gets a turn every `turnMs`.
 */
export async function* abortable<T>(
  stream: AsyncIterable<T>,
  signal: AbortSignal | undefined,
  turnMs = turnMsMax,
): AsyncGenerator<T> {
  let turn = performance.now();
  let ms = turnMs;
  for await (const piece of stream) {
    const now = performance.now();
    if (now - turn > ms) {
      await new Promise((resolve) => setImmediate(resolve));
      turn = performance.now();
      // Where others have much to do it has its share, too; but not of the time for which the machine slept.
      ms = Math.max(turnMs, Math.min(turnMsMax, (turn - now) * busyShare));
    }
    signal?.throwIfAborted();
    yield piece;
  }
}

/** Node counts a timer's milliseconds in 31 bits: a longer one would fire at once. */
export const timerMsMax = 2 ** 31 - 1;
