/**
 * Moves a mount from one operation of its project to a later one, all names at one instant.
 *
 *   resting ──▶ preparing ──▶ doubting ──▶ holding ──▶ resting
 *
 * preparing: what the names will show is looked up, while they show what they did.
 * doubting:  the kernel is told to ask again for the names that change, and that from now on no answer
 *            holds. After this it keeps nothing of these names, and all questions come here.
 * holding:   questions for names wait. The kernel moves what it knows of old versions to names of their
 *            own (follow-names), so that pages of files which have not changed stay. Then the names move.
 *
 * Each step has a limit in time. Where it is reached, the kernel drops what it knows of an old version,
 * and what is shown is right all the same.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Snapshot } from '../versions/snapshot.ts';
import { validMs, type FollowNames } from './follow-names.ts';
import type { Mover } from './mover.ts';

export interface FollowerOptions {
  readonly names: FollowNames;
  readonly mover: Pick<Mover, 'do'>;
  /** Notes durably which operation is shown next. */
  keep(snapshot: Snapshot): Promise<void>;
  /** An operation is shown. Must not throw. */
  onMoved(): void;
  /** A move that failed. It is tried again. Must not throw. */
  onError(error: unknown): void;
}

export interface FollowCounters {
  /** How often names have moved. */
  moves: number;
  /** How long questions for names have waited, in milliseconds: all in all, and at most. */
  heldMs: number;
  heldMsMax: number;
}

/** How long questions may wait. */
const holdMsMax = 500;
/** Old versions of a name that the kernel keeps. */
const keptMax = 8;

export class Follower {
  readonly counters: FollowCounters = { moves: 0, heldMs: 0, heldMsMax: 0 };
  private readonly options: FollowerOptions;
  /** The newest that is not shown yet. */
  private next: Snapshot | undefined;
  private moving: Promise<void> | undefined;
  /** Names of old versions, by move. */
  private readonly kept: string[][] = [];

  constructor(options: FollowerOptions) {
    this.options = options;
  }

  /** True while an operation is known that is not shown. */
  get isBehind(): boolean {
    return this.next !== undefined;
  }

  /** Shows an operation soon; not if a later one comes before. */
  follow(snapshot: Snapshot): void {
    this.next = snapshot;
    this.resume();
  }

  /** Goes on with what failed. */
  resume(): void {
    this.moving ??= this.run().finally(() => (this.moving = undefined));
  }

  private async run(): Promise<void> {
    while (this.next) {
      const { next } = this;
      try {
        await this.move(next);
      } catch (error) {
        return this.options.onError(error);
      }
      this.options.onMoved();
      if (this.next === next) this.next = undefined;
    }
  }

  private async move(snapshot: Snapshot): Promise<void> {
    const { names, mover } = this.options;
    const next = await names.prepare(snapshot);
    await this.options.keep(snapshot);
    if (names.changes(next).length === 0) return void names.show(next);
    names.doubt();
    await within(
      validMs,
      this.all(
        'expire',
        names.changes(next).map(({ name }) => name),
      ),
    );
    const changes = names.changes(next);
    const old = changes.flatMap(({ earlier }) => earlier ?? []);
    const release = names.hold();
    const begun = performance.now();
    let isListChanged = false;
    try {
      await within(holdMsMax, this.all('lookUp', old));
      isListChanged = names.show(next);
    } finally {
      release();
      this.count(performance.now() - begun);
    }
    // What was on its way to the kernel when the doubts began.
    await this.all(
      'expire',
      changes.map(({ name }) => name),
    );
    if (isListChanged) await mover.do('expireRoot');
    this.kept.push(old);
    if (this.kept.length > keptMax) await this.all('drop', this.kept.shift() ?? []);
  }

  /** Resolves to false where nobody does it. */
  private async all(move: 'lookUp' | 'expire' | 'drop', names: readonly string[]): Promise<boolean> {
    const done = await Promise.all(names.map((name) => this.options.mover.do(move, name)));
    return !done.includes(undefined);
  }

  private count(heldMs: number): void {
    this.counters.moves += 1;
    this.counters.heldMs += heldMs;
    this.counters.heldMsMax = Math.max(this.counters.heldMsMax, heldMs);
  }
}

/** Resolves when something is done, or after this time; only then too where nobody does it. */
async function within(ms: number, isDone: Promise<boolean>): Promise<void> {
  const timeout = new AbortController();
  const late = sleep(ms, undefined, { signal: timeout.signal }).catch(() => undefined);
  await Promise.race([late, isDone.then((done) => (done ? undefined : late))]);
  timeout.abort();
}
