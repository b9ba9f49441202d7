/**
 * A worker of a store pool (FORMAT.md section 11): takes one shard after another of a job, runs its
 * datums in a local pool, and delivers what came of them. It never moves the head.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isPachError } from '../../base/errors.ts';
import { Queue } from '../../base/queue.ts';
import { decodeOffer, type Shard } from '../../model/records/work-objects.ts';
import type { Claim } from '../../model/records/work.ts';
import type { Holder } from '../../pipelines/jobs/lease.ts';
import { plannedOfRecord, type PlannedDatum } from '../../pipelines/jobs/planned.ts';
import { pfsInputs } from '../../pipelines/spec/input.ts';
import type { PipelineSpec } from '../../pipelines/spec/spec.ts';
import type { Token } from '../../store/store.ts';
import type { Project } from '../../versions/project.ts';
import { LostLauncher } from '../executor.ts';
import type { LocalPool } from '../workers/local-pool.ts';
import { Deliveries } from './deliveries.ts';
import { timesFor, workTimes, type TimesOfMany, type WorkTimes } from './times.ts';
import type { WorkObjects } from './work-objects.ts';

export interface StoreWorkerOptions {
  readonly project: Project;
  /** Of the job. */
  readonly objects: WorkObjects;
  /** This worker: no other one of the job has its name. */
  readonly worker: Holder;
  /** Has one worker. */
  readonly pool: LocalPool;
  /** What is run, of the check of its output or of the job itself. */
  spec(isCheck: boolean): { readonly spec: PipelineSpec; readonly env: Readonly<Record<string, string>> };
  /** True when the files that datums read may have references. */
  readonly mayRefer: boolean;
  /** A folder of this machine for the logs of datums that run. */
  readonly logs: string;
  readonly signal: AbortSignal;
  /** Takes values of secrets out of what is told. */
  readonly masked: (text: string) => string;
  readonly times?: WorkTimes;
  /** Told what commands print. */
  readonly printed?: ((datum: string, text: string) => void) | undefined;
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

/** How often it sees whether there is something to do beside its datums. */
const tickMs = 100;
/** After so many shards that others were quicker to take, it looks again. */
const missesMax = 2;
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
  /** Shards that nobody had at the last look. */
  private candidates: (readonly [string, { readonly size: number }])[] = [];
  private lookedAt = -Infinity;
  private askedAt = -Infinity;
  private offer: Token | undefined;
  private heardAt = performance.now();
  /** Nobody would read what is delivered. */
  private isGone = false;
  private running: Running | undefined;

  constructor(options: StoreWorkerOptions) {
    const { project, objects, worker, masked, times = workTimes } = options;
    this.options = options;
    this.times = timesFor(times, 0);
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
    let count = 0;
    try {
      for (let shard = await this.take(); shard; shard = await this.take()) count += await this.work(shard);
      await this.running?.end();
    } catch (error) {
      if (!this.ended.signal.aborted) throw error;
    } finally {
      stopped.abort();
      await ticking;
      await this.leave();
    }
    return count;
  }

  /** The next shard of which this worker is the one that has it. */
  private async take(): Promise<(Shard & { readonly held: Held }) | undefined> {
    for (let pauseMs = this.times.lookMs / 2; ; pauseMs = Math.min(pauseMs * 2, this.times.idleLookMsMax)) {
      if (this.candidates.length === 0 || performance.now() - this.lookedAt > this.times.lookMs) await this.look();
      if (this.candidates.length === 0) return undefined;
      for (let misses = 0; misses < missesMax; misses += 1) {
        const [name, info] = this.candidates.pop() ?? [];
        this.options.signal.throwIfAborted();
        const shard = name !== undefined && info && (await this.claim(name, info));
        if (shard) return shard;
      }
      // Many want the same few shards.
      this.candidates = [];
      await sleep(pauseMs * Math.random(), undefined, { signal: this.options.signal }).catch(() => undefined);
    }
  }

  private async look(): Promise<void> {
    this.lookedAt = performance.now();
    const { shards, claims } = await this.objects.free();
    // Others have as many claims as this one, more or less.
    this.times = timesFor(this.options.times ?? workTimes, claims / Math.max(1, this.held.size));
    this.candidates = shuffled([...shards]);
  }

  /** Undefined where somebody else has it. */
  private async claim(
    name: string,
    info: { readonly size: number },
  ): Promise<(Shard & { readonly held: Held }) | undefined> {
    const { objects, options } = this;
    const { holder: worker, ...process } = options.worker;
    const claim = { job: objects.job, datum: name, worker, since: Date.now(), ...process, beat: 1 };
    const token = await objects.writeClaim(claim, undefined);
    if (token === undefined) return undefined;
    const held: Held = { name, claim, token, renewedAt: performance.now(), isDone: false, isLost: false };
    const shard = await objects.readShard(name, info);
    if (!shard) {
      // Its last datum has been delivered meanwhile.
      await objects.deleteClaim(name);
      return undefined;
    }
    this.held.set(name, held);
    return { ...shard, held };
  }

  /** Runs the datums of a shard, one after another, for as long as it is this worker's. */
  private async work({ planned: records, isCheck, held }: Shard & { readonly held: Held }): Promise<number> {
    if (this.running?.isCheck !== isCheck) {
      await this.running?.end();
      this.running = this.start(isCheck);
    }
    const { running } = this;
    const inputs = pfsInputs(running.spec.input);
    let count = 0;
    for (const record of records) {
      if (held.isLost) break;
      const planned = plannedOfRecord(record, inputs);
      try {
        await running.run(planned);
      } catch (error) {
        const isOver = this.ended.signal.aborted || this.options.signal.aborted || isPachError(error, 'unreachable');
        if (!isOver) await this.broke(planned, error);
        throw error;
      }
      count += 1;
    }
    held.isDone = true;
    return count;
  }

  private start(isCheck: boolean): Running {
    const { project, objects, pool, mayRefer, logs, signal } = this.options;
    const { spec, env } = this.options.spec(isCheck);
    const queue = new Queue<PlannedDatum>(1);
    const waiting = new Map<string, () => void>();
    const all = pool.run({
      spec,
      job: objects.job,
      env,
      queue,
      reader: project.reader,
      isCommitted: !isCheck,
      mayRefer: mayRefer && !isCheck,
      publisher: this.deliveries,
      logs,
      signal: AbortSignal.any([signal, this.ended.signal]),
      tell: (event) => {
        if (event.kind === 'datum-ended' && event.outcome.state === 'again')
          this.deliveries.failed(event.datum.id, event.outcome.failure);
        if (event.kind === 'note') this.deliveries.note(event.line);
        if (event.kind === 'printed') this.options.printed?.(event.datum, event.text);
      },
      done: ({ datum }) => waiting.get(datum.id)?.(),
    });
    all.catch(() => undefined); // told by `run` and `end`
    return {
      isCheck,
      spec,
      async run(planned) {
        const done = new Promise<void>((go) => waiting.set(planned.datum.id, go));
        await queue.add(planned);
        await Promise.race([done, all]);
        waiting.delete(planned.datum.id);
      },
      async end() {
        queue.end();
        await all;
      },
    };
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
      await sleep(Math.min(tickMs, this.times.askMs), undefined, { signal }).catch(() => undefined);
    }
  }

  /** Finds out whether the job goes on. */
  private async ask(): Promise<void> {
    const now = performance.now();
    // Without a shard its looks tell it.
    if (this.held.size === 0 || now - this.askedAt < this.times.askMs) return;
    this.askedAt = now;
    if (now - this.heardAt >= this.times.silenceMs) this.ended.abort(new Error('no engine was heard for too long'));
    const found = await this.options.project.options.store.readIfChanged(this.objects.offerKey, this.offer);
    if (found === 'unchanged') return;
    this.heardAt = now;
    this.offer = found?.token;
    this.isGone = !found;
    const isOver = !found || decodeOffer(Buffer.from(found.bytes), this.objects.offerKey).ended;
    if (isOver) this.ended.abort(new Error('the job has ended'));
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
    await using _ = this.deliveries;
    const until = performance.now() + this.times.claimMs;
    for (;;) {
      try {
        if (!this.isGone && !this.deliveries.isLost) await this.deliver();
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

/** Datums of one kind that run in the pool. */
interface Running {
  readonly isCheck: boolean;
  readonly spec: PipelineSpec;
  /** Resolves when the datum is done. */
  run(planned: PlannedDatum): Promise<void>;
  end(): Promise<void>;
}

/** In an order of its own, so that workers do not all want the same one. */
function shuffled<T>(items: T[]): T[] {
  for (let n = items.length - 1; n > 0; n -= 1) {
    const other = Math.floor(Math.random() * (n + 1));
    [items[n], items[other]] = [items[other] as T, items[n] as T];
  }
  return items;
}
