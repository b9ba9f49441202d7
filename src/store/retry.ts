/**
 * Decorator: repeats requests that got no answer, for a bounded time. It also keeps the promise of
 * conditional writes when an answer was lost: after a failed try, "it exists" or "it has changed" may
 * be our own write, so the object is read back before anything is concluded.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Deadline, timeoutMsDefault } from '../base/deadline.ts';
import { isPachError, PachError } from '../base/errors.ts';
import type { DirectSource, ObjectInfo, Store, Token, Versioned } from './store.ts';

export interface RetryOptions {
  /**
   * The deadline of a read that is given none. No new try of another request begins this long after
   * the first one. Default 30 s.
   */
  readonly timeoutMs?: number;
  /** The same while the store has never answered: then the address is likely wrong. Default 3 s. */
  readonly firstContactMs?: number;
  /** Pause after the first failure; doubles each time, to 5 s at most, and is jittered. */
  readonly delayMs?: number;
  /**
   * Whether a write that failed so may have happened all the same. Default: any may. A server that
   * refused has answered, and then "it has changed" can be believed without proof.
   */
  readonly mayHaveHappened?: (error: PachError) => boolean;
  /** For whoever goes on working without the store for a while, and has nobody who waits for an answer. */
  readonly patience?: Patience | undefined;
}

export interface Patience {
  /** How long a request is tried in place of `timeoutMs`. */
  readonly ms: number;
  /** Once it is aborted, `timeoutMs` holds again. */
  readonly until: AbortSignal;
  /** A store that answers again before is not missed. */
  readonly missedMs: number;
  /** Told once each time that the store is missed, and (`undefined`) when it answers again. */
  readonly away: (error: PachError | undefined) => void;
}

const delayMsMax = 5_000;

/** A conditional write that may or may not have been carried out: the object itself does not tell. */
export class UnknownOutcome extends PachError {}

export class RetryingStore implements Store {
  readonly url: string;
  readonly isLocal: boolean;
  private readonly store: Store;
  private readonly timeoutMs: number;
  private readonly firstContactMs: number;
  private readonly delayMs: number;
  private readonly mayHaveHappened: (error: PachError) => boolean;
  private readonly patience: Patience | undefined;
  private answered = false;
  /** Since when no try has worked. */
  private failingSince: number | undefined;
  private isMissed = false;

  constructor(store: Store, options: RetryOptions = {}) {
    this.url = store.url;
    this.isLocal = store.isLocal;
    this.store = store;
    this.timeoutMs = options.timeoutMs ?? timeoutMsDefault;
    this.firstContactMs = Math.min(this.timeoutMs, options.firstContactMs ?? 3_000);
    this.delayMs = options.delayMs ?? 100;
    this.mayHaveHappened = options.mayHaveHappened ?? (() => true);
    this.patience = options.patience;
  }

  read(key: string, offset: number, length: number, given?: Deadline): Promise<Uint8Array> {
    return this.persistRead(given, (deadline) => this.store.read(key, offset, length, deadline));
  }

  readTail(key: string, length: number, given?: Deadline): Promise<{ bytes: Uint8Array; size: number }> {
    return this.persistRead(given, (deadline) => this.store.readTail(key, length, deadline));
  }

  readWithToken(key: string, given?: Deadline): Promise<Versioned | undefined> {
    return this.persistRead(given, (deadline) => this.store.readWithToken(key, deadline));
  }

  /** Tried once: who asks so asks again soon. */
  async readIfChanged(
    key: string,
    token: Token | undefined,
    given?: Deadline,
  ): Promise<Versioned | 'unchanged' | undefined> {
    try {
      const found = await this.store.readIfChanged(key, token, given ?? new Deadline(this.timeoutMs));
      this.worked();
      return found;
    } catch (error) {
      if (isPachError(error, 'unreachable')) this.failed(error);
      throw error;
    }
  }

  writeIfAbsent(key: string, parts: readonly Uint8Array[], signal?: AbortSignal): Promise<boolean> {
    let failed = false;
    return this.persist(
      async () => {
        signal?.throwIfAborted();
        if (await this.store.writeIfAbsent(key, parts, signal)) return true;
        // An earlier try of ours may have written what exists.
        return failed && (await this.holds(key, parts));
      },
      () => (failed = true),
      { signal },
    );
  }

  writeIfUnchanged(key: string, bytes: Uint8Array, token: Token | undefined): Promise<Token | undefined> {
    let failed = false;
    let maybeWritten = false;
    /** What became of the earlier tries: a token (ours is there), 'lost' (another's is), or 'open'. */
    const readBack = async (): Promise<Token | 'lost' | 'open'> => {
      const now = await this.store.readWithToken(key);
      if (now && Buffer.compare(now.bytes, bytes) === 0) return now.token;
      if (now?.token === token) return 'open';
      if (!maybeWritten) return 'lost';
      throw new UnknownOutcome('failed', {
        what: `${this.url}: ${key}`,
        why: 'the answer to a write was lost, and then another writer wrote: it is unknown whether the first write was stored',
        next: 'check whether your change is there, and repeat the command if it is not',
      });
    };
    return this.persist(
      async () => {
        const before = failed ? await readBack() : 'open';
        if (before === 'lost') return undefined;
        if (before !== 'open') return before;
        const written = await this.store.writeIfUnchanged(key, bytes, token);
        if (written !== undefined || !failed) return written;
        const after = await readBack();
        return after === 'lost' || after === 'open' ? undefined : after;
      },
      (error) => {
        failed = true;
        maybeWritten ||= this.mayHaveHappened(error);
      },
    );
  }

  /** A listing that broke off begins again, and leaves out what was yielded already. */
  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo> {
    const given = new Set<string>();
    const begin = (): AsyncIterator<ObjectInfo> => this.store.list(prefix, signal)[Symbol.asyncIterator]();
    let listing = begin();
    for (;;) {
      const next = await this.persist(
        () => listing.next(),
        () => {
          signal?.throwIfAborted();
          listing = begin();
        },
      );
      if (next.done) return;
      if (given.has(next.value.key)) continue;
      given.add(next.value.key);
      yield next.value;
    }
  }

  delete(key: string): Promise<void> {
    return this.persist(() => this.store.delete(key));
  }

  localPath(key: string): string | undefined {
    return this.store.localPath(key);
  }

  async direct(key: string): Promise<DirectSource | undefined> {
    return this.store.direct?.(key);
  }

  close(): Promise<void> {
    return this.store.close();
  }

  private persistRead<T>(given: Deadline | undefined, read: (deadline: Deadline) => Promise<T>): Promise<T> {
    const deadline = given ?? new Deadline(this.waitMs);
    return this.persist(() => read(deadline), undefined, { deadline });
  }

  /** Tries until it works, fails for good or takes too long; tells `onFailure` of each failure that may pass. */
  private async persist<T>(
    work: () => Promise<T>,
    onFailure?: (error: PachError) => void,
    { deadline, signal }: { readonly deadline?: Deadline; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<T> {
    const begin = performance.now();
    for (let pauseMs = this.delayMs; ; pauseMs = Math.min(pauseMs * 2, delayMsMax)) {
      try {
        const result = await work();
        this.answered = true;
        this.worked();
        return result;
      } catch (error) {
        if (!isPachError(error, 'unreachable')) {
          this.answered ||= error instanceof PachError;
          this.worked();
          throw error;
        }
        this.answered ||= !this.mayHaveHappened(error);
        const jitteredMs = pauseMs * (0.5 + Math.random() / 2);
        if (jitteredMs >= this.leftMs(performance.now() - begin, deadline)) throw error;
        this.failed(error);
        onFailure?.(error);
        await sleep(jitteredMs, undefined, { signal });
      }
    }
  }

  /** How long a request is tried. */
  private get waitMs(): number {
    return this.patience?.until.aborted === false ? this.patience.ms : this.timeoutMs;
  }

  private leftMs(spentMs: number, deadline: Deadline | undefined): number {
    if (!this.answered) return Math.min(this.firstContactMs - spentMs, deadline?.leftMs ?? Infinity);
    if (!deadline) return this.waitMs - spentMs;
    return this.patience?.until.aborted ? Math.min(deadline.leftMs, this.timeoutMs - spentMs) : deadline.leftMs;
  }

  private failed(error: PachError): void {
    this.failingSince ??= performance.now();
    if (this.isMissed || !this.patience || performance.now() - this.failingSince < this.patience.missedMs) return;
    this.isMissed = true;
    this.patience.away(error);
  }

  private worked(): void {
    this.failingSince = undefined;
    if (!this.isMissed) return;
    this.isMissed = false;
    this.patience?.away(undefined);
  }

  private async holds(key: string, parts: readonly Uint8Array[]): Promise<boolean> {
    const wanted = Buffer.concat(parts);
    try {
      return wanted.equals(await this.store.read(key, 0, wanted.length + 1));
    } catch (error) {
      if (isPachError(error, 'not-found')) return false;
      throw error;
    }
  }
}
