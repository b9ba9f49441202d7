/**
 * A stream from a server that resumes where it broke off. Bytes that were yielded can't be taken back,
 * so `open` must throw when the rest would be of another version.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isPachError, PachError } from '../base/errors.ts';

/** One answer of a server: the bytes from an offset on. */
interface Part {
  /** Of the whole, in bytes; undefined when the server does not say. */
  readonly size: number | undefined;
  readonly body: AsyncIterable<Uint8Array>;
}

interface ResumeOptions<T extends Part> {
  /** How errors name the source. */
  readonly shown: string;
  readonly signal: AbortSignal;
  /**
   * Opens it from an offset; `first` is what the first call gave. Throws `unreachable` for what
   * may pass, here and while the body is read.
   */
  readonly open: (offset: number, first: T | undefined) => Promise<T>;
  /** Pause after the first failure in milliseconds; doubles each time, to 5 s at most. */
  readonly delayMs?: number | undefined;
}

/** Before the server has answered at all: then the address is likely wrong. */
const firstTriesMax = 5;
/** Failures in a row without progress. */
const triesMax = 8;
/** Fewer bytes are no progress: a connection that breaks after each byte must fail in the end. */
const progressBytes = 64 * 1024;
const delayMsDefault = 200;
const delayMsMax = 5_000;

/** Counts failures, and waits between tries. */
class Retries {
  private readonly signal: AbortSignal;
  private readonly delayMs: number;
  private failures = 0;
  private triesMax = firstTriesMax;

  constructor(signal: AbortSignal, delayMs = delayMsDefault) {
    this.signal = signal;
    this.delayMs = delayMs;
  }

  /** Waits for the next try, or throws `reason` when there is none. */
  async failed(reason: unknown): Promise<void> {
    this.signal.throwIfAborted();
    this.failures += 1;
    if (this.failures >= this.triesMax || !isPachError(reason, 'unreachable')) throw reason;
    const pauseMs = Math.min(this.delayMs * 2 ** (this.failures - 1), delayMsMax) * (0.5 + Math.random() / 2);
    await sleep(pauseMs, undefined, { signal: this.signal }).catch(() => this.signal.throwIfAborted());
  }

  progressed(): void {
    this.failures = 0;
    this.triesMax = triesMax;
  }

  async persist<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        await this.failed(error);
      }
    }
  }
}

/** Tries again what fails as `unreachable`, a bounded number of times. */
export function persist<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  return new Retries(signal).persist(work);
}

/**
 * What the first `open` gave, with a body that survives broken connections, and that is an error
 * when it is not as long as was announced.
 */
export async function openResumable<T extends Part>(options: ResumeOptions<T>): Promise<T> {
  const { shown, signal, open, delayMs } = options;
  const retries = new Retries(signal, delayMs);
  const first = await retries.persist(() => open(0, undefined));
  retries.progressed();

  async function* body(): AsyncGenerator<Uint8Array> {
    let part = first;
    let offset = 0;
    let counted = 0;
    for (;;) {
      try {
        for await (const bytes of part.body) {
          offset += bytes.length;
          if (first.size !== undefined && offset > first.size) {
            throw new PachError('failed', {
              what: shown,
              why: `the server sent more than the announced ${first.size} bytes`,
            });
          }
          if (offset - counted >= progressBytes) {
            counted = offset;
            retries.progressed();
          }
          yield bytes;
        }
        if (first.size === undefined || offset === first.size) return;
        const why = `the server sent ${offset} of the announced ${first.size} bytes`;
        throw new PachError('unreachable', { what: shown, why });
      } catch (error) {
        await retries.failed(error);
      }
      part = await retries.persist(() => open(offset, first));
    }
  }
  return { ...first, body: body() };
}
