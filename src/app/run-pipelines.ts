/**
 * Running pipelines as the command does it: the engine with this machine's executors, mounts,
 * secrets and folders.
 */
import { join } from 'node:path';
import { PachError } from '../base/errors.ts';
import { removeTreeAsync } from '../base/remove.ts';
import { parseAddress } from '../model/address.ts';
import type { Counting } from '../engine/counts.ts';
import { maybeJob } from '../pipelines/jobs/jobs.ts';
import type { Pipeline } from '../pipelines/pipelines.ts';
import { graphFor, runGraph, type GraphOptions, type GraphStep } from '../engine/run-graph.ts';
import { pfsInputs } from '../pipelines/spec/input.ts';
import { resolveCommit } from '../versions/resolve.ts';
import type { Commit } from '../versions/snapshot.ts';
import type { OpenProject } from './open.ts';
import { jobsWithLogs } from './run-folder.ts';
import { RunSession, type SessionRequest } from './run-session.ts';
import type { Settings } from './settings.ts';

export interface RunRequest {
  /** Pipelines to run, after those that they depend on. */
  readonly names: readonly string[];
  /** Where all output goes: a name that a branch may have. */
  readonly branch: string | undefined;
  /** Addresses of versions to read: `images@ID`. */
  readonly inputs: readonly string[];
  /** Instead of what the specs say. */
  readonly workers: number | undefined;
  readonly recompute: number;
  readonly signal: AbortSignal;
  begins(pipeline: Pipeline): void;
  progress(pipeline: Pipeline, counting: Counting): void;
  /** Something worth knowing that is not a result. */
  note(line: string): void;
}

/** Runs a graph, a step a pipeline, in a session of its own. Leaves nothing on this machine but caches. */
export async function* runPipelines(
  settings: Settings,
  opened: OpenProject,
  { executor, ...request }: RunRequest & Pick<SessionRequest, 'executor'>,
): AsyncGenerator<GraphStep> {
  await using session = await RunSession.open(settings, opened, { executor, idleWorkersMax: 0 });
  yield* runInSession(session, request);
}

/** Runs a graph, a step a pipeline, with the workers that the session has or opens. One run at a time. */
export async function* runInSession(session: RunSession, request: RunRequest): AsyncGenerator<GraphStep> {
  const { settings, project } = session;
  const pinned = await pinnedVersions(project, request);
  const said = new Set<string>();
  const options: GraphOptions = {
    project,
    names: request.names,
    branch: request.branch,
    pinned,
    begins: (pipeline) => request.begins(pipeline),
    async jobOptions(pipeline, inputs) {
      const { signal } = request;
      const unused = (line: string): void => {
        if (!said.has(line)) request.note(line);
        said.add(line);
      };
      const workers = request.workers ?? pipeline.spec.parallelism;
      return {
        executor: session.executor,
        pool: await session.pool(pipeline, { workers, inputs, signal, unused }),
        logs: (job) => settings.home.make(join(settings.home.logs, job)),
        recompute: request.recompute,
        signal,
        progress: (counting) => request.progress(pipeline, counting),
        note: (line) => request.note(line),
      };
    },
  };
  for await (const step of runGraph(options)) {
    await clearLogs(settings, project);
    yield step;
  }
}

/** Removes the local logs of jobs that ended: the store has them now. Those of an interrupted job are nowhere else. */
async function clearLogs({ home }: Settings, project: OpenProject['project']): Promise<void> {
  const snapshot = await project.snapshot();
  for (const name of await jobsWithLogs(home)) {
    const job = await maybeJob(snapshot, name);
    if (job?.datums) await removeTreeAsync(join(home.logs, name));
  }
}

/** Versions named on the command line, by repo. Throws `usage` where no pipeline of the graph reads the repo. */
async function pinnedVersions(
  project: OpenProject['project'],
  { names, branch, inputs }: RunRequest,
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
