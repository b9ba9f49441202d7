/**
 * A pool of workers elsewhere, which reach nothing but the store (FORMAT.md section 11). The engine
 * of the job writes shards of datums, takes in what workers deliver, and alone moves the head. What
 * dies on either side loses no result that was delivered, and no datum's result is published twice.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { mapOrdered } from '../../base/async.ts';
import { isPachError } from '../../base/errors.ts';
import type { JobId } from '../../model/records/pipelines.ts';
import type { Delivery } from '../../model/records/work-objects.ts';
import type { Report } from '../../model/records/work.ts';
import { maybeJob } from '../../pipelines/jobs/jobs.ts';
import { LostLease } from '../../pipelines/jobs/lease.ts';
import type { PlannedDatum } from '../../pipelines/jobs/planned.ts';
import type { Project } from '../../versions/project.ts';
import type { Pool, PoolJob } from '../pool.ts';
import { ShardsAhead } from './ahead.ts';
import { Claims } from './claims.ts';
import { CrewWork, type Crew } from './crew.ts';
import { LostDatums } from './lost.ts';
import { Offering } from './offering.ts';
import { eventsOf, writtenOf, type Reported } from './reports.ts';
import { ShardSize } from './shard-size.ts';
import { Shards } from './shards.ts';
import { timesFor, workTimes, type WorkTimes } from './times.ts';
import { jobsWithWork, WorkObjects, type Listed } from './work-objects.ts';

/** Datums that are planned and have no result yet, at most. */
const openDatumsMax = 30_000;
const writesMax = 32;
const readsMax = 32;
/** So many looks at first, a quarter as far apart: until one is done, nobody knows how long datums take. */
const soonLooks = 40;
/** After so many looks without a worker, people are told. */
const looksAlone = 20;
/** Publishing may take this share of the time. */
const publishingShare = 0.1;

export class StorePool implements Pool {
  private readonly project: Project;
  private readonly times: WorkTimes;
  private readonly crew: Crew | undefined;

  /** `crew` brings workers; without one they come by themselves. */
  constructor(project: Project, times: WorkTimes = workTimes, crew?: Crew) {
    this.project = project;
    this.times = times;
    this.crew = crew;
  }

  async run(job: PoolJob): Promise<void> {
    const left = await this.clear(job.job);
    const first = await job.queue.take();
    if (first) await new StoreRun(this.project, this.times, job, this.crew).run(first);
    else if (left && !job.signal.aborted) await new WorkObjects(this.project, job.job).remove();
  }

  /** Deletes what engines that died have left of jobs that do not run. True where they have left something of this one. */
  private async clear(own: JobId): Promise<boolean> {
    const jobs = await jobsWithWork(this.project);
    const snapshot = jobs.length > 0 ? await this.project.snapshot() : undefined;
    for (const id of jobs) {
      if (id === own || !snapshot || (await maybeJob(snapshot, id))?.state === 'running') continue;
      await new WorkObjects(this.project, id).remove();
    }
    return jobs.includes(own);
  }
}

/** The datums of a job until all of them have results. */
class StoreRun {
  private readonly times: WorkTimes;
  private readonly job: PoolJob;
  private readonly crew: Crew | undefined;
  private readonly objects: WorkObjects;
  private readonly shards: Shards;
  private readonly claims: Claims;
  private readonly lost: LostDatums;
  /** Deliveries that were read, until they are deleted. */
  private readonly taken = new Set<string>();
  private unpublished: string[] = [];
  /** Of datums that an engine before this one had planned, until they are planned again. */
  private readonly early = new Map<string, Report>();
  private readonly offering: Offering;
  private publishedAt = performance.now();
  private tookMs = 0;
  private looks = 0;
  private isPlanned = false;
  private hasWorkers = false;
  private readonly ahead: ShardsAhead;
  private claimed: ReadonlyMap<string, unknown> = new Map();
  private unclaimed = 0;
  private readonly size: ShardSize;
  /** Those who wait for the next look. */
  private waiting: (() => void)[] = [];
  private readonly ended = new AbortController();

  constructor(project: Project, times: WorkTimes, job: PoolJob, crew: Crew | undefined) {
    this.times = times;
    this.job = job;
    this.size = new ShardSize(times, crew?.workersMax ?? job.spec.parallelism);
    this.ahead = new ShardsAhead(crew?.workersMax ?? job.spec.parallelism);
    this.crew = crew;
    this.objects = new WorkObjects(project, job.job);
    this.shards = new Shards(this.objects, !job.isCommitted);
    this.lost = new LostDatums(job, this.shards, crew);
    this.offering = new Offering(project, this.objects, job.job);
    this.claims = new Claims(this.objects, times, (claim) => crew?.isGone(claim) ?? false);
  }

  async run(first: PlannedDatum): Promise<void> {
    const { job } = this;
    job.tell({ kind: 'waiting', for: 'worker' });
    let failure: unknown;
    await using crew = new CrewWork(this.crew, (error) => this.ended.abort(error));
    try {
      await this.begin();
      const planning = this.plan(first);
      planning.then(
        () => this.wake(),
        (error: unknown) => this.ended.abort(error),
      );
      crew.begin(job, this.shards, () => this.isPlanned);
      const signal = AbortSignal.any([job.signal, this.ended.signal]);
      for (;;) {
        await this.look();
        if (this.isPlanned && this.shards.open === 0) break;
        signal.throwIfAborted();
        await this.pause(signal);
      }
      await job.publisher.flush();
    } catch (error) {
      failure = error;
      // Workers that are ended give up at once what they have.
      await Promise.all([this.leave(), crew.end()]);
      throw error;
    } finally {
      this.ended.abort(failure);
      this.wake();
    }
    await this.objects.remove();
  }

  /** Takes over what an engine before this one has left of the job, and tells workers of this one. */
  private async begin(): Promise<void> {
    const { objects } = this;
    const listed = await objects.list();
    const shards = mapOrdered(listed.shards.keys(), readsMax, async (name) => {
      return { name, shard: await objects.readShard(name).catch(unlessDamaged) };
    });
    for await (const { name, shard } of shards) if (shard) this.shards.found(name, shard);
    await this.takeAll(listed);
    await this.offering.renew(this.times.beatMs);
  }

  /** Puts the datums of the queue into shards. */
  private async plan(first: PlannedDatum): Promise<void> {
    const writes = mapOrdered(this.batches(first), writesMax, (batch) => this.shards.add(batch));
    for await (const _ of writes) {
      this.ended.signal.throwIfAborted();
      this.offering.added();
    }
    await this.shards.sweepBefore();
    this.isPlanned = true;
    this.early.clear();
  }

  private async *batches(first: PlannedDatum): AsyncGenerator<readonly PlannedDatum[]> {
    const { queue } = this.job;
    for (let next: PlannedDatum | undefined = first; next; next = await queue.take()) {
      await this.room();
      const batch: PlannedDatum[] = [];
      const max = this.size.datumsFor(this.claims.workers, queue, this.ahead.longer);
      for (let planned: PlannedDatum | undefined = next; planned; planned = queue.takeNow()) {
        if (!(await this.hasResult(planned)) && !this.shards.take(planned)) batch.push(planned);
        if (batch.length >= max) break;
      }
      if (batch.length === 0) continue;
      this.unclaimed += 1;
      yield batch;
    }
  }

  /** Waits until workers have taken most of what is there. */
  private async room(): Promise<void> {
    while (this.unclaimed >= this.ahead.max || this.shards.open >= openDatumsMax) {
      this.ended.signal.throwIfAborted();
      await new Promise<void>((go) => this.waiting.push(go));
    }
  }

  /** Goes on after a store that did not answer: what is delivered meanwhile waits there. */
  private async look(): Promise<void> {
    await this.lookOnce().catch(unlessAway);
    this.wake();
  }

  private async lookOnce(): Promise<void> {
    const { shards } = this;
    // Until it is told that it has lost its lease, it leaves all to the other one.
    if (!(await this.offering.isOwn())) return;
    const stored = shards.stored();
    const listed = await this.objects.list();
    await this.takeAll(listed);
    await this.lost.settle();
    for (const name of await this.claims.lapsed(listed.claims)) await shards.takeBack(name);
    const missing = shards.missing(stored, listed);
    // It may have stood still since it asked.
    if (missing.length > 0 && (await this.offering.isOwn())) await shards.mend(missing);
    this.claimed = listed.claims;
    this.unclaimed = shards.unclaimed(listed).length;
    this.ahead.grow(stored, listed.claims, this.size.isKnown);
    await this.publish();
    await shards.sweep();
    await this.tell();
    this.hasWorkers ||= listed.claims.size > 0;
    this.looks += 1;
    if (this.looks === looksAlone && !this.hasWorkers && !this.crew) {
      this.job.tell({ kind: 'note', line: `no worker has come yet; start some: pach worker -j ${this.job.job}` });
    }
  }

  /** Tells workers which shards are free, as far as the last look has seen claims. */
  private tell(): Promise<void> {
    const { claimed: claims } = this;
    return this.offering.renew(this.times.beatMs, { free: this.shards.free({ claims }), claims: claims.size });
  }

  /** Takes in the deliveries that are new. */
  private async takeAll({ deliveries }: Listed): Promise<void> {
    const unread = [...deliveries].filter(([id]) => !this.taken.has(id));
    const reads = mapOrdered(unread, readsMax, async ([id, info]) => {
      const delivery = await this.objects.readDelivery(id, info).catch(unlessDamaged);
      return { id, delivery, hasPacks: delivery !== undefined && (await this.adopt(delivery)) };
    });
    for await (const { id, delivery, hasPacks } of reads) {
      if (delivery) await this.take(id, delivery, hasPacks);
      this.taken.add(id);
    }
  }

  /** Takes in the packs of a delivery. False where nobody wants them, or a collection has taken them. */
  private async adopt({ packs, epoch, reports }: Delivery): Promise<boolean> {
    if (!reports.some(({ datum }) => !this.isPlanned || this.shards.get(datum))) return false;
    try {
      await this.job.publisher.adopt({ packs, epoch }, []);
      return true;
    } catch (error) {
      if (!isPachError(error, 'damaged', 'not-found')) throw error;
      return false;
    }
  }

  private async take(id: string, delivery: Delivery, hasPacks: boolean): Promise<void> {
    const { job, shards } = this;
    const { worker, epoch, reports, notes, ...end } = delivery;
    for (const line of notes) job.tell({ kind: 'note', line: `${worker}: ${line}` });
    const open = reports.flatMap((report) => {
      const planned = shards.get(report.datum);
      return planned ? [{ planned, report }] : [];
    });
    const early = this.isPlanned ? [] : reports.filter(({ datum }) => !shards.get(datum));
    this.hasWorkers = true;
    this.unpublished.push(id);
    this.taken.add(id);
    if (hasPacks) {
      if (open.length > 0) await job.publisher.adopt({ packs: [], epoch }, open.map(writtenOf));
      for (const each of open) this.settle(each);
      for (const report of early) this.early.set(report.datum, report);
    } else await shards.freeAll(open.map(({ report }) => report.datum));
    if (end.launcherLost && end.broken !== undefined) this.lost.add(worker, { datum: end.broken, notes });
    else if (end.broken !== undefined) this.lost.brokeAt({ datum: end.broken, notes });
  }

  /** True for a datum that has a result since an engine before this one. */
  private async hasResult(planned: PlannedDatum): Promise<boolean> {
    const report = this.early.get(planned.datum.id);
    if (!report) return false;
    this.early.delete(report.datum);
    await this.job.publisher.adopt({ packs: [], epoch: Number.MAX_SAFE_INTEGER }, [writtenOf({ planned, report })]);
    this.settle({ planned, report });
    return true;
  }

  /** Tells what became of a datum, as a worker of this process does. */
  private settle({ planned, report }: Reported): void {
    const { job } = this;
    const { outcome, tree } = report;
    for (const event of eventsOf({ planned, report })) job.tell(event);
    this.size.took(outcome.stats.processMs);
    this.shards.done(report.datum);
    job.done(planned, { outcome, tree });
  }

  /** Publishes what was taken in, when it is time to, and deletes what then is in the head. */
  private async publish(): Promise<void> {
    const waitMs = Math.max(this.times.publishMs, this.tookMs / publishingShare);
    if (this.unpublished.length === 0 || performance.now() - this.publishedAt < waitMs) return;
    const { unpublished } = this;
    this.unpublished = [];
    const begun = performance.now();
    await this.job.publisher.flush();
    this.publishedAt = performance.now();
    this.tookMs = this.publishedAt - begun;
    for await (const _ of mapOrdered(unpublished, writesMax, (id) => this.objects.deleteDelivery(id)));
  }

  /**
   * Ends the work of a job that came to no end here: workers stop, and what they have done is taken in.
   * Of a job that another engine has now, nothing is touched. Never rejects: who offers work next clears
   * up what could not be.
   */
  private async leave(): Promise<void> {
    if (this.job.signal.reason instanceof LostLease) return;
    this.lost.leave();
    try {
      if (!(await this.offering.end())) return;
      const until = performance.now() + timesFor(this.times, this.claims.workers).graceMs;
      for (;;) {
        const listed = await this.objects.list();
        await this.takeAll(listed);
        const lapsed = new Set(await this.claims.lapsed(listed.claims));
        const left = [...listed.claims.keys()].filter((name) => !lapsed.has(name) && listed.shards.has(name));
        if (left.length === 0 || performance.now() >= until) break;
        await sleep(this.times.lookMs / 4);
      }
      await this.objects.remove();
    } catch {
      // The error that ended the job is told.
    }
  }

  private async pause(signal: AbortSignal): Promise<void> {
    const parts = this.looks < soonLooks && !this.size.isKnown ? 4 : 1;
    await this.offering.pause(this.times.lookMs / parts, signal, () => this.tell().catch(unlessAway));
  }

  private wake(): void {
    for (const go of this.waiting.splice(0)) go();
  }
}

function unlessAway(error: unknown): void {
  if (!isPachError(error, 'unreachable')) throw error;
}

/** An object that can't be read says nothing. */
function unlessDamaged(error: unknown): undefined {
  if (!isPachError(error, 'damaged', 'unsupported')) throw error;
}
