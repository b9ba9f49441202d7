/**
 * The worker of a pod, in a container of its own beside the one whose image the pipeline names. It alone
 * has access to the store; the commands run in the other container (execution/executors/pod.ts).
 */
import { isPachError } from '../base/errors.ts';
import { LostLauncher } from '../execution/executor.ts';
import { PodExecutor } from '../execution/executors/pod.ts';
import { OrdersHeard } from '../execution/store/orders.ts';
import { warmTimes, workTimes } from '../execution/store/times.ts';
import type { JobId } from '../model/records/pipelines.ts';
import { codeOfJob } from '../pipelines/editing/versions.ts';
import { findJob, maybeJob } from '../pipelines/jobs/jobs.ts';
import { podHolder, thisEngine, type Holder } from '../pipelines/jobs/lease.ts';
import { inserterProgram, launcherProgram } from './executors.ts';
import type { OpenProject } from './open.ts';
import { recipeOf } from './platform.ts';
import { checkStore } from './pod-store.ts';
import { RunSession } from './run-session.ts';
import type { Settings } from './settings.ts';
import { JobWorker, type WorkRequest } from './worker.ts';

export interface PodRequest extends WorkRequest {
  readonly job: string;
  /** The folder that the pod's containers share. */
  readonly dir: string;
  /** Goes on with the next job of the engine that made the pod, until that has gone. */
  readonly warm: boolean;
}

/**
 * How long another launcher may take to come after one has gone. A kubelet waits 10 s, 20 s and 40 s before it
 * starts a container again. Where it will not, it ends this process when the container has ended.
 */
const launcherMsMax = 90_000;

/**
 * Works for the job until it has ended, and where the pod is warm for those after it, and tells the launcher so, or
 * until the signal is aborted or the pod is told to end. Throws `LostLauncher` when the launcher has gone, and no
 * other one has come.
 */
export async function workInPod(settings: Settings, opened: OpenProject, request: PodRequest): Promise<void> {
  checkStore(settings, opened, 'the job was started');
  const { dir, note, warm } = request;
  const { project } = opened;
  const snapshot = await project.snapshot();
  const first = await findJob(snapshot, request.job).catch((error: unknown) => {
    if (isPachError(error, 'not-found')) return undefined;
    throw error;
  });
  const platform = first ? (await recipeOf(snapshot.reader, first)).platform : {};
  await using executor = await PodExecutor.open({
    dir,
    program: launcherProgram,
    inserter: settings.pod?.mounts === true ? inserterProgram : undefined,
    user: settings.pod?.user,
    platform,
  });
  const signal = AbortSignal.any([request.signal, executor.ending]);
  if (warm && executor.places.hasCode) {
    // Nobody knows of which job the code is that lies there: the launcher goes with this process, and the pod with it.
    await executor.arrived(signal);
    return;
  }
  await using session = await RunSession.with(executor, settings, opened);
  const pod = new PodJobs({ settings, opened, executor, session, request });
  if (!first) {
    note(`there is no job ${request.job} any more`);
    await executor.show();
    if (!(await executor.arrived(signal))) return;
  } else if (!warm) await pod.work(first.id, signal);
  else {
    await using orders = new OrdersHeard(project, first.id);
    for (let next = await orders.next(undefined, signal); next; next = await orders.next(next.job, signal)) {
      await pod.work(next.job, AbortSignal.any([signal, next.signal]));
    }
    if (!(await executor.arrived(signal))) return;
  }
  if (!signal.aborted) await executor.end();
}

interface PodParts {
  readonly settings: Settings;
  readonly opened: OpenProject;
  readonly executor: PodExecutor;
  readonly session: RunSession;
  readonly request: PodRequest;
}

/** The jobs that a pod works for, one after another. */
class PodJobs {
  private readonly parts: PodParts;
  private readonly worker: Holder;

  constructor(parts: PodParts) {
    const { settings, opened } = parts;
    this.parts = parts;
    const engine = thisEngine(opened.project.options.author);
    this.worker = settings.pod ? { ...engine, holder: podHolder(settings.pod) } : engine;
  }

  /** Works for a job until it has ended, or the signal is aborted. */
  async work(id: JobId, signal: AbortSignal): Promise<void> {
    const { settings, opened, executor, session, request } = this.parts;
    const snapshot = await opened.project.snapshot();
    const job = await maybeJob(snapshot, id);
    if (!job) return;
    const pipeline = { name: job.pipeline, ...(await codeOfJob(snapshot, job)) };
    await session.pool(pipeline, { workers: 1, inputs: [], signal, unused: request.note });
    await executor.show();
    const bench = { worker: this.worker, session: () => Promise.resolve(session) };
    const times = request.warm ? warmTimes : workTimes;
    const worker = new JobWorker(settings, opened, { ...request, signal, job: id, times }, bench);
    // The other container takes its time to start.
    worker.prepare(snapshot, job);
    if (await executor.arrived(signal)) await work(executor, signal, worker);
  }
}

/** Goes on with the next launcher when one has gone. */
async function work(executor: PodExecutor, signal: AbortSignal, worker: JobWorker): Promise<void> {
  for (;;) {
    try {
      await worker.run();
      return;
    } catch (error) {
      if (!(error instanceof LostLauncher)) throw error;
      await executor.arrived(AbortSignal.any([signal, AbortSignal.timeout(launcherMsMax)]));
      if (signal.aborted) return;
      if (!executor.isThere) throw error;
    }
  }
}
