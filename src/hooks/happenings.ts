/**
 * What a hook may tell of a pipeline, read from the store alone: so nothing is missed while no engine
 * runs, whoever ran the job. Only jobs for the branch of production count.
 */
import type { CommitId } from '../model/records/commit.ts';
import { jobsOn, maybeJob, type Job } from '../pipelines/jobs/jobs.ts';
import type { Pipeline } from '../pipelines/pipelines.ts';
import { pfsInputs } from '../pipelines/spec/input.ts';
import type { Commit, Snapshot } from '../versions/snapshot.ts';
import { tookTooLong } from '../engine/job.ts';
import type { HookKind } from './file.ts';

export interface Happening {
  readonly kind: Exclude<HookKind, 'trouble'>;
  readonly pipeline: string;
  /** The job, or the commit that waited. */
  readonly about: CommitId;
  /** When that began: increases along a branch, whatever clocks say. */
  readonly began: number;
  /** When it happened. */
  readonly time: number;
  /** A clause for people. */
  readonly why: string;
  readonly job: Job | undefined;
}

/** How a job counts: undefined for one that somebody ended, and for one that never ran. */
function verdictOf({ state, reason }: Job): 'good' | 'failed' | 'rejected' | undefined {
  if (state === 'success') return 'good';
  if (state === 'rejected') return 'rejected';
  return state === 'failure' || (state === 'killed' && reason === tookTooLong) ? 'failed' : undefined;
}

/** What happened to jobs that began after `floor` and ended at `since` or later, the oldest first. */
export async function happeningsSince(
  snapshot: Snapshot,
  { name: pipeline, spec: { outputBranch } }: Pipeline,
  { floor, since }: { readonly floor: number; readonly since: number },
): Promise<Happening[]> {
  const newer: Job[] = [];
  let before: ReturnType<typeof verdictOf>;
  for await (const job of jobsOn(snapshot, pipeline, outputBranch)) {
    if (job.started > floor && (job.finished ?? Infinity) >= since) newer.push(job);
    else if ((before = verdictOf(job))) break;
  }
  const happenings: Happening[] = [];
  for (const job of newer.toReversed()) {
    const verdict = verdictOf(job);
    const { id: about, started: began, finished: time = began } = job;
    const add = (kind: Happening['kind'], why: string): void =>
      void happenings.push({ kind, pipeline, about, began, time, why, job });
    if (verdict === 'failed') add('failed', job.reason);
    if (verdict === 'rejected') add('expectation', job.reason);
    if (verdict === 'good' && before && before !== 'good') add('recovered', 'it succeeds again');
    if (verdict === 'good' && (await isEmpty(snapshot, job))) add('empty', 'its output has no files');
    before = verdict ?? before;
  }
  return happenings;
}

/** True where the job made a commit without files. */
async function isEmpty(snapshot: Snapshot, { pipeline, id, output }: Job): Promise<boolean> {
  return output === id && (await snapshot.maybeCommit(pipeline, id))?.files === 0;
}

/** When results will be late, or have been since; undefined where nothing is waited for. */
export async function lateness(snapshot: Snapshot, pipeline: Pipeline): Promise<Happening | undefined> {
  const { name, spec, stopped, updated } = pipeline;
  if (spec.deadlineMs === undefined || stopped) return undefined;
  const head = (await snapshot.maybeBranch(name, spec.outputBranch))?.head;
  const last = head && (await maybeJob(snapshot, head.id));
  const waiting: Commit[] = [];
  const inputs = pfsInputs(spec.input);
  for (const [index, { repo, branch }] of inputs.entries()) {
    const known = last?.inputs[index];
    const done = known?.repo === repo && known.branch === branch ? known.commit : undefined;
    const first = await firstAfter(snapshot, { repo, branch, done });
    if (first) waiting.push(first);
    else if (!last) return undefined; // there is nothing to compute yet
  }
  if (waiting.length === 0) return undefined;
  // The first results need all inputs.
  const choose = last ? Math.min : Math.max;
  const came = choose(...waiting.map(({ finished }) => finished));
  const { id: about, repo, branch } = waiting.find(({ finished }) => finished === came) as Commit;
  const began = Math.max(came, updated);
  const time = began + spec.deadlineMs;
  const why = `there are no results yet of ${repo}@${branch} as it has been since ${new Date(began).toISOString()}`;
  return { kind: 'late', pipeline: name, about, began, time, why, job: undefined };
}

/** The first commit of a branch after one that was read; its head where that one is not of the branch any more. */
async function firstAfter(
  snapshot: Snapshot,
  { repo, branch, done }: { readonly repo: string; readonly branch: string; readonly done: CommitId | undefined },
): Promise<Commit | undefined> {
  const head = (await snapshot.maybeBranch(repo, branch))?.head;
  if (!head || head.id === done) return undefined;
  const read = done && (await snapshot.maybeCommit(repo, done));
  const next = await snapshot.firstAfter(head, read?.finished ?? 0);
  return next ?? (await snapshot.commitAt(head.commit));
}
