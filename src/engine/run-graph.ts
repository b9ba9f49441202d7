/**
 * A pipeline and all that it depends on, run once each, in order.
 */
import { PachError } from '../base/errors.ts';
import { checkBranchName } from '../model/address.ts';
import { provenanceOf } from '../pipelines/editing/enter.ts';
import { runsElsewhere } from '../pipelines/editing/places.ts';
import type { Job } from '../pipelines/jobs/jobs.ts';
import type { JobInputs } from '../pipelines/jobs/plan.ts';
import { branchesRead, type Experiment } from '../pipelines/experiment.ts';
import { listPipelines, missing, pipelinesOn, type Pipeline } from '../pipelines/pipelines.ts';
import { graphOf } from '../pipelines/spec/graph.ts';
import { pfsInputs } from '../pipelines/spec/input.ts';
import type { Project } from '../versions/project.ts';
import { byEngine } from '../versions/publish.ts';
import type { Commit, Snapshot } from '../versions/snapshot.ts';
import { tellOf, type Tell } from './events.ts';
import type { JobResult } from './job-end.ts';
import type { JobOptions } from './job-run.ts';
import { runJob } from './job.ts';
import { endedJob } from './outcome.ts';
import { writeUnrunnable } from './unrunnable.ts';

export interface GraphOptions {
  readonly project: Project;
  /** Pipelines to run, with what they depend on. */
  readonly names: readonly string[];
  /** Where all outputs go, instead of the branches that the specs name: a name that a branch may have. */
  readonly branch: string | undefined;
  /** Versions to read instead of branches' heads, by repo. */
  readonly pinned: ReadonlyMap<string, Commit>;
  /** Jobs of pipelines for which nothing has changed since, by pipeline: those are not run again. */
  readonly settled?: ReadonlyMap<string, Job> | undefined;
  /** Called once, before the first job. Resolves to the same pipelines as they are to be run here. What it throws ends the run. */
  prepare?(pipelines: readonly Pipeline[]): Promise<readonly Pipeline[]>;
  /** Of each pipeline's jobs for this branch only so many stay; all where it is not said. */
  readonly jobsKept?: number | undefined;
  /** What a job of a pipeline with these inputs needs beside them. */
  jobOptions(
    pipeline: Pipeline,
    inputs: JobInputs,
  ): Promise<Omit<JobOptions, 'project' | 'pipeline' | 'branch' | 'inputs' | 'jobsKept' | 'tell'>>;
  readonly tell: Tell;
}

/** One pipeline's run; without a result it was not runnable. */
export interface GraphStep {
  readonly pipeline: Pipeline;
  readonly job: Job;
  readonly result: JobResult | undefined;
}

/** The pipelines of a graph in the order to run them, as they are on `branch`. Throws `not-found` and `usage`. */
export async function graphFor(
  snapshot: Snapshot,
  names: readonly string[],
  branch: string | undefined,
): Promise<{ order: Pipeline[]; upstream: ReadonlyMap<string, readonly string[]> }> {
  const all = await listPipelines(snapshot, branch);
  const unknown = names.find((each) => !all.some(({ name }) => name === each));
  if (unknown !== undefined) throw await missing(snapshot, unknown, { verb: 'run' });
  const { order, upstream } = graphOf(
    all.map(({ spec }) => spec),
    { isOwn: branch !== undefined },
  );
  const wanted = new Set<string>();
  const waiting = [...names];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (wanted.has(name)) continue;
    wanted.add(name);
    waiting.push(...(upstream.get(name) ?? []));
  }
  const byName = new Map(all.map((pipeline) => [pipeline.name, pipeline]));
  return { order: order.flatMap(({ name }) => (wanted.has(name) ? [byName.get(name) as Pipeline] : [])), upstream };
}

/** Runs one after another. What reads the output of a job that failed is not run. Throws `usage` for a name that no branch may have. */
export async function* runGraph(options: GraphOptions): AsyncGenerator<GraphStep> {
  const { project, tell } = options;
  if (options.branch !== undefined) checkBranchName(options.branch);
  const { order: all, upstream } = await graphFor(await project.snapshot(), options.names, options.branch);
  const order = options.branch === undefined ? runHere(all, options.names) : all;
  if (options.branch !== undefined) await mustRunHere(await project.snapshot(), order, options.branch);
  const stopped = order.find((pipeline) => pipeline.stopped)?.name;
  if (stopped !== undefined) {
    const next = `pach start pipeline ${stopped}`;
    throw new PachError('conflict', { what: `pipeline ${stopped}`, why: 'it is stopped', next });
  }
  const prepared = (await options.prepare?.(order)) ?? order;
  const failed = new Map<string, Job>();
  for (const pipeline of prepared) {
    const settled = options.settled?.get(pipeline.name);
    if (settled) {
      if (settled.state !== 'success') failed.set(pipeline.name, settled);
      continue;
    }
    const above = (upstream.get(pipeline.name) ?? []).find((name) => failed.has(name));
    const branch = options.branch ?? pipeline.spec.outputBranch;
    const inputs = await inputsOf(options, await project.snapshot(), pipeline, order);
    if (above !== undefined) {
      const reason = `it reads the output of pipeline ${above}, and job ${failed.get(above)?.id} of that pipeline did not succeed`;
      const job = await writeUnrunnable(project, { pipeline, branch, inputs, reason, jobsKept: options.jobsKept });
      failed.set(pipeline.name, job);
      tellOf(tell, job)({ kind: 'job-ended', outcome: endedJob(job) });
      yield { pipeline, job, result: undefined };
      continue;
    }
    const result = await runPrepared(options, pipeline, inputs);
    if (result.job.state !== 'success') failed.set(pipeline.name, result.job);
    yield { pipeline, job: result.job, result };
  }
}

/** All that was promoted nowhere. What the others have made is read as it is. Throws `conflict` for one of `names` that is among them. */
function runHere(order: readonly Pipeline[], names: readonly string[]): Pipeline[] {
  const promoted = order.find(({ name, place }) => place !== undefined && names.includes(name));
  if (promoted) throw runsElsewhere(promoted);
  return order.filter(({ place }) => place === undefined);
}

/** Throws `conflict` where an engine elsewhere runs one of them on that branch. */
async function mustRunHere(snapshot: Snapshot, order: readonly Pipeline[], branch: string): Promise<void> {
  const promoted = (await pipelinesOn(snapshot, branch)).find(({ name, place }) => {
    return place !== undefined && order.some((each) => each.name === name);
  });
  if (promoted) throw runsElsewhere(promoted, 'run', branch);
}

/** One job of a pipeline that is prepared. */
export async function runPrepared(
  options: Pick<GraphOptions, 'project' | 'branch' | 'jobsKept' | 'jobOptions' | 'tell'>,
  pipeline: Pipeline,
  inputs: JobInputs,
): Promise<JobResult> {
  const { project, jobsKept, tell } = options;
  const branch = options.branch ?? pipeline.spec.outputBranch;
  tell({ kind: 'waiting', for: 'preparation', pipeline: pipeline.name, branch });
  await makeBranch(project, pipeline, branch, inputs);
  const needs = await options.jobOptions(pipeline, inputs);
  return runJob({ ...needs, project, pipeline, branch, inputs, jobsKept, tell });
}

/** The versions that a pipeline's inputs have now. Throws `not-found` for a repo or branch that is not there. */
export async function inputsOf(
  { branch, pinned }: Pick<GraphOptions, 'branch' | 'pinned'>,
  snapshot: Snapshot,
  { spec }: Pick<Pipeline, 'spec'>,
  graph: Experiment['pipelines'],
): Promise<JobInputs> {
  const inputs: JobInputs[number][] = [];
  const read = branchesRead(spec, branch === undefined ? undefined : { branch, pipelines: graph });
  for (const [index, { cron }] of pfsInputs(spec.input).entries()) {
    const { repo, branch: from } = read[index] as (typeof read)[number];
    const pin = pinned.get(repo);
    // The repo of ticks is made with the pipeline, which need not be there yet.
    if (!cron) await snapshot.repo(repo);
    const head = pin ? undefined : (await snapshot.maybeBranch(repo, from))?.head;
    inputs.push({ repo, branch: pin?.branch ?? from, commit: pin ?? (head && (await snapshot.commitAt(head.commit))) });
  }
  return inputs;
}

/** A branch of the output's repo that follows the same branches as its inputs do. Throws `conflict` for one that people commit to. */
async function makeBranch(
  project: Project,
  { name, spec }: Pipeline,
  branch: string,
  inputs: JobInputs,
): Promise<void> {
  const before = await (await project.snapshot()).maybeBranch(name, branch);
  if (before && before.provenance.length > 0) return;
  if (before?.head || before?.trigger) {
    const why = before.trigger ? 'a trigger moves it' : 'it has commits that no pipeline made';
    throw new PachError('conflict', { what: `branch ${name}@${branch}`, why, next: 'use another branch' });
  }
  const provenance = inputs.map(({ repo, branch: from }) => ({ repo, branch: from }));
  await project.update(byEngine(`create branch ${name}@${branch}`), async (change) => {
    await change.snapshot.repo(name);
    change.setBranch({ repo: name, name: branch, provenance: provenance.length > 0 ? provenance : provenanceOf(spec) });
  });
}
