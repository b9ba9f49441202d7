/**
 * A worker of a store pool (FORMAT.md section 11): takes one shard after another of a job, runs its
 * datums in a local pool, and delivers what came of them. It never moves the head.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isPachError } from '../../base/errors.ts';
import type { Shard } from '../../model/records/work-objects.ts';
import type { Claim } from '../../model/records/work.ts';
import type { Holder } from '../../pipelines/jobs/lease.ts';
import { plannedOfRecord, type PlannedDatum } from '../../pipelines/jobs/planned.ts';
import { pfsInputs } from '../../pipelines/spec/input.ts';
import type { Token } from '../../store/store.ts';
import { LostLauncher } from '../executor.ts';
import { Deliveries } from './deliveries.ts';
import type { FreeShards } from './free-shards.ts';
import { startDatums, type Running, type RunningOptions } from './running.ts';
import { timesFor, workTimes, type TimesOfMany, type WorkTimes } from './times.ts';
import type { WorkObjects } from './work-objects.ts';

export interface StoreWorkerOptions extends RunningOptions {
  /** Of the job. */
  readonly free: FreeShards;
  /** This worker: no other one of the job has its name. */
  readonly worker: Holder;
  readonly signal: AbortSignal;
  /** Takes values of secrets out of what is told. */
  readonly masked: (text: string) => string;
  readonly times?: WorkTimes;
}

/** A shard that this worker has. */
interface Held {
  readonly name: string;
  claim: Claim;
  token: Token;
  renewedAt: number;
  /** All of it is run. */
  isDone: boolean;
  isLost: boolean;
}

interface Taken extends Shard {
  readonly held: Held;
}

/** How often it sees whether there is something to do beside its datums. */
const tickMs = 100;
/** Of many workers each does so this often in the time after which it asks for the job. */
const ticksPerAsk = 30;
/** After so many shards that others were quicker to take, it waits for news, longer each time. */
const triesMax = 2;
const waitMsMax = 60_000;
/** Datums that take less have the next shard claimed while the last one of a shard runs. */
const quickMs = 1000;
/** Where no more shards are left, others may have taken them: it looks before it takes one ahead. */
const manyLeft = 16;
/** So many shards that are run wait for a delivery at most: each has a claim to be renewed. */
const doneMax = 16;

export class StoreWorker {
  private readonly options: StoreWorkerOptions;
  /** They grow with the number of workers that the job has. */
  private times: TimesOfMany;
  private readonly objects: WorkObjects;
  private readonly deliveries: Deliveries;
  private readonly held = new Map<string, Held>();
  private readonly ended = new AbortController();
  /** The next shard, which is claimed while the last datum of another one runs. */
  private ahead: Promise<Taken | undefined> = Promise.resolve(undefined);
  private datums = 0;
  private datumsMs = 0;
  private running: Running | undefined;

  constructor(options: StoreWorkerOptions) {
    const { project, free, worker, masked } = options;
    const { objects } = free;
    this.options = options;
    this.times = this.timesNow();
    this.objects = objects;
    const common = { project, objects, job: objects.job, worker: worker.holder, masked };
    this.deliveries = new Deliveries({ ...common, times: () => this.times });
  }

  /**
   * Works until no shard is left that nobody has, or the job ends. Resolves to how many datums it has
   * run. Throws the reason of the signal, and what keeps it from working: then others do what it had.
   */
  async run(): Promise<number> {
    const stopped = new AbortController();
    const ticking = this.tick(stopped.signal);
    try {
      for (let shard = await this.take(); shard; shard = (await this.ahead) ?? (await this.take())) {
        this.ahead = Promise.resolve(undefined);
        await this.work(shard);
      }
      await this.running?.end();
    } catch (error) {
      if (!this.ended.signal.aborted) throw error;
    } finally {
      stopped.abort();
      await ticking;
      await this.leave();
    }
    return this.datums;
  }

  /** The next shard of which this worker is the one that has it. */
  private async take(): Promise<Taken | undefined> {
    const { free, signal } = this.options;
    await this.look(0);
    for (let waits = 1; free.left > 0; waits += 1) {
      for (let tries = 0; tries < triesMax; tries += 1) {
        const taken = await this.claim(free.next());
        if (taken) return taken;
      }
      // Many want the same few shards.
      const pauseMs = waits * free.pauseMs(Math.random() * this.times.lookMs);
      await sleep(Math.min(pauseMs, waitMsMax), undefined, { signal }).catch(() => undefined);
      await this.look(Infinity);
    }
    return undefined;
  }

  /**
   * The next shard while a datum runs, so that nothing waits for the store afterwards. Towards the end each shard is
   * left to those who have none.
   */
  private async takeAhead(): Promise<Taken | undefined> {
    const { free } = this.options;
    await this.look(manyLeft);
    return free.left > Math.max(1, this.workers) ? this.claim(free.next()) : undefined;
  }

  /** Where no more than `leftMin` are left of what it saw before, or that is too old. */
  private async look(leftMin: number): Promise<void> {
    const { free } = this.options;
    if (free.left > leftMin && !free.isOlderThan(this.times.idleLookMsMax)) return;
    await free.look();
    this.times = this.timesNow();
  }

  /** Those of the job, about: others have as many claims as this one. */
  private get workers(): number {
    return this.options.free.claims / Math.max(1, this.held.size);
  }

  private timesNow(): TimesOfMany {
    return timesFor(this.options.times ?? workTimes, this.workers);
  }

  /** Undefined where somebody else has it. */
  private async claim(name: string | undefined): Promise<Taken | undefined> {
    const { objects, options } = this;
    options.signal.throwIfAborted();
    if (name === undefined) return undefined;
    const { holder: worker, ...process } = options.worker;
    const claim = { job: objects.job, datum: name, worker, since: Date.now(), ...process, beat: 1 };
    const token = await objects.writeClaim(claim, undefined);
    if (token === undefined) return undefined;
    const held: Held = { name, claim, token, renewedAt: performance.now(), isDone: false, isLost: false };
    this.held.set(name, held);
    const shard = await objects.readShard(name);
    if (shard) return { ...shard, held };
    // Its last datum has been delivered meanwhile.
    this.held.delete(name);
    await objects.deleteClaim(name);
    return undefined;
  }

  /** Runs the datums of a shard, one after another, for as long as it is this worker's. */
  private async work({ planned: records, isCheck, held }: Taken): Promise<void> {
    if (this.running?.isCheck !== isCheck) {
      await this.running?.end();
      this.running = this.start(isCheck);
    }
    const { running } = this;
    const inputs = pfsInputs(running.spec.input);
    for (const [index, record] of records.entries()) {
      if (held.isLost) break;
      if (index === records.length - 1 && this.datumsMs < this.datums * quickMs) this.beginAhead();
      const planned = plannedOfRecord(record, inputs);
      const begun = performance.now();
      try {
        await running.run(planned);
      } catch (error) {
        const isOver = this.ended.signal.aborted || this.options.signal.aborted || isPachError(error, 'unreachable');
        if (!isOver) await this.broke(planned, error);
        throw error;
      }
      this.datums += 1;
      this.datumsMs += performance.now() - begun;
    }
    held.isDone = true;
  }

  private beginAhead(): void {
    this.ahead = this.takeAhead();
    this.ahead.catch(() => undefined); // told where it is waited for
  }

  private start(isCheck: boolean): Running {
    return startDatums(this.options, {
      job: this.objects.job,
      isCheck,
      deliveries: this.deliveries,
      signal: AbortSignal.any([this.options.signal, this.ended.signal]),
    });
  }

  /** Tells the engine that this worker is of no use, and at which datum that was seen. */
  private async broke({ datum }: PlannedDatum, error: unknown): Promise<void> {
    this.deliveries.note(error instanceof Error ? error.message : String(error));
    const launcherLost = error instanceof LostLauncher || undefined;
    await this.deliveries.deliver({ broken: datum.id, launcherLost }).catch(() => undefined);
  }

  /** Does what is due, until it is aborted. Never rejects: what failed is tried again. */
  private async tick(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.ask().catch(() => undefined);
      for (const held of this.held.values()) await this.renew(held).catch(() => undefined);
      const done = [...this.held.values()].filter(({ isDone }) => isDone).length;
      if (this.deliveries.isDue || done >= doneMax) await this.deliver().catch(() => undefined);
      const ms = Math.max(Math.min(tickMs, this.times.askMs), this.times.askMs / ticksPerAsk);
      await sleep(ms, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Finds out whether the job goes on. */
  private async ask(): Promise<void> {
    const { free } = this.options;
    // Without a shard its looks tell it.
    if (this.held.size === 0 || !free.isOlderThan(this.times.askMs)) return;
    if (free.silentMs >= this.times.silenceMs) this.ended.abort(new Error('no engine was heard for too long'));
    const heard = await free.look();
    this.times = this.timesNow();
    if (heard === 'gone' || heard === 'ended') this.ended.abort(new Error('the job has ended'));
  }

  private async renew(held: Held): Promise<void> {
    const now = performance.now();
    if (held.isLost || now - held.renewedAt < this.times.beatMs) return;
    // Where the store does not answer, again after a while.
    held.renewedAt = now - this.times.beatMs + this.times.askMs;
    const claim = { ...held.claim, beat: (held.claim.beat ?? 0) + 1 };
    const token = await this.objects.writeClaim(claim, held.token);
    if (token === undefined) held.isLost = true;
    else Object.assign(held, { claim, token, renewedAt: now });
  }

  /** From then on claims of shards that are run are the engine's to delete. */
  private async deliver(): Promise<void> {
    const done = [...this.held.values()].filter(({ isDone }) => isDone);
    await this.deliveries.deliver();
    for (const { name } of done) this.held.delete(name);
  }

  /**
   * Delivers what there is, and leaves to others what it has not run; later where the store does not
   * answer. Never rejects: claims that are not renewed are nobody's soon.
   */
  private async leave(): Promise<void> {
    await this.running?.end().catch(() => undefined);
    await this.ahead.catch(() => undefined);
    await using _ = this.deliveries;
    const until = performance.now() + this.times.claimMs;
    for (;;) {
      try {
        if (!this.options.free.isGone && !this.deliveries.isLost) await this.deliver();
        for (const held of this.held.values()) await this.giveUp(held);
        return;
      } catch (error) {
        const isLate = this.options.signal.aborted || performance.now() >= until;
        if (isLate || !isPachError(error, 'unreachable')) return;
        await sleep(this.times.lookMs, undefined, { signal: this.options.signal }).catch(() => undefined);
      }
    }
  }

  private async giveUp({ name, claim, token, isLost }: Held): Promise<void> {
    const isOwn = !isLost && (await this.objects.writeClaim({ ...claim, beat: 0 }, token)) !== undefined;
    if (isOwn) await this.objects.deleteClaim(name);
    this.held.delete(name);
  }
}
