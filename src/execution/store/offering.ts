/**
 * The offer of a job's engine: written anew from time to time, so that workers hear that there is
 * one, and only over one's own. An engine that finds another one's offer has lost the job.
 */
import type { JobId } from '../../model/records/pipelines.ts';
import { maybeJob } from '../../pipelines/jobs/jobs.ts';
import { maybeLease, thisEngine } from '../../pipelines/jobs/lease.ts';
import type { Token } from '../../store/store.ts';
import type { Project } from '../../versions/project.ts';
import type { WorkObjects } from './work-objects.ts';

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

  constructor(project: Project, objects: WorkObjects, job: JobId) {
    this.project = project;
    this.objects = objects;
    this.job = job;
  }

  /** Writes it anew where it is older than that. */
  async renew(afterMs: number): Promise<void> {
    if (this.isLost || performance.now() - this.at < afterMs) return;
    const isFirst = this.at === -Infinity;
    this.holder ??= await this.leaseHolder();
    this.token = (await this.write(false)) ?? (await this.replace(isFirst));
    if (this.token !== undefined) this.at = performance.now();
    else this.isLost = !isFirst;
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
  private async replace(isFirst: boolean): Promise<Token | undefined> {
    const found = await this.project.options.store.readWithToken(this.objects.offerKey);
    this.token = found?.token;
    return isFirst || (!found && (await this.goesOn())) ? this.write(false) : undefined;
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

  private write(ended: boolean): Promise<Token | undefined> {
    this.beats += 1;
    const { holder } = thisEngine(this.project.options.author);
    return this.objects.writeOffer({ job: this.job, holder, beat: this.beats, ended }, this.token);
  }
}
