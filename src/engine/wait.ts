/**
 * Waiting until a branch is up to date: until what computes it, and what that reads, has come to an end
 * for what there is to read. It follows from the refs alone (standing).
 */
import { PachError } from '../base/errors.ts';
import type { Job } from '../pipelines/jobs/jobs.ts';
import { branchesRead, experimentOn, type Experiment } from '../pipelines/experiment.ts';
import { maybePipeline } from '../pipelines/pipelines.ts';
import type { Project } from '../versions/project.ts';
import { moves } from '../versions/reading/subscribe.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { listEngines } from './presence.ts';
import { standingOf, type Standing } from './standing.ts';

/** A lease that ends moves no head. */
const againMs = 5000;

export interface UpToDate {
  readonly snapshot: Snapshot;
  /** Newest jobs that did not succeed, of what computes the branch and what that reads. */
  readonly failed: readonly Job[];
}

/** Resolves when nothing runs or is due for a branch. Throws `failed` where something is due and no engine is there. */
export async function waitForBranch(
  project: Project,
  { repo, branch }: { readonly repo: string; readonly branch: string },
  signal: AbortSignal,
): Promise<UpToDate> {
  let looksAlone = 0;
  for await (const snapshot of moves(project, { signal, againMs })) {
    const standings = new Map<string, Stands>();
    await gather(snapshot, repo, branch, standings);
    const all = [...standings.values()].map(({ standing }) => standing);
    if (!all.some(({ kind }) => kind === 'running' || kind === 'due')) {
      return { snapshot, failed: all.flatMap(({ job }) => (job && job.state !== 'success' ? [job] : [])) };
    }
    const isDueOnly = all.every(({ kind }) => kind !== 'running');
    const isAlone = isDueOnly && !(await isServed(project, standings));
    looksAlone = isAlone ? looksAlone + 1 : 0;
    // One that was just started may be about to say so.
    if (looksAlone > 1) throw noEngine(standings);
  }
  throw signal.reason;
}

interface Stands {
  readonly standing: Standing;
  readonly experiment: Experiment | undefined;
}

/** How all stand that a branch is computed by, directly or not. */
async function gather(snapshot: Snapshot, repo: string, branch: string, standings: Map<string, Stands>): Promise<void> {
  const own = await maybePipeline(snapshot, repo, branch);
  // What somebody ran on a branch by hand is run by no engine.
  const experiment = own?.place === undefined ? undefined : await experimentOn(snapshot, branch);
  const pipeline = own ?? (await maybePipeline(snapshot, repo));
  const key = `${repo}@${branch}`;
  if (!pipeline || standings.has(key) || (!experiment && pipeline.spec.outputBranch !== branch)) return;
  standings.set(key, { standing: await standingOf(snapshot, pipeline, experiment), experiment });
  for (const read of branchesRead(pipeline.spec, experiment)) await gather(snapshot, read.repo, read.branch, standings);
}

/** True where some engine may run one of those that are due. */
async function isServed(project: Project, standings: ReadonlyMap<string, Stands>): Promise<boolean> {
  const engines = await listEngines(project, Date.now());
  return [...standings.values()].some(({ standing, experiment }) => {
    return standing.kind === 'due' && engines.some(({ branch }) => branch === experiment?.branch);
  });
}

function noEngine(standings: ReadonlyMap<string, Stands>): PachError {
  const due = [...standings]
    .filter(([, { standing }]) => standing.kind === 'due')
    .map(([name]) => name.split('@')[0] ?? name);
  return new PachError('failed', {
    what: due.join(', '),
    why: 'there is something to compute, and no engine is running',
    next: `pach run pipeline ${due[0]}`,
    or: 'pach serve',
  });
}
