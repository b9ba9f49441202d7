/**
 * Pipelines as programs are shown them, now and in earlier versions, and the graph that is drawn of them.
 */
import { findVersion, type OldVersion } from '../pipelines/editing/versions.ts';
import { newestJob, type Job } from '../pipelines/jobs/jobs.ts';
import { findPipeline, listPipelines, type Pipeline } from '../pipelines/pipelines.ts';
import { pfsInputs } from '../pipelines/spec/input.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import type { Drawing, DrawnPipeline } from './draw.ts';

/** What each version has. */
interface VersionInfo {
  readonly pipeline: string;
  readonly version: number;
  readonly image: string;
  readonly inputs: readonly object[];
  readonly outputBranch: string;
  readonly lastJob: { readonly job: string; readonly state: string } | null;
  readonly code: { readonly origin: string | null; readonly to: readonly string[] } | null;
  readonly spec: object;
}

export interface PipelineInfo extends VersionInfo {
  readonly created: string;
  readonly updated: string;
  readonly state: string;
  /** Where it was promoted to. */
  readonly place: string | null;
}

export const pipelineJson =
  '{pipeline, version, created, updated, state, place, image, inputs: [{name, repo, branch, glob, cron: {spec, overwrite}}], outputBranch, lastJob: {job, state}, code: {origin, to: [path]} or null, spec}; state: running (it is ready) or stopped; place: where it was promoted to, and runs; else null; cron: of cron inputs alone';

/** `own`: the branch on which it is this, and where its output goes then. */
export async function pipelineInfo(snapshot: Snapshot, pipeline: Pipeline, own?: string): Promise<PipelineInfo> {
  const { name, spec, version, created, updated, stopped, place = null } = pipeline;
  const outputBranch = own ?? spec.outputBranch;
  const { job } = await newestJob(snapshot, name, outputBranch);
  return {
    pipeline: name,
    version,
    created: new Date(created).toISOString(),
    updated: new Date(updated).toISOString(),
    state: stopped ? 'stopped' : 'running',
    place,
    ...partsOf(pipeline, outputBranch, job),
  };
}

/** All pipelines of a project, in the order of their names. */
export async function pipelineInfos(snapshot: Snapshot): Promise<PipelineInfo[]> {
  return Promise.all((await listPipelines(snapshot)).map((each) => pipelineInfo(snapshot, each)));
}

/** The pipeline that `NAME` or `NAME@VERSION` names, on `branch` when it is given. Throws `not-found`. */
export async function pipelineNamed(
  snapshot: Snapshot,
  text: string,
  branch: string | undefined,
): Promise<PipelineInfo | VersionInfo> {
  const [, name, version] = /^([^@]+)@(\d{1,15})$/.exec(text) ?? [];
  if (name === undefined) return pipelineInfo(snapshot, await findPipeline(snapshot, text, branch), branch);
  const found = await findVersion(snapshot, name, { version: Number(version), branch });
  return 'old' in found ? oldInfo(found.old) : pipelineInfo(snapshot, found.pipeline, found.own);
}

/** Of a version that is not the newest there is what its jobs have kept. */
function oldInfo({ version, spec, job }: OldVersion): VersionInfo {
  const { pipeline, branch, codeOrigin } = job;
  return { pipeline, version, ...partsOf({ spec, codeOrigin }, branch, job) };
}

function partsOf(
  { spec, codeOrigin }: Pick<Pipeline, 'spec' | 'codeOrigin'>,
  outputBranch: string,
  job: Job | undefined,
): Omit<VersionInfo, 'pipeline' | 'version'> {
  return {
    image: spec.transform.image,
    inputs: pfsInputs(spec.input).map(({ name, repo, branch, glob, cron }) => {
      const files = { name, repo, branch, glob };
      return cron ? { ...files, cron: { spec: cron.spec, overwrite: cron.overwrite } } : files;
    }),
    outputBranch,
    lastJob: job ? { job: job.id, state: job.state } : null,
    code: spec.code.length > 0 ? { origin: codeOrigin || null, to: spec.code.map(({ to }) => to) } : null,
    spec: spec.document,
  };
}

/** The graph of a project's repos and pipelines, each with how its last job went. */
export async function drawingOf(snapshot: Snapshot): Promise<Drawing> {
  const pipelines: DrawnPipeline[] = [];
  for (const { name, spec, stopped } of await listPipelines(snapshot)) {
    const state = stopped ? 'stopped' : (await newestJob(snapshot, name, spec.outputBranch)).job?.state;
    pipelines.push({ name, inputs: pfsInputs(spec.input), state });
  }
  return { pipelines };
}
