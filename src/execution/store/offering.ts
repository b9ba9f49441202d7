/**
 * The offer of a job's engine: written anew from time to time, so that workers hear that there is
 * one, and only over one's own. An engine that finds another one's offer has lost the job.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { JobId } from '../../model/records/pipelines.ts';
import type { Offer } from '../../model/records/work-objects.ts';
import { maybeJob } from '../../pipelines/jobs/jobs.ts';
import { maybeLease, thisEngine } from '../../pipelines/jobs/lease.ts';
import type { Token } from '../../store/store.ts';
import type { Project } from '../../versions/project.ts';
import type { WorkObjects } from './work-objects.ts';

/** What workers hear beside that there is an engine. */
export type Told = Pick<Offer, 'free' | 'claims'>;

/** Workers are told of so many free shards at most. */
const toldMax = 1024;

const nothing: Told = { free: [], claims: 0 };

export class Offering {
  private readonly project: Project;
  private readonly objects: WorkObjects;
  private readonly job: JobId;
  private token: Token | undefined;
  private beats = 0;
  private at = -Infinity;
  private isLost = false;
  /** Of the job's lease, as this engine took it. */
  private holder: string | undefined;
  private told = nothing;
  /** Shards that were added since. */
  private untold = 0;
  private toTell = new AbortController();

  constructor(project: Project, objects: WorkObjects, job: JobId) {
    this.project = project;
    this.objects = objects;
    this.job = job;
  }

  /** A shard has been written. As many as are told make it worth while to tell of them. */
  added(): void {
    this.untold += 1;
    if (this.untold >= this.told.free.length) this.toTell.abort();
  }

  /** Waits for so long, and calls `tell` when there is something to be told: who waits for work need not wait for a look. */
  async pause(ms: number, signal: AbortSignal, tell: () => Promise<void>): Promise<void> {
    const until = performance.now() + ms;
    for (let leftMs = ms; leftMs > 0; leftMs = until - performance.now()) {
      const woken = AbortSignal.any([signal, this.toTell.signal]);
      const isOver = await sleep(leftMs, true, { signal: woken }).catch(() => signal.throwIfAborted());
      if (!isOver) await tell();
    }
  }

  /** Writes it anew where it is older than that, or other shards are free. */
  async renew(afterMs: number, { free, claims } = nothing): Promise<void> {
    const told = { free: free.slice(0, toldMax), claims };
    this.untold = 0;
    this.toTell = new AbortController();
    if (this.isLost) return;
    if (performance.now() - this.at < afterMs && isDeepStrictEqual(told.free, this.told.free)) return;
    const isFirst = this.at === -Infinity;
    this.holder ??= await this.leaseHolder();
    this.token = (await this.write(false, told)) ?? (await this.replace(isFirst, told));
    if (this.token === undefined) this.isLost = !isFirst;
    else {
      this.at = performance.now();
      this.told = told;
    }
  }

  /** False once another engine has made an offer, or has come to the job's end and taken it away. */
  async isOwn(): Promise<boolean> {
    const found = await this.project.options.store.readIfChanged(this.objects.offerKey, this.token);
    return found ? found === 'unchanged' : this.goesOn();
  }

  /** Tells workers that the job has ended. False where another engine has it. */
  async end(): Promise<boolean> {
    return this.token !== undefined && (await this.write(true)) !== undefined;
  }

  /** Whoever begins takes an older engine's place. Later it may be missing; another one is a newer engine's. */
  private async replace(isFirst: boolean, told: Told): Promise<Token | undefined> {
    const found = await this.project.options.store.readWithToken(this.objects.offerKey);
    this.token = found?.token;
    return isFirst || (!found && (await this.goesOn())) ? this.write(false, told) : undefined;
  }

  /** True while the lease of the job is whose it was at first. */
  private async goesOn(): Promise<boolean> {
    return this.holder !== undefined && (await this.leaseHolder()) === this.holder;
  }

  private async leaseHolder(): Promise<string | undefined> {
    const snapshot = await this.project.snapshot();
    const job = await maybeJob(snapshot, this.job);
    return job && (await maybeLease(snapshot, job))?.holder;
  }

  private write(ended: boolean, told = nothing): Promise<Token | undefined> {
    this.beats += 1;
    const { holder } = thisEngine(this.project.options.author);
    return this.objects.writeOffer({ job: this.job, holder, beat: this.beats, ended, ...told }, this.token);
  }
}
