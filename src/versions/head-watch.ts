/**
 * Tells all of this process who listen when the head of a project moves. However many they are, there is
 * one request each `lookMs` at most, and none while nobody listens. A listener hears of a move `lookMs`
 * and one request later at the latest, and of one that this process makes as soon as it is made.
 *
 *            first listener                  `lookMs` after the last look began
 *   resting ────────────────▶ waiting ───────────────────────────────────────▶ looking
 *      ▲                       │   ▲                                           │  │
 *      │  last listener leaves │   └────────── it was answered, or failed ─────┘  │
 *      └───────────────────────┴──────────────────────────────────────────────────┘
 *
 * A look that fails ends nothing; while they fail, the time to the next one grows. All times are monotonic: a clock that somebody sets has no say.
 */
import { Deadline } from '../base/deadline.ts';
import type { Token } from '../store/store.ts';
import type { Snapshot } from './snapshot.ts';

/** The shortest time from the beginning of one look to that of the next. */
export const lookMs = 1200;
/** A store that does not answer is asked after a part of the time for which it has not, and so long at most. */
const pausePart = 0.1;
const pauseMsMax = 30_000;
/** Short, so that a connection which has died unnoticed does not hide moves for long. */
const lookDeadlineMs = 10_000;

/** A head as it was seen. */
export interface SeenHead {
  readonly token: Token;
  readonly snapshot: Snapshot;
}

export interface HeadListener {
  /** The newest head: at the first look after this began to listen, then each time that it has moved. Must not throw. */
  moved(snapshot: Snapshot): void;
  /** A look failed, and the next one comes in its time. Must not throw. */
  failed?(error: unknown): void;
  /** A look was answered, after `moved` where the head has moved. Must not throw. */
  answered?(): void;
}

interface Listening {
  readonly listener: HeadListener;
  hasHead: boolean;
}

/** Reads the head with one request; undefined if it is still the one of `known`. */
export type LookAtHead = (known: Token | undefined, deadline: Deadline) => Promise<SeenHead | undefined>;

export class HeadWatch implements Disposable {
  private readonly look: LookAtHead;
  private readonly listening = new Set<Listening>();
  /** The newest head that is known here. */
  private last: SeenHead | undefined;
  /** Heads before `last` that were the last one at some time of the present look: its answer may be one of them. */
  private readonly passed = new Set<Token>();
  private nextAt = 0;
  /** When the first of the looks failed of which none was answered since. */
  private failingSince: number | undefined;
  private timer: NodeJS.Timeout | undefined;
  private looking: AbortController | undefined;
  private isOver = false;

  constructor(look: LookAtHead) {
    this.look = look;
  }

  /** Until what it gives is disposed of. */
  listen(listener: HeadListener): Disposable {
    const one = { listener, hasHead: false };
    this.listening.add(one);
    this.wait();
    return {
      [Symbol.dispose]: () => {
        this.listening.delete(one);
        if (this.listening.size === 0) this.rest();
      },
    };
  }

  /** This process has put `head` in the place of `before`. */
  published(before: Token | undefined, head: SeenHead): void {
    if (this.listening.size === 0) {
      // Who listens from now on need not look at once.
      this.last = head;
      this.nextAt = performance.now() + lookMs;
      return;
    }
    // Others have moved it on by now, or a look has found this one: the next look tells.
    if (before === undefined || this.last?.token !== before) return;
    if (this.looking) this.passed.add(before);
    this.last = head;
    this.tell(() => true);
  }

  /** Nobody is told anything any more. */
  [Symbol.dispose](): void {
    this.isOver = true;
    this.listening.clear();
    this.rest();
  }

  private wait(): void {
    if (this.isOver || this.listening.size === 0 || this.timer || this.looking) return;
    const waitMs = this.nextAt - performance.now();
    if (waitMs <= 0) return void this.lookOnce();
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.wait();
    }, Math.ceil(waitMs));
  }

  private rest(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.looking?.abort();
    this.looking = undefined;
  }

  private async lookOnce(): Promise<void> {
    const scope = new AbortController();
    this.looking = scope;
    this.nextAt = performance.now() + lookMs;
    this.passed.clear();
    try {
      const found = await this.look(this.last?.token, new Deadline(lookDeadlineMs).under(scope.signal));
      if (this.looking !== scope) return;
      const isNews = found !== undefined && found.token !== this.last?.token && !this.passed.has(found.token);
      if (isNews) this.last = found;
      this.failingSince = undefined;
      this.tell(({ hasHead }) => isNews || !hasHead);
      for (const { listener } of this.listening) listener.answered?.();
    } catch (error) {
      if (this.looking !== scope) return;
      this.failingSince ??= performance.now();
      const pauseMs = Math.min(pauseMsMax, (performance.now() - this.failingSince) * pausePart);
      this.nextAt = Math.max(this.nextAt, performance.now() + pauseMs);
      for (const { listener } of this.listening) listener.failed?.(error);
    } finally {
      if (this.looking === scope) this.looking = undefined;
      this.wait();
    }
  }

  private tell(whom: (one: Listening) => boolean): void {
    const { last } = this;
    for (const one of [...this.listening].filter(whom)) {
      // One that was told before may have ended this one's listening, or moved the head on.
      if (!last || this.last !== last || !this.listening.has(one)) continue;
      one.hasHead = true;
      one.listener.moved(last.snapshot);
    }
  }
}
