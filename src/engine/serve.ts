/**
 * The engine that stays up: runs each pipeline when what it reads, its spec or its code has changed.
 * This loop is the only place that waits. It holds nothing that is not in the store: what is to be run
 * follows from the refs (standing.ts), so whoever comes after it, or works beside it, comes to the same.
 *
 *   waiting ──the head moved, a job ended, a time has come──▶ looking ──▶ starting what is due ──▶ waiting
 *
 * Pipelines run side by side, each one job at a time. One that is due waits for what it depends on. A
 * newer input replaces what a waiting one was to read; a job that runs goes on to its end. Where two
 * engines begin the same job, the lease decides, and the other looks again when the head has moved.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../base/clock.ts';
import { isPachError } from '../base/errors.ts';
import type { Experiment } from '../pipelines/experiment.ts';
import type { Pipeline } from '../pipelines/pipelines.ts';
import type { Job } from '../pipelines/jobs/jobs.ts';
import type { Project } from '../versions/project.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { tellTo, type RunEvent, type Tell, type TellOf } from './events.ts';
import { Presence } from './presence.ts';
import { HandedOverError } from './replaced.ts';
import { retryAt, tryAgain } from './retry.ts';
import type { ServeEvent, ServeListener } from './serve-events.ts';
import { tick } from './ticks.ts';
import { Timed } from './timed.ts';
import { triggerWork } from './triggers.ts';
import { Told } from './told.ts';
import { Troubles } from './troubles.ts';
import { Upkeep, upkeepEveryMs } from './upkeep.ts';
import { Waiting } from './waiting.ts';
import { WorkTable } from './work-table.ts';

export interface ServeOptions {
  readonly project: Project;
  readonly clock: Clock;
  readonly executor: string;
  readonly workers: number;
  /** Of this program. */
  readonly version: string;
  /** The pipelines that it runs; all where it is not said. */
  readonly only: ReadonlySet<string> | undefined;
  /** It runs pipelines as they are on this branch, beside production; where it is not said, those of production. */
  readonly branch?: string | undefined;
  /** It runs what was promoted to this place; where it is not said, what was promoted nowhere. */
  readonly place?: string | undefined;
  /** Runs a job of a pipeline with what there is to read in `snapshot`. Rejects where it did not come to its end. */
  run(pipeline: Pipeline, how: ServeRun): Promise<unknown>;
  readonly listeners: readonly ServeListener[];
  /** Told what was seen, whenever the loop looks; nothing while the store is away. Resolves to when to be told again. Never rejects. */
  attend?(seen: Seen | undefined): Promise<number>;
  /** Which share of all data it reads in a day, to see whether it is whole; none where it is not said. */
  readonly scrubShare?: number;
  /** Ends the loop. */
  readonly signal: AbortSignal;
  /** What runs then may go on for so long, before it is left to the next engine. */
  readonly graceMs: number;
}

/** What the loop has seen. */
export interface Seen {
  readonly snapshot: Snapshot;
  /** The pipelines that this engine runs, each with its newest job. */
  readonly works: Iterable<{ readonly pipeline: Pipeline; readonly job: Job | undefined }>;
}

export interface ServeRun {
  readonly snapshot: Snapshot;
  /** What the pipeline is a part of; undefined: production. */
  readonly experiment: Experiment | undefined;
  /** The newest job in it. */
  readonly after: Job | null;
  readonly signal: AbortSignal;
  readonly tell: Tell;
}

interface Running {
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

/** Jobs at a time. Their datums share the workers; what a job needs beside those is memory, and moves of the head. */
const jobsMax = 32;
/** The shortest time between two looks that nothing asked for. */
const passMsMin = 50;
/** How often it sees whether an engine on this machine that has a job is gone. Asks the store nothing. */
const recheckMs = 5000;

export class ServeLoop {
  private readonly options: ServeOptions;
  private readonly tell: TellOf<RunEvent | ServeEvent>;
  private readonly table: WorkTable;
  private readonly waiting: Waiting;
  private readonly troubles: Troubles;
  private readonly ticks: Timed;
  private readonly triggers: Timed;
  private readonly presence: Presence;
  private readonly upkeep: Upkeep;
  private readonly running = new Map<string, Running>();
  /** Those that another engine was faster to begin: not tried again before the head has moved, or so. */
  private readonly lost = new Map<string, number>();
  private wake = (): void => undefined;
  private isWoken = false;
  /** The last look for a newer head failed. */
  private isAway = false;
  /** The head that is to be looked at next, and the last that was. */
  private newest: Snapshot | undefined;
  private snapshot: Snapshot | undefined;

  constructor(options: ServeOptions) {
    this.options = options;
    this.tell = tellTo<RunEvent | ServeEvent>(options.listeners);
    this.table = new WorkTable(options.branch);
    this.waiting = new Waiting(this.tell, options.branch);
    this.troubles = new Troubles(this.tell);
    const { project, version, only, branch, place } = options;
    this.ticks = new Timed((now) => tick(project, { now, only, branch, place }));
    // Branches that times move are production's.
    this.triggers = new Timed(
      branch === undefined ? triggerWork(project, this.tell) : () => Promise.resolve(undefined),
    );
    this.upkeep = new Upkeep(project, this.tell, options.scrubShare ?? 0, () => this.hint());
    this.presence = new Presence(project, { version, branch, only: [...(only ?? [])].sort() });
  }

  /** Until the signal is aborted. Then no job of it runs any more. */
  async run(): Promise<void> {
    const { project, signal, executor, workers, only, branch = null } = this.options;
    this.tell({ kind: 'serving', executor, workers, only: only ? [...only].sort() : null, branch });
    using _ = project.head.listen({
      moved: (snapshot) => {
        this.newest = snapshot;
        this.hint();
      },
      failed: (error) => this.away(error),
      answered: () => this.back(),
    });
    const woken = (): void => this.hint();
    signal.addEventListener('abort', woken);
    try {
      while (!signal.aborted) await this.wait(await this.pass());
    } finally {
      signal.removeEventListener('abort', woken);
      await this.end();
    }
  }

  private away(error: unknown): void {
    this.isAway = true;
    this.troubles.add(null, error, this.options.clock.now());
  }

  /** The store answers. */
  private back(): void {
    if (!this.isAway) return;
    this.isAway = false;
    this.troubles.over(null);
    this.hint();
  }

  /** Makes the loop look again. */
  hint(): void {
    this.isWoken = true;
    this.wake();
  }

  /** Until something happens, or a time has come. */
  private async wait(until: number): Promise<void> {
    const over = new AbortController();
    this.wake = () => over.abort();
    const { clock } = this.options;
    // A time that has passed already must not keep signals and answers from coming.
    if (until <= clock.now()) await sleep(passMsMin);
    if (!this.isWoken) await clock.until(until, over.signal);
    this.wake = () => undefined;
    this.isWoken = false;
  }

  /** Looks at what is new, and starts what is due. Resolves to when there is more to do without a hint. */
  private async pass(): Promise<number> {
    this.isWoken = false;
    const now = this.options.clock.now();
    await this.look(now);
    const timed = await this.doTimed(now);
    await this.table.recheck();
    const times = [this.troubles.pausedUntil(null, now) ?? Infinity, timed, this.startDue(now)];
    const isForeign = [...this.table.works].some(([name, { standing }]) => {
      return standing.kind === 'running' && !this.running.has(name);
    });
    if (isForeign) times.push(now + recheckMs);
    times.push((await this.options.attend?.(this.seen())) ?? Infinity);
    return Math.min(...times);
  }

  private async look(now: number): Promise<void> {
    const { newest } = this;
    if (!newest || this.troubles.pausedUntil(null, now) !== undefined) return;
    this.newest = undefined;
    try {
      const { looked, hasOthers, hasBranches } = await this.table.update(newest);
      if (hasOthers) this.ticks.changed();
      if (hasBranches) this.triggers.changed();
      this.snapshot = newest;
      this.presence.begin();
      for (const name of looked) this.lookedAt(name);
      if (!this.isAway) this.troubles.over(null);
    } catch (error) {
      this.newest ??= newest;
      this.troubles.add(null, error, now);
    }
  }

  private seen(): Seen | undefined {
    const { snapshot } = this;
    if (!snapshot || this.isAway) return undefined;
    const works = [...this.table.works.values()].filter(({ pipeline }) => this.runs(pipeline));
    return { snapshot, works: works.map(({ pipeline, standing: { job } }) => ({ pipeline, job })) };
  }

  /** What comes at a time of day. Resolves to when more of it does. */
  private async doTimed(now: number): Promise<number> {
    if (!this.snapshot || this.troubles.pausedUntil(null, now) !== undefined) return Infinity;
    try {
      const times = Math.min(await this.ticks.at(now), await this.triggers.at(now));
      const upkeep = await this.upkeep.at(this.snapshot, now, this.running.size > 0);
      // It is done when the loop looks anyway, where that is soon enough.
      return Math.min(times, times === Infinity ? upkeep : upkeep + upkeepEveryMs);
    } catch (error) {
      this.troubles.add(null, error, now);
      return Infinity;
    }
  }

  private lookedAt(name: string): void {
    this.lost.delete(name);
    const work = this.table.works.get(name);
    if (!work) {
      this.troubles.forget(name);
      this.waiting.drop(name);
    } else if (work.standing.kind === 'due') this.troubles.unblock(name);
    else if (work.standing.kind === 'settled') this.troubles.over(name);
  }

  /** Returns when one that had to pause may be tried again. */
  private startDue(now: number): number {
    let next = Infinity;
    for (const [name, { pipeline, standing }] of this.table.works) {
      if (!this.runs(pipeline) || this.running.has(name)) continue;
      const retry = standing.kind === 'settled' ? (retryAt(standing.job, pipeline.spec.retry, now) ?? Infinity) : 0;
      const due = standing.kind === 'settled' && retry <= now ? tryAgain(standing) : standing;
      if (due.kind !== 'due') {
        this.waiting.drop(name);
        if (retry > now) next = Math.min(next, retry);
        continue;
      }
      const waitsFor = this.table.waitsFor(name) ?? null;
      this.waiting.set(pipeline, due, waitsFor);
      if (waitsFor !== null) continue;
      const until = this.troubles.pausedUntil(name, now) ?? this.lost.get(name);
      if (until !== undefined && until > now) next = Math.min(next, until);
    }
    for (const name of this.waiting.names()) {
      if (this.running.size >= jobsMax || this.options.signal.aborted) break;
      if (this.mayStart(name, now)) this.start(name);
    }
    return next;
  }

  private runs({ name, place }: Pick<Pipeline, 'name' | 'place'>): boolean {
    const { only, place: own } = this.options;
    return place === own && only?.has(name) !== false;
  }

  private mayStart(name: string, now: number): boolean {
    const isPaused = this.troubles.pausedUntil(name, now) ?? this.troubles.pausedUntil(null, now);
    const lost = this.lost.get(name);
    const isLost = lost !== undefined && lost > now && lost <= now + recheckMs;
    return isPaused === undefined && !isLost;
  }

  private start(name: string): void {
    const work = this.table.works.get(name);
    const { snapshot } = this;
    if (!work || !snapshot) return;
    const { pipeline, standing } = work;
    const after = standing.job ?? null;
    this.waiting.drop(name);
    const stop = new AbortController();
    const run = new Told(this.tell);
    const ended = this.options
      .run(pipeline, { snapshot, experiment: this.table.experiment, after, signal: stop.signal, tell: run.tell })
      .then(
        () => this.troubles.over(name),
        (error: unknown) => this.failed({ pipeline, after }, run, error),
      )
      .then(() => {
        this.running.delete(name);
        this.hint();
      });
    this.running.set(name, { stop, ended });
  }

  /** A job that has ended in the store is tried again when something has changed; one that has not, soon. */
  private failed({ pipeline, after }: Begun, run: Told, error: unknown): void {
    if (this.options.signal.aborted || run.hasEnded) return;
    const { name, spec } = pipeline;
    const now = this.options.clock.now();
    if (isPachError(error, 'conflict') && !run.hasStarted) {
      // What it was faster to decide on than to hear of is known by now, and may be of this engine.
      const known = this.table.works.get(name)?.standing.job;
      if (known?.id !== after?.id || known?.state !== after?.state) return;
      this.tell({ kind: 'taken', pipeline: name, branch: this.options.branch ?? spec.outputBranch });
      this.lost.set(name, now + recheckMs);
    } else this.troubles.add(isPachError(error, 'unreachable') ? null : name, error, now);
  }

  private async end(): Promise<void> {
    const { graceMs } = this.options;
    this.tell({ kind: 'ending', running: [...this.running.keys()] });
    const all = Promise.all([...this.running.values()].map(({ ended }) => ended));
    const timer = setTimeout(() => {
      for (const [name, { stop }] of this.running) stop.abort(new HandedOverError(`the job of ${name}`));
    }, graceMs);
    try {
      await all;
    } finally {
      clearTimeout(timer);
    }
    await this.upkeep[Symbol.asyncDispose]();
    await this.presence.end();
    this.tell({ kind: 'ended' });
  }
}

/** What was to be run, and the newest job that was known then. */
interface Begun {
  readonly pipeline: Pipeline;
  readonly after: Pick<Job, 'id' | 'state'> | null;
}
