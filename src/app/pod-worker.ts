/**
 * The worker of a pod, in a container of its own beside the one whose image the pipeline names. It alone
 * has access to the store; the commands run in the other container (execution/executors/pod.ts).
 */
import { isPachError, PachError } from '../base/errors.ts';
import { LostLauncher } from '../execution/executor.ts';
import { PodExecutor } from '../execution/executors/pod.ts';
import { codeOfJob } from '../pipelines/editing/versions.ts';
import { findJob } from '../pipelines/jobs/jobs.ts';
import { podHolder, thisEngine } from '../pipelines/jobs/lease.ts';
import { launcherProgram } from './executors.ts';
import type { OpenProject } from './open.ts';
import { recipeOf } from './platform.ts';
import { RunSession } from './run-session.ts';
import type { Settings } from './settings.ts';
import { JobWorker, type WorkRequest } from './worker.ts';

export interface PodRequest extends WorkRequest {
  readonly job: string;
  /** The folder that the pod's containers share. */
  readonly dir: string;
}

/**
 * How long another launcher may take to come after one has gone. A kubelet waits 10 s, 20 s and 40 s before it
 * starts a container again. Where it will not, it ends this process when the container has ended.
 */
const launcherMsMax = 90_000;

/**
 * Works for the job until it has ended, and tells the launcher so, or until the signal is aborted or the pod
 * is told to end. Throws `LostLauncher` when the launcher has gone, and no other one has come.
 */
export async function workInPod(settings: Settings, opened: OpenProject, request: PodRequest): Promise<void> {
  checkStore(settings, opened);
  const { dir, note } = request;
  const { project } = opened;
  const snapshot = await project.snapshot();
  const job = await findJob(snapshot, request.job).catch((error: unknown) => {
    if (isPachError(error, 'not-found')) return undefined;
    throw error;
  });
  const platform = job ? (await recipeOf(snapshot.reader, job)).platform : {};
  await using executor = await PodExecutor.open({ dir, program: launcherProgram, user: settings.pod?.user, platform });
  await using session = await RunSession.with(executor, settings, opened);
  const signal = AbortSignal.any([request.signal, executor.ending]);
  if (job) {
    const pipeline = { name: job.pipeline, ...(await codeOfJob(snapshot, job)) };
    await session.pool(pipeline, { workers: 1, inputs: [], signal, unused: note });
  } else note(`there is no job ${request.job} any more`);
  await executor.show();
  if (!(await executor.arrived(signal))) return;
  const { pod } = settings;
  const engine = thisEngine(project.options.author);
  const worker = pod ? { ...engine, holder: podHolder(pod) } : engine;
  const bench = { worker, session: () => Promise.resolve(session) };
  if (job) await work(executor, signal, new JobWorker(settings, opened, { ...request, signal, job: job.id }, bench));
  if (!signal.aborted) await executor.end();
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

/** An address may lead elsewhere from within a cluster. */
function checkStore({ pod, storeUrl }: Settings, { storeId }: OpenProject): void {
  if (pod?.storeId === undefined || pod.storeId === storeId) return;
  throw new PachError('conflict', {
    what: storeUrl,
    why: `it is another store here (${storeId}) than where the job was started (${pod.storeId})`,
    next: 'give an address that leads to the same store from everywhere: --store-in-cluster URL',
  });
}
