/**
 * What others do to a job while it runs: they stop it, take its pipeline over, or take away what it
 * reads. All that a job publishes is published only while none of this has happened.
 */
import { isPachError, PachError } from '../base/errors.ts';
import { maybeJob, type Job } from '../pipelines/jobs/jobs.ts';
import { endLease, heldUntil, leaseMs, maybeLease, setLease, type Holder } from '../pipelines/jobs/lease.ts';
import type { JobInputs } from '../pipelines/jobs/plan.ts';
import type { Change } from '../versions/change.ts';
import type { Project } from '../versions/project.ts';
import { byEngine } from '../versions/publish.ts';
import type { Snapshot } from '../versions/snapshot.ts';

export interface WatchOptions {
  readonly project: Project;
  readonly job: Job;
  readonly inputs: JobInputs;
  readonly holder: Holder;
}

/** A lease is renewed when so much of its time is over. */
const renewMs = leaseMs / 2;
/** How often the engine sees whether that is so. Asks the store nothing. */
const tickMs = 2000;

export class JobWatch implements Disposable {
  private readonly options: WatchOptions;
  private readonly ended = new AbortController();
  private readonly listening: Disposable;
  private readonly timer: NodeJS.Timeout;
  /** The head that is to be looked at next. */
  private newest: Snapshot | undefined;
  private isLooking = false;
  private isRenewing = false;
  private lease: Lease;
  private isEnding = false;
  private lost = false;
  private stopped = false;

  /** The lease was just taken. */
  constructor(options: WatchOptions) {
    this.options = options;
    this.lease = seenNow(Date.now() + leaseMs);
    this.timer = setInterval(() => void this.renew(), tickMs);
    this.listening = options.project.head.listen({
      moved: (snapshot) => {
        this.newest = snapshot;
        void this.look();
      },
    });
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
    this.isEnding = false;
    await this.checkLease(change.snapshot);
    setLease(change, this.options.job, this.options.holder);
  }

  /** Part of the last change of the job, after `hold`: ends the lease, which is then missed by nobody. */
  end(change: Change): void {
    endLease(change, this.options.job);
    this.isEnding = true;
  }

  [Symbol.dispose](): void {
    this.listening[Symbol.dispose]();
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

  private async checkLease(snapshot: Snapshot): Promise<void> {
    const { job, holder } = this.options;
    try {
      const until = heldUntil(await maybeLease(snapshot, job), job, holder);
      if (until !== this.lease.until) this.lease = seenNow(until);
    } catch (error) {
      if (isPachError(error, 'conflict')) {
        this.lost = true;
        this.ended.abort(error);
      }
      throw error;
    }
  }

  /** Looks at the newest head, one after another. What is wrong with it, `signal` says. */
  private async look(): Promise<void> {
    if (this.isLooking) return;
    this.isLooking = true;
    while (this.newest) {
      const snapshot = this.newest;
      this.newest = undefined;
      if (!this.isEnding) await this.check(snapshot).catch(() => undefined);
    }
    this.isLooking = false;
  }

  /** Never fails: who can't reach the store finds out when there is something to publish. */
  private async renew(): Promise<void> {
    const { until, seenAt } = this.lease;
    // By both clocks: one of them stands while the machine sleeps, the other may be set back.
    const isDue = until - Date.now() < leaseMs - renewMs || performance.now() - seenAt >= renewMs;
    if (!isDue || this.isRenewing || this.isEnding) return;
    this.isRenewing = true;
    const { project, job } = this.options;
    await project
      .update(byEngine(`keep the lease of ${job.pipeline}`), (change) => this.hold(change))
      .catch(() => undefined);
    this.isRenewing = false;
  }
}

/** This engine's lease, as the newest head has it. */
interface Lease {
  /** As the clock of this machine has it, in milliseconds. */
  readonly until: number;
  /** When this was seen first, on the monotonic clock. */
  readonly seenAt: number;
}

function seenNow(until: number): Lease {
  return { until, seenAt: performance.now() };
}

function inputGone({ id, pipeline }: Job, version: string): PachError {
  return new PachError('conflict', {
    what: `job ${id}`,
    why: `its input ${version} was deleted or purged while it ran`,
    next: `pach run pipeline ${pipeline}`,
  });
}
