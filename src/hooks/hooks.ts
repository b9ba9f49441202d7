/**
 * Tells people, by the hooks of a file, what happened to pipelines. What there is to tell follows from
 * the store, so an engine that was killed, or was not there, tells it afterwards. Nothing here waits:
 * `look` begins to send what is due, and says when to look again.
 *
 * Promised is that each happening is told at least once, under an id that stays the same, or counted
 * in the next message of its kind. A message is sent twice where an engine dies after sending it and
 * before it could write that down, or where the receiver took it and its answer was lost.
 *
 *   waiting ─▶ claimed ─▶ sent ─▶ written down
 *      ▲          │
 *      └──────────┘ it was not taken: three tries with growing pauses, then one now and then
 */
import { mapOrdered } from '../base/async.ts';
import type { TellOf } from '../engine/events.ts';
import { errorData } from '../engine/outcome.ts';
import type { ServeEvent, ServeListener } from '../engine/serve-events.ts';
import type { Seen } from '../engine/serve.ts';
import type { Told } from '../model/records/hooks.ts';
import { endRun, leaseHolder, type Holder } from '../pipelines/jobs/lease.ts';
import type { Project } from '../versions/project.ts';
import { dueOf, mergeTold, toldOf, type Message } from './due.ts';
import type { Hook } from './file.ts';
import { Happenings, type Work } from './seen.ts';
import { deliveryOf, type Delivery } from './message.ts';
import { beginHooks, claim, claimedUntil, forgetOld, settle, toldBy } from './told.ts';
import { TroubleDesk, type DueTrouble } from './trouble.ts';

/** What came of a try. `answer`: what came back, for people; no secret is in it. */
export interface Sent {
  readonly isTaken: boolean;
  readonly answer: string;
}

/** Sends a message once, within a time limit. Never rejects. */
export type Send = (hook: Hook, delivery: Delivery, signal: AbortSignal) => Promise<Sent>;

export type HookEvent = Extract<ServeEvent, { readonly kind: 'hook-sent' | 'hook-failed' }>;

export interface HooksOptions {
  readonly project: Project;
  readonly hooks: readonly Hook[];
  readonly send: Send;
  readonly tell: TellOf<HookEvent>;
  /** The time of day. */
  readonly now: () => number;
  /** Called when a look is worth while before the time that the last one said. */
  readonly wake: () => void;
}

/** Messages that are claimed at once, and those that are sent at a time. */
const claimedMax = 8;
const sentAtATime = 4;
/** After the first and second try; from the third on it doubles, from `restMsMin` on. */
const pausesMs = [2000, 10_000];
const restMsMin = 5 * 60_000;
const restMsMax = 3_600_000;
/** Until what another engine or the store does may be known. */
const othersMs = 10_000;
/** How long the end of the engine waits for what is being sent. */
const endMsMax = 5000;

interface Desk {
  readonly hook: Hook;
  /** Tries that failed one after another. */
  failures: number;
  /** When it is not tried. */
  rest: { readonly from: number; readonly until: number };
  sending: Promise<void> | undefined;
  /** What was sent and is not known to be in the store yet, by pipeline. */
  unwritten: Map<string, readonly Told[]>;
}

export class Hooks implements AsyncDisposable {
  private readonly options: HooksOptions;
  private readonly desks: readonly Desk[];
  private readonly holder: Holder;
  private readonly happenings: Happenings;
  private readonly troubles: TroubleDesk;
  private readonly ending = new AbortController();
  private isEnding = false;
  /** Something has happened since the last look. */
  private isChanged = false;
  private last: { readonly root: string | undefined; readonly at: number; readonly next: number } | undefined;
  private since: Map<string, number> | undefined;

  constructor(options: HooksOptions) {
    this.options = options;
    this.holder = leaseHolder(options.project.options.author);
    this.desks = options.hooks.map((hook) => ({
      hook,
      failures: 0,
      rest: { from: 0, until: 0 },
      sending: undefined,
      unwritten: new Map(),
    }));
    this.happenings = new Happenings();
    this.troubles = new TroubleDesk(options.project.options.name);
  }

  /** For what an engine tells of its own troubles. */
  readonly listen: ServeListener = (event) => {
    if (event.kind !== 'trouble' && event.kind !== 'trouble-over') return;
    this.troubles.add(event, this.options.now());
    this.isChanged = true;
    this.options.wake();
  };

  /**
   * Begins to send what is due. `seen` is undefined while the store can't be read. Resolves to when to
   * look again, if nothing wakes before. Never rejects.
   */
  async look(seen: Seen | undefined): Promise<number> {
    const now = this.options.now();
    const root = seen?.snapshot.head.refs.hash.toString('hex');
    const { last } = this;
    // Nothing has happened, and no time has come.
    if (last && last.root === root && now >= last.at && now < last.next && !this.isChanged) return last.next;
    this.isChanged = false;
    try {
      const next = await this.begin(seen, now);
      this.last = { root, at: now, next };
    } catch (error) {
      this.options.tell({ kind: 'hook-failed', hook: 'all hooks', tries: 0, answer: errorData(error).message });
      this.last = { root, at: now, next: now + othersMs };
    }
    return this.last.next;
  }

  private async begin(seen: Seen | undefined, now: number): Promise<number> {
    let next = Infinity;
    const messages = new Map<Desk, Message[]>(this.desks.map((desk) => [desk, []]));
    if (seen) {
      const { project, hooks } = this.options;
      this.since ??= await beginHooks(project, seen.snapshot, hooks, now);
      this.troubles.keep(new Set([...seen.works].map(({ pipeline }) => pipeline.name)));
      for (const work of seen.works) next = Math.min(next, await this.gather(seen, work, { messages, now }));
    }
    for (const [desk, own] of messages) {
      if (desk.sending || this.isEnding) continue;
      const { due: troubles, next: later } = this.troubles.dueOf(desk.hook, now);
      next = Math.min(next, later);
      const unwritten = seen ? desk.unwritten.size : 0;
      if (own.length === 0 && troubles.length === 0 && unwritten === 0) {
        if (seen && this.since) await this.keepShort(desk, this.since, now);
      } else if (isResting(desk, now)) next = Math.min(next, desk.rest.until);
      else desk.sending = this.round(desk, own, troubles);
    }
    return next;
  }

  /** Waits for what is being sent, but not long: it is sent again by whoever runs next. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.isEnding = true;
    const timer = setTimeout(() => this.ending.abort(), endMsMax);
    await this.idle();
    clearTimeout(timer);
    endRun(this.holder);
  }

  /** Resolves when what is being sent was taken or not. */
  async idle(): Promise<void> {
    for (const { sending } of this.desks) await sending;
  }

  /** Adds the messages of a pipeline that are due; resolves to when the next one is. */
  private async gather(
    { snapshot }: Seen,
    work: Work,
    { messages, now }: { readonly messages: ReadonlyMap<Desk, Message[]>; readonly now: number },
  ): Promise<number> {
    const { name } = work.pipeline;
    const since = this.since ?? new Map<string, number>();
    const { happenings, next: late } = await this.happenings.of(snapshot, work, {
      since: Math.min(...since.values()),
      now,
    });
    let next = late;
    let isTold = true;
    for (const [desk, own] of messages) {
      const { on, pipelines, id } = desk.hook;
      const mine = happenings.filter(({ kind, time }) => on.includes(kind) && time >= (since.get(id) ?? 0));
      if (mine.length === 0 || (pipelines && !pipelines.includes(name))) continue;
      const record = await toldBy(snapshot, id, name);
      const due = dueOf(mine, mergeTold(record.told, desk.unwritten.get(name) ?? []), now);
      next = Math.min(next, due.next);
      if (due.messages.length === 0 && due.next === Infinity) continue;
      isTold = false;
      const until = claimedUntil(record, this.holder, now);
      if (until === undefined) own.push(...due.messages);
      else next = Math.min(next, until);
    }
    if (isTold) this.happenings.settled(name);
    return next;
  }

  /** Sends some messages of one hook, and writes down which were taken. */
  private async round(desk: Desk, messages: readonly Message[], troubles: readonly DueTrouble[]): Promise<void> {
    const { project, now, wake } = this.options;
    const { hook } = desk;
    try {
      for (const trouble of troubles) {
        if (!(await this.send(desk, trouble.delivery))) return;
        this.troubles.told(hook, trouble, now());
      }
      if (messages.length === 0 && desk.unwritten.size === 0) return;
      const claimed = await claim(project, hook.id, messages.slice(0, claimedMax), { holder: this.holder, now: now() });
      // Another engine was first, and the snapshot does not say so yet.
      if (claimed.length === 0 && desk.unwritten.size === 0) return rest(desk, now(), othersMs);
      const tries = mapOrdered(claimed, sentAtATime, async (message) => {
        // Where one was not taken, the others wait with it.
        if (isResting(desk, now()) || this.isEnding) return;
        if (!(await this.send(desk, deliveryOf(message, project.options.name)))) return;
        const { pipeline } = message.happening;
        desk.unwritten.set(pipeline, mergeTold(desk.unwritten.get(pipeline) ?? [], [toldOf(message, now())]));
      });
      for await (const _ of tries);
      await settle(project, hook.id, { claimed, sent: desk.unwritten }, this.holder);
      desk.unwritten = new Map();
    } catch (error) {
      // The store could not be told. What was sent is not sent again by this engine, and is written down later.
      rest(desk, now(), othersMs);
      this.options.tell({
        kind: 'hook-failed',
        hook: hook.name,
        tries: desk.failures,
        answer: errorData(error).message,
      });
    } finally {
      desk.sending = undefined;
      this.isChanged = true;
      wake();
    }
  }

  /** A hook that has nothing to tell looks back less far. */
  private async keepShort({ hook: { id } }: Desk, since: Map<string, number>, now: number): Promise<void> {
    since.set(id, await forgetOld(this.options.project, id, since.get(id) ?? now, now));
  }

  private async send(desk: Desk, delivery: Delivery): Promise<boolean> {
    const { isTaken, answer } = await this.options.send(desk.hook, delivery, this.ending.signal);
    if (isTaken) {
      desk.failures = 0;
      this.options.tell({ kind: 'hook-sent', hook: desk.hook.name, delivery: delivery.id });
    } else if (!this.ending.signal.aborted && !isResting(desk, this.options.now())) this.failed(desk, answer);
    return isTaken;
  }

  private failed(desk: Desk, answer: string): void {
    desk.failures += 1;
    const rests = desk.failures - pausesMs.length - 1;
    const pause = pausesMs[desk.failures - 1] ?? Math.min(restMsMax, restMsMin * 2 ** rests);
    rest(desk, this.options.now(), pause);
    this.options.tell({ kind: 'hook-failed', hook: desk.hook.name, tries: desk.failures, answer });
  }
}

function rest(desk: Desk, now: number, ms: number): void {
  desk.rest = { from: now, until: now + ms };
}

/** Where the clock was set back, it does not rest. */
function isResting({ rest: { from, until } }: Desk, now: number): boolean {
  return now >= from && now < until;
}
