/**
 * How pipelines stand and which engines are there, as programs are shown it. All of it follows from the
 * store, whether an engine runs or not.
 */
import { listEngines } from '../engine/presence.ts';
import { WorkTable, type Work } from '../engine/work-table.ts';
import type { EngineRecord } from '../model/records/engine.ts';
import { jobsOn, type Job } from '../pipelines/jobs/jobs.ts';
import type { Pipeline } from '../pipelines/pipelines.ts';
import { cronInputs, nextTicks } from '../pipelines/ticks.ts';
import type { Project } from '../versions/project.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { scrubOf } from '../versions/upkeep/scrub.ts';

export interface PipelineStatus {
  readonly name: string;
  readonly state: 'idle' | 'running' | 'waiting' | 'failed' | 'stopped';
  readonly lastSuccess: string | null;
  readonly lastJob: { readonly job: string; readonly state: string } | null;
  readonly nextTick: string | null;
  readonly waitingFor: string | null;
  readonly lag: number;
  readonly engine: string | null;
}

export interface EngineStatus {
  readonly holder: string;
  readonly host: string;
  readonly since: string;
  readonly only: readonly string[] | null;
  /** The branch on which it runs them, beside production. */
  readonly branch: string | null;
  readonly version: string;
}

export interface StatusInfo {
  readonly pipelines: readonly PipelineStatus[];
  readonly engines: readonly EngineStatus[];
  /** What checks of the data have found, as far as it was not seen whole since. */
  readonly damage: readonly string[];
}

export const statusJson =
  '{pipelines: [{name, state, lastSuccess, lastJob: {job, state} or null, nextTick, waitingFor, lag, engine}], engines: [{holder, host, since, only: [pipeline] or null, branch: text or null, version}], remotes: [{repo, url, project, store, branches: [{branch, relation, ahead, behind}], problem}], damage: [text]}; state: idle (all is done), running, waiting (for what, waitingFor says), failed (the last job did not succeed, and nothing is new) or stopped; lag: seconds since there is something that the last success has not read, 0 where there is nothing; engine: who runs it; only: null where an engine runs all pipelines; branch: of an engine of an experiment (pach promote --branch), else null; remotes: each repo that has an origin, as it stands to that now; relation: equal, ahead, behind, diverged, or rewritten where one side was purged; problem: why that is not known, else null; damage: what checks of the data have found (pach fsck --read-data 5% --since 30d, and pach serve)';

export async function statusInfo(project: Project, now: number): Promise<StatusInfo> {
  const [snapshot, engines] = await Promise.all([project.snapshot(), listEngines(project, now)]);
  const table = new WorkTable();
  await table.update(snapshot);
  const pipelines: PipelineStatus[] = [];
  for (const name of [...table.works.keys()].sort()) {
    const work = table.works.get(name);
    if (!work) continue;
    const above = work.standing.kind === 'due' ? table.waitsFor(name) : undefined;
    pipelines.push(await pipelineStatus(snapshot, work, { above, engines, now }));
  }
  const damage = (await scrubOf(snapshot))?.damage ?? [];
  return { pipelines, engines: engines.map(engineStatus), damage };
}

function engineStatus({ holder, host, since, only, branch, version }: EngineRecord): EngineStatus {
  // The number of a namespace of process ids is of no use to people.
  const [name = host] = host.split(' ');
  return {
    holder,
    host: name,
    since: timeOf(since),
    only: only.length > 0 ? only : null,
    branch: branch ?? null,
    version,
  };
}

interface Around {
  /** The pipeline that it waits for. */
  readonly above: string | undefined;
  readonly engines: readonly EngineRecord[];
  readonly now: number;
}

async function pipelineStatus(snapshot: Snapshot, work: Work, around: Around): Promise<PipelineStatus> {
  const { pipeline, standing } = work;
  const { name, spec } = pipeline;
  const { job } = standing;
  const success = await lastSuccess(snapshot, name, spec.outputBranch);
  return {
    name,
    state: stateOf(work),
    lastSuccess: success ? timeOf(success.finished ?? success.started) : null,
    lastJob: job ? { job: job.id, state: job.state } : null,
    nextTick: nextTick(pipeline, around.now),
    waitingFor: waitingFor(work, around),
    lag: await lagOf(snapshot, work, success, around.now),
    engine: standing.kind === 'running' ? standing.lease.holder : null,
  };
}

/** When the first of its cron inputs ticks next. */
function nextTick(pipeline: Pipeline, now: number): string | null {
  if (pipeline.stopped) return null;
  const times = cronInputs(pipeline.spec).flatMap((input) => nextTicks(pipeline, input, now, 1));
  return times.length > 0 ? timeOf(Math.min(...times)) : null;
}

function stateOf({ standing }: Work): PipelineStatus['state'] {
  switch (standing.kind) {
    case 'settled':
      return standing.job.state === 'success' ? 'idle' : 'failed';
    case 'due':
    case 'empty':
      return 'waiting';
    case 'running':
    case 'stopped':
      return standing.kind;
  }
}

function waitingFor({ pipeline, standing }: Work, { above, engines }: Around): string | null {
  if (standing.kind === 'empty') return standing.missing;
  if (standing.kind !== 'due') return null;
  if (above !== undefined) return above;
  const isServed = engines.some(({ only, branch }) => {
    return branch === undefined && (only.length === 0 || only.includes(pipeline.name));
  });
  return isServed ? 'its turn' : 'an engine';
}

async function lastSuccess(snapshot: Snapshot, name: string, branch: string): Promise<Job | undefined> {
  for await (const job of jobsOn(snapshot, name, branch)) if (job.state === 'success') return job;
  return undefined;
}

/** Seconds since the first thing that the last success has not read: a commit, or the version that the pipeline is. */
async function lagOf(
  snapshot: Snapshot,
  { pipeline, standing }: Work,
  success: Job | undefined,
  now: number,
): Promise<number> {
  if (standing.kind === 'stopped' || standing.kind === 'empty') return 0;
  let since = success?.pipelineVersion === pipeline.version || !success ? Infinity : pipeline.updated;
  const inputs = standing.kind === 'due' ? standing.inputs : standing.job.inputs;
  for (const [index, { repo, branch }] of inputs.entries()) {
    const head = (await snapshot.maybeBranch(repo, branch))?.head;
    const read = success?.inputs[index];
    if (!head || (read?.repo === repo && read.branch === branch && read.commit === head.id)) continue;
    const known = read?.repo === repo ? await snapshot.maybeCommit(repo, read.commit) : undefined;
    const first = await snapshot.firstAfter(head, known?.finished ?? 0);
    since = Math.min(since, first?.finished ?? now);
  }
  return since === Infinity ? 0 : Math.max(0, Math.round((now - since) / 1000));
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
