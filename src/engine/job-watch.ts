/**
 * What others do to a job while it runs: they stop it, take its pipeline over, or take away what it
 * reads. All that a job publishes is published only while none of this has happened.
 */
import { isPachError, PachError } from '../base/errors.ts';
import type { Change } from '../versions/change.ts';
import type { Project } from '../versions/project.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { maybeJob, type Job } from '../pipelines/jobs/jobs.ts';
import { heldUntil, leaseMs, maybeLease, setLease, type Holder } from '../pipelines/jobs/lease.ts';
import type { JobInputs } from '../pipelines/jobs/plan.ts';

export interface WatchOptions {
  readonly project: Project;
  readonly job: Job;
  readonly inputs: JobInputs;
  readonly holder: Holder;
}

/** How often it looks: who stops a job waits for so long. */
const lookMs = 2000;

export class JobWatch implements Disposable {
  private readonly options: WatchOptions;
  private readonly ended = new AbortController();
  private readonly timer: NodeJS.Timeout;
  private looking = false;
  private lost = false;
  private stopped = false;

  constructor(options: WatchOptions) {
    this.options = options;
    this.timer = setInterval(() => void this.look(), lookMs);
  }

  /** Aborted when the job is to end: it was stopped, or is this engine's no more. */
  get signal(): AbortSignal {
    return this.ended.signal;
  }

  /** True when it is not for this engine to say what becomes of the job. */
  get isLost(): boolean {
    return this.lost;
  }

  get isStopped(): boolean {
    return this.stopped;
  }

  /** Part of every change that the job publishes: renews the lease. Throws `conflict` when nothing may be published. */
  async hold(change: Change): Promise<void> {
    await this.check(change.snapshot);
    await this.holdLease(change);
  }

  /** The same for a job that has come to nothing: it may have lost what it read. */
  async holdLease(change: Change): Promise<void> {
    await this.checkLease(change.snapshot);
    setLease(change, this.options.job, this.options.holder);
  }

  [Symbol.dispose](): void {
    clearInterval(this.timer);
  }

  private async check(snapshot: Snapshot): Promise<void> {
    const { job, inputs } = this.options;
    await this.checkLease(snapshot);
    for (const { repo, commit } of inputs) {
      if (!commit) continue;
      const now = await snapshot.maybeCommit(repo, commit.id);
      if (now?.tree.hash.equals(commit.tree.hash)) continue;
      const error = inputGone(job, `${repo}@${commit.id}`);
      this.ended.abort(error);
      throw error;
    }
    if (!(await maybeJob(snapshot, job.id))?.stopping) return;
    this.stopped = true;
    this.ended.abort(new PachError('interrupted', { what: `job ${job.id}`, why: 'it was stopped' }));
  }

  /** Resolves to when the lease ends. */
  private async checkLease(snapshot: Snapshot): Promise<number> {
    const { job, holder } = this.options;
    try {
      return heldUntil(await maybeLease(snapshot, job), job, holder);
    } catch (error) {
      if (isPachError(error, 'conflict')) {
        this.lost = true;
        this.ended.abort(error);
      }
      throw error;
    }
  }

  /** Never fails: who can't reach the store finds out when there is something to publish. */
  private async look(): Promise<void> {
    if (this.looking) return;
    this.looking = true;
    const { project, job } = this.options;
    try {
      const snapshot = await project.snapshot();
      await this.check(snapshot);
      if ((await this.checkLease(snapshot)) - Date.now() < leaseMs / 2) {
        await project.update(`keep the lease of ${job.pipeline}`, (change) => this.hold(change));
      }
    } catch {
      // Said by `signal` where it matters.
    } finally {
      this.looking = false;
    }
  }
}

function inputGone({ id, pipeline }: Job, version: string): PachError {
  return new PachError('conflict', {
    what: `job ${id}`,
    why: `its input ${version} was deleted or purged while it ran`,
    next: `pach run pipeline ${pipeline}`,
  });
}
