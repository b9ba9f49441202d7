/**
 * Moves a mount from one operation of its project to a later one, all names at one instant.
 *
 *   resting ──▶ preparing ──▶ refreshing ──▶ holding ──▶ resting
 *
 * preparing:  what the names will show is looked up, while they show what they did.
 * refreshing: the kernel drops that names are absent, and is made sure of those that lead to something: for
 *             a while it asks no question whether one still does.
 * holding:    questions for names wait. The kernel moves what it knows of old versions to names of their
 *             own (follow-names), so that pages of files which have not changed stay. Then the names move.
 *             A question whether a name still leads to an old version must not wait here: once the answer
 *             says otherwise, the kernel drops all that it knows of that version, under whatever name.
 *
 * Each step has a limit in time. Where it is reached, the kernel drops what it knows of an old version,
 * and what is shown is right all the same.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Snapshot } from '../versions/snapshot.ts';
import { validMs, type Changed, type FollowNames } from './follow-names.ts';
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

/** Half of the time for which a name is valid then. */
const refreshMsMax = validMs / 2;
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
    names.doubtAbsent();
    if (!(await this.refresh(names.changes(next)))) {
      names.doubt();
      await sleep(validMs);
    }
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
    // What was on its way to the kernel when they began to wait.
    await this.all(
      'expire',
      changes.map(({ name }) => name),
    );
    if (isListChanged) await mover.do('expireRoot', '');
    this.kept.push(old);
    if (this.kept.length > keptMax) await this.all('drop', this.kept.shift() ?? []);
  }

  /** Makes the kernel sure of names for a while; of those that are absent, that they are not known. False if it can't be done. */
  private async refresh(changes: readonly Changed[]): Promise<boolean> {
    const isDone = async (): Promise<boolean> => {
      const expired = await this.all(
        'expire',
        changes.map(({ name }) => name),
      );
      const found = changes.flatMap(({ name, earlier }) => (earlier === undefined ? [] : [name]));
      return expired && this.all('lookUp', found);
    };
    return within(refreshMsMax, isDone());
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

/** What something resolves to; false if it takes longer than this. */
async function within(ms: number, isDone: Promise<boolean>): Promise<boolean> {
  const timeout = new AbortController();
  const late = sleep(ms, false, { signal: timeout.signal }).catch(() => false);
  const done = await Promise.race([late, isDone]);
  timeout.abort();
  return done;
}
