/**
 * Running pipelines as the command does it: the engine with this machine's executors, mounts,
 * secrets and folders.
 */
import { join } from 'node:path';
import { PachError } from '../base/errors.ts';
import { removeTreeAsync } from '../base/remove.ts';
import { parseAddress } from '../model/address.ts';
import type { DatumOrder } from '../engine/datum-order.ts';
import { tellAll, type RunListener } from '../engine/events.ts';
import { StorePool } from '../execution/store/store-pool.ts';
import { maybeJob } from '../pipelines/jobs/jobs.ts';
import type { JobResult } from '../engine/job-end.ts';
import type { JobOptions } from '../engine/job-run.ts';
import { graphFor, inputsOf, runGraph, runPrepared, type GraphOptions, type GraphStep } from '../engine/run-graph.ts';
import type { ServeRun } from '../engine/serve.ts';
import { setTarget, type Target } from '../engine/targets.ts';
import type { Pipeline } from '../pipelines/pipelines.ts';
import { pfsInputs } from '../pipelines/spec/input.ts';
import { resolveCommit } from '../versions/resolve.ts';
import type { Commit } from '../versions/snapshot.ts';
import type { OpenProject } from './open.ts';
import { jobsWithLogs } from './run-folder.ts';
import { openSession, type JobSession } from './job-session.ts';
import type { SessionRequest } from './run-session.ts';
import type { Settings } from './settings.ts';

export const poolNames = ['local', 'store'] as const;
type PoolName = (typeof poolNames)[number];

export interface RunRequest {
  /** What is run, after what it depends on. */
  readonly target: Target;
  /** Where all output goes: a name that a branch may have. */
  readonly branch: string | undefined;
  /** Results so far are not taken any more. */
  readonly reprocess: boolean;
  /** Addresses of versions to read: `images@ID`. */
  readonly inputs: readonly string[];
  /** Instead of what the specs say. */
  readonly workers: number | undefined;
  /** Where workers are: in this process, where it is not said, or wherever they reach the store. */
  readonly pool?: PoolName;
  readonly recompute: number;
  readonly signal: AbortSignal;
  readonly listeners: readonly RunListener[];
}

/** Runs a graph in a session of its own; resolves to a step a pipeline. Leaves nothing on this machine but caches. */
export async function runPipelines(
  settings: Settings,
  opened: OpenProject,
  {
    executor,
    cluster,
    secretsFrom,
    ...request
  }: RunRequest & Pick<SessionRequest, 'executor' | 'cluster' | 'secretsFrom'>,
): Promise<GraphStep[]> {
  const tell = tellAll(request.listeners);
  const note = (line: string): void => tell({ kind: 'note', line });
  await using session = await openSession(
    settings,
    opened,
    { executor, cluster, secretsFrom, idleWorkersMax: 0 },
    note,
  );
  return await runInSession(session, request);
}

/** Runs a graph with the workers that the session has or opens; resolves to a step a pipeline. One run at a time. */
export async function runInSession(session: JobSession, request: RunRequest): Promise<GraphStep[]> {
  const { project } = session;
  const tell = tellAll(request.listeners);
  if (request.target.kind === 'specs') await session.secrets.refuseInCode(request.target.specs);
  const names = await setTarget(request.target, { ...request, project, tell });
  const pinned = await pinnedVersions(project, names, request);
  const steps: GraphStep[] = [];
  for await (const step of graphInSession(session, { ...request, names, pinned, tell })) steps.push(step);
  return steps;
}

export interface GraphRequest
  extends
    Pick<GraphOptions, 'names' | 'branch' | 'pinned' | 'settled' | 'jobsKept' | 'tell'>,
    Pick<RunRequest, 'workers' | 'pool' | 'recompute' | 'signal'> {
  /** In which order the datums of a pipeline run. */
  order?(pipeline: string): DatumOrder;
}

/** The same of pipelines that are there, a step after another: whoever has seen enough takes no more. */
export async function* graphInSession(session: JobSession, request: GraphRequest): AsyncGenerator<GraphStep> {
  for await (const step of runGraph({ ...request, ...inSession(session, request) })) {
    await clearLogs(session.settings, session.project);
    yield step;
  }
}

/** A job of a pipeline of its own, side by side with those of others, with the versions that there are. */
export async function runOne(
  session: JobSession,
  pipeline: Pipeline,
  request: Omit<InSession, 'order'> & Pick<ServeRun, 'snapshot' | 'experiment' | 'after'>,
): Promise<JobResult> {
  const { snapshot, experiment } = request;
  const options = { ...inSession(session, request), branch: experiment?.branch, pinned: new Map<string, Commit>() };
  const [prepared = pipeline] = await options.prepare([pipeline]);
  const inputs = await inputsOf(options, snapshot, prepared, experiment?.pipelines ?? []);
  const result = await runPrepared(options, prepared, inputs);
  await clearLogs(session.settings, session.project);
  return result;
}

type InSession = Pick<GraphRequest, 'workers' | 'pool' | 'recompute' | 'signal' | 'tell' | 'order'> &
  Partial<Pick<ServeRun, 'after'>> &
  Pick<JobOptions, 'place'>;

/** What runs use of a session. */
function inSession(
  session: JobSession,
  { signal, workers: given, pool, recompute, order, after, place, ...request }: InSession,
) {
  const { settings, project } = session;
  const tell = session.secrets.masked(request.tell);
  return {
    tell,
    project,
    prepare: (pipelines) => {
      return session.prepare(pipelines, { signal, log: (line) => tell({ kind: 'note', line }) }, pool === 'store');
    },
    async jobOptions(pipeline, inputs) {
      const unused = (line: string): void => tell({ kind: 'note', line });
      const workers = given ?? pipeline.spec.parallelism;
      return {
        executor: session.executor,
        pool:
          pool === 'store' ? new StorePool(project) : await session.pool(pipeline, { workers, inputs, signal, unused }),
        logs: (job) => settings.home.make(join(settings.home.logs, job)),
        recompute,
        order: order?.(pipeline.name),
        after,
        place,
        signal,
      };
    },
  } satisfies Partial<GraphOptions>;
}

/** Removes the local logs of jobs that ended: the store has them now. Those of an interrupted job are nowhere else. */
export async function clearLogs({ home }: Settings, project: OpenProject['project']): Promise<void> {
  const snapshot = await project.snapshot();
  for (const name of await jobsWithLogs(home)) {
    const job = await maybeJob(snapshot, name);
    if (job?.datums) await removeTreeAsync(join(home.logs, name));
  }
}

/** Versions named on the command line, by repo. Throws `usage` where no pipeline of the graph reads the repo. */
async function pinnedVersions(
  project: OpenProject['project'],
  names: readonly string[],
  { branch, inputs }: RunRequest,
): Promise<Map<string, Commit>> {
  const pinned = new Map<string, Commit>();
  if (inputs.length === 0) return pinned;
  const snapshot = await project.snapshot();
  const { order } = await graphFor(snapshot, names, branch);
  for (const text of inputs) {
    const address = parseAddress(text);
    if (!order.some(({ spec }) => pfsInputs(spec.input).some(({ repo }) => repo === address.repo))) {
      throw new PachError('usage', { what: `--input ${text}`, why: `${names[0]} does not read ${address.repo}` });
    }
    pinned.set(address.repo, await resolveCommit(snapshot, address));
  }
  return pinned;
}
