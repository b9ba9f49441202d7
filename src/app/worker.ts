/**
 * A worker beside an engine, on this machine or another one: both reach the same store, and nothing
 * else of each other. It runs datums of jobs whose engine offers them, with this machine's executors,
 * mounts and secrets.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isPachError, PachError } from '../base/errors.ts';
import { LostLauncher } from '../execution/executor.ts';
import { FreeShards } from '../execution/store/free-shards.ts';
import { StoreWorker } from '../execution/store/store-worker.ts';
import { timesFor, workTimes, type WorkTimes } from '../execution/store/times.ts';
import { WorkObjects } from '../execution/store/work-objects.ts';
import { jobVariables } from '../execution/workers/environment.ts';
import type { JobId } from '../model/records/pipelines.ts';
import { codeOfJob } from '../pipelines/editing/versions.ts';
import { checkSpec } from '../pipelines/jobs/checks.ts';
import { findJob, isNone, maybeJob, type Job } from '../pipelines/jobs/jobs.ts';
import { thisEngine, type Holder } from '../pipelines/jobs/lease.ts';
import type { JobInputs } from '../pipelines/jobs/plan.ts';
import { leasedJobs } from '../pipelines/jobs/running.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import type { LocalExecutorName } from './executors.ts';
import type { OpenProject } from './open.ts';
import type { Printed } from './printed.ts';
import { executorOf, platformDifferences } from './platform.ts';
import { clearLogs } from './run-pipelines.ts';
import { RunSession, type RunPipeline } from './run-session.ts';
import type { Settings } from './settings.ts';

export interface WorkRequest {
  /** The job that it works for, or its beginning; all where it is not said. */
  readonly job: string | undefined;
  readonly exitWhenIdle: boolean;
  readonly note: (line: string) => void;
  readonly signal: AbortSignal;
  /** Told what commands print, for those who follow it elsewhere. */
  readonly printed?: (printed: Printed) => void;
  /** As the job's engine has it. */
  readonly times?: WorkTimes;
}

export interface WorkerRequest extends WorkRequest {
  /** Sources of secrets, before this machine's own. */
  readonly secretsFrom: readonly string[];
}

/** Who works, and with what. */
export interface Bench {
  readonly worker: Holder;
  /** A session for a job, which stays whoever's it is. */
  session(job: Job): Promise<RunSession>;
}

/** What it takes to work for a job. */
interface Ready {
  readonly session: RunSession;
  readonly pipeline: RunPipeline;
  readonly inputs: JobInputs;
}

/** With `exitWhenIdle`: how long there must be nothing to do. */
const idleMs = 10_000;
/** A job that this machine could not work for is tried again after this time. */
const againMs = 30_000;

/** Until its job has ended, no engine has been heard for long, or the signal is aborted. Leaves nothing on this machine but caches and logs. */
export async function work(settings: Settings, opened: OpenProject, request: WorkerRequest): Promise<void> {
  await using sessions = new Sessions(settings, opened, request.secretsFrom);
  const worker = thisEngine(opened.project.options.author);
  await new JobWorker(settings, opened, request, { worker, session: (job) => sessions.of(executorOf(job)) }).run();
  await clearLogs(settings, opened.project);
}

/** A session for all jobs of an executor. */
class Sessions implements AsyncDisposable {
  private readonly settings: Settings;
  private readonly opened: OpenProject;
  private readonly secretsFrom: readonly string[];
  private readonly sessions = new Map<LocalExecutorName, RunSession>();

  constructor(settings: Settings, opened: OpenProject, secretsFrom: readonly string[]) {
    this.settings = settings;
    this.opened = opened;
    this.secretsFrom = secretsFrom;
  }

  async of(executor: LocalExecutorName): Promise<RunSession> {
    const before = this.sessions.get(executor);
    if (before) return before;
    const { secretsFrom } = this;
    const opened = await RunSession.open(this.settings, this.opened, { executor, secretsFrom, idleWorkersMax: 4 });
    this.sessions.set(executor, opened);
    return opened;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.sessions.values()) await session[Symbol.asyncDispose]();
  }
}

/** Works for jobs as long as there is work, or may be. */
export class JobWorker {
  private readonly settings: Settings;
  private readonly opened: OpenProject;
  private readonly request: WorkRequest;
  private readonly bench: Bench;
  private readonly free = new Map<JobId, FreeShards>();
  /** The most claims that it saw while there were jobs. So many workers may wait as this one does. */
  private claimsMax = 0;
  /** The store is to have so long a rest between its looks. */
  private restMs = 0;
  /** Jobs that this machine can't work for, and until when it does not try. */
  private readonly refused = new Map<JobId, number>();
  private ahead: { readonly job: JobId; readonly ready: Promise<Ready> } | undefined;
  private heardAt = performance.now();
  private busyAt = performance.now();

  constructor(settings: Settings, opened: OpenProject, request: WorkRequest, bench: Bench) {
    this.settings = settings;
    this.opened = opened;
    this.request = request;
    this.bench = bench;
  }

  /** Throws `LostLauncher` where only another launcher can go on. */
  async run(): Promise<void> {
    const { signal, exitWhenIdle, note, times = workTimes } = this.request;
    const job = this.request.job === undefined ? undefined : await this.named(this.request.job);
    for (let pauseMs = times.lookMs / 2; !signal.aborted;) {
      const found = await this.look(job);
      if (found === 'ended') return;
      const now = performance.now();
      if (found === 'worked') {
        pauseMs = times.lookMs / 2;
        this.busyAt = now;
      } else pauseMs = Math.min(pauseMs * 1.5, timesFor(times, this.claimsMax).idleLookMsMax);
      if (exitWhenIdle && now - this.busyAt >= idleMs) return;
      if (now - this.heardAt >= times.silenceMs) {
        note('no engine has offered work for ten minutes: this worker ends');
        return;
      }
      await sleep(Math.max(pauseMs, this.restMs), undefined, { signal }).catch(() => undefined);
    }
  }

  /** Begins to read what it takes to work for a job, while there is something else to wait for. */
  prepare(snapshot: Snapshot, job: Job): void {
    const ready = this.ready(snapshot, job);
    ready.catch(() => undefined); // told by `workFor`
    this.ahead = { job: job.id, ready };
  }

  private async named(text: string): Promise<JobId> {
    return (await findJob(await this.opened.project.snapshot(), text)).id;
  }

  /** Works for the jobs that have something to do; a store that does not answer has nothing. */
  private async look(only: JobId | undefined): Promise<'worked' | 'idle' | 'ended'> {
    try {
      const snapshot = await this.opened.project.snapshot();
      const jobs = await jobsOf(snapshot, only);
      if (jobs.length === 0) this.claimsMax = 0;
      if (only !== undefined && jobs.length === 0) return 'ended';
      let hasWorked = false;
      for (const job of jobs) hasWorked = (await this.lookAt(snapshot, job)) || hasWorked;
      return hasWorked ? 'worked' : 'idle';
    } catch (error) {
      if (this.request.signal.aborted || isPachError(error, 'unreachable')) return 'idle';
      throw error;
    }
  }

  /** True when it had something to do. */
  private async lookAt(snapshot: Snapshot, job: Job): Promise<boolean> {
    const free = this.free.get(job.id) ?? new FreeShards(new WorkObjects(this.opened.project, job.id));
    this.free.set(job.id, free);
    const heard = await free.look();
    if (heard === 'news') this.heardAt = performance.now();
    this.restMs = free.pauseMs(0);
    this.claimsMax = Math.max(this.claimsMax, free.claims);
    if (performance.now() < (this.refused.get(job.id) ?? 0)) return false;
    if (free.left === 0) return false;
    try {
      const count = await this.workFor(snapshot, job, free);
      if (count > 0) this.heardAt = performance.now();
      return count > 0;
    } catch (error) {
      const isLost = error instanceof LostLauncher;
      if (isLost || this.request.signal.aborted || isPachError(error, 'unreachable')) throw error;
      // Another machine may be able to, or this one later.
      const why = error instanceof Error ? error.message : String(error);
      this.request.note(`job ${job.id} of ${job.pipeline}: ${why}`);
      if (!this.refused.has(job.id)) await this.tellEngine(job, why);
      this.refused.set(job.id, performance.now() + againMs);
      return false;
    }
  }

  /** Whoever waits for the job may see it there alone. */
  private async tellEngine({ id: job }: Job, line: string): Promise<void> {
    const { project } = this.opened;
    const worker = this.bench.worker.holder;
    const nothing = { epoch: 0, packs: [], reports: [] };
    await new WorkObjects(project, job).writeDelivery({ job, worker, ...nothing, notes: [line] });
  }

  /** Throws `unsupported` where this machine would compute something else. */
  private async ready(snapshot: Snapshot, job: Job): Promise<Ready> {
    const { signal, note } = this.request;
    const session = await this.bench.session(job);
    const then: RunPipeline = { name: job.pipeline, ...(await codeOfJob(snapshot, job)) };
    const [pipeline = then] = await session.prepare([then], { log: note, signal });
    const { image } = pipeline.spec.transform;
    const [differing, inputs] = await Promise.all([
      platformDifferences(snapshot.reader, job, session.executor, image),
      inputsOf(snapshot, job),
    ]);
    if (!differing || differing.length > 0) throw another(job, differing);
    return { session, pipeline, inputs };
  }

  private async workFor(snapshot: Snapshot, job: Job, free: FreeShards): Promise<number> {
    const { project } = this.opened;
    const { signal, note, printed, times = workTimes } = this.request;
    const { ahead } = this;
    this.ahead = undefined;
    const { session, pipeline, inputs } = await (ahead?.job === job.id ? ahead.ready : this.ready(snapshot, job));
    const { spec } = pipeline;
    const names = { job: job.id, project: project.options.name, specHash: job.spec.hash.toString('hex') };
    const pool = await session.pool(pipeline, { workers: 1, inputs, signal, unused: note });
    const home = this.settings.home;
    const worker = new StoreWorker({
      project,
      free,
      worker: this.bench.worker,
      pool,
      spec(isCheck) {
        const { check } = spec.expect ?? {};
        const run = isCheck && check ? checkSpec(spec, check, job.branch) : spec;
        return { spec: run, env: jobVariables(run, names) };
      },
      mayRefer: inputs.some(({ commit }) => commit?.references === true),
      logs: await home.make(join(home.logs, job.id)),
      masked: (text) => session.secrets.maskedText(text),
      signal,
      times,
      printed: printed && ((datum, text) => printed({ job: job.id, datum, text })),
    });
    const count = await worker.run();
    if (count > 0) note(`ran ${count} ${count === 1 ? 'datum' : 'datums'} of job ${job.id} of ${job.pipeline}`);
    return count;
  }
}

/** Jobs that run: all, or a certain one. */
async function jobsOf(snapshot: Snapshot, only: JobId | undefined): Promise<Job[]> {
  if (only !== undefined) {
    const job = await maybeJob(snapshot, only);
    return job?.state === 'running' ? [job] : [];
  }
  const jobs: Job[] = [];
  for await (const { job } of leasedJobs(snapshot)) if (job.state === 'running') jobs.push(job);
  return jobs;
}

async function inputsOf(snapshot: Snapshot, { inputs }: Job): Promise<JobInputs> {
  return Promise.all(
    inputs.map(async ({ repo, branch, commit }) => {
      return { repo, branch, commit: isNone(commit) ? undefined : await snapshot.maybeCommit(repo, commit) };
    }),
  );
}

function another({ executor }: Job, differing: readonly string[] | undefined): PachError {
  const what = differing ? `it differs in: ${differing.join(', ')}` : `executors of the class of ${executor} differ`;
  return new PachError('unsupported', {
    what: 'this machine',
    why: `it would compute something else than the engine's: ${what}`,
  });
}
