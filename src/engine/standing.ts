/**
 * How a pipeline stands: whether there is something for it to compute. It follows from the refs alone,
 * the heads of what it reads and its newest job, so an engine that missed an event, or that begins
 * anew, comes to the same.
 */
import type { CommitId } from '../model/records/commit.ts';
import type { LeaseRecord } from '../model/records/pipelines.ts';
import { newestJob, noCommit, type Job } from '../pipelines/jobs/jobs.ts';
import { isHeld, maybeLease } from '../pipelines/jobs/lease.ts';
import { branchesRead, type Experiment } from '../pipelines/experiment.ts';
import type { Pipeline } from '../pipelines/pipelines.ts';
import type { Snapshot } from '../versions/snapshot.ts';

/** What a pipeline has to run for. `interrupted`: the engine of its job is gone. `datum`: somebody restarted one. `retry`: it failed. */
export type DueCause = 'first' | 'input' | 'spec' | 'interrupted' | 'datum' | 'retry';

export type Standing =
  | { readonly kind: 'stopped'; readonly job: Job | undefined }
  /** Its newest job read what there is now, in the version that it is. How that ended, the job says. */
  | { readonly kind: 'settled'; readonly job: Job }
  /** An engine has it. */
  | { readonly kind: 'running'; readonly job: Job; readonly lease: LeaseRecord }
  /** It is to be run. */
  | { readonly kind: 'due'; readonly cause: DueCause; readonly inputs: Job['inputs']; readonly job: Job | undefined }
  /** There is nothing to read: `missing` says what is not there. */
  | { readonly kind: 'empty'; readonly missing: string; readonly job: Job | undefined };

/** `experiment`: the one that the pipeline is a part of; undefined: production. */
export async function standingOf(snapshot: Snapshot, pipeline: Pipeline, experiment?: Experiment): Promise<Standing> {
  const { name, spec } = pipeline;
  const { job } = await newestJob(snapshot, name, experiment?.branch ?? spec.outputBranch);
  if (job?.state === 'running') {
    const lease = await maybeLease(snapshot, job);
    if (lease && isHeld(lease)) return { kind: 'running', job, lease };
  }
  if (pipeline.stopped) return { kind: 'stopped', job };
  const inputs: Job['inputs'][number][] = [];
  for (const { repo, branch } of branchesRead(spec, experiment)) {
    if (!(await snapshot.maybeRepo(repo))) return { kind: 'empty', missing: `repo ${repo}`, job };
    const head = (await snapshot.maybeBranch(repo, branch))?.head;
    inputs.push({ repo, branch, commit: head?.id ?? (noCommit as CommitId) });
  }
  const [first] = inputs;
  // Also of one that had some: an output that becomes empty by itself harms those who read it.
  if (first && inputs.every(({ commit }) => commit === noCommit)) {
    return { kind: 'empty', missing: `a commit in ${first.repo}@${first.branch}`, job };
  }
  const cause = causeOf(pipeline, inputs, job);
  return cause ? { kind: 'due', cause, inputs, job } : { kind: 'settled', job: job as Job };
}

function causeOf(pipeline: Pipeline, inputs: Job['inputs'], job: Job | undefined): DueCause | undefined {
  if (!job) return 'first';
  if (job.state === 'running') return 'interrupted';
  const isSameCode = job.code === undefined ? pipeline.code === undefined : pipeline.code?.hash.equals(job.code.hash);
  if (job.pipelineVersion !== pipeline.version || !job.spec.hash.equals(pipeline.specRef.hash) || !isSameCode) {
    return 'spec';
  }
  const isSame =
    inputs.length === job.inputs.length && inputs.every((input, index) => isInput(input, job.inputs[index]));
  if (!isSame) return 'input';
  // It never ran, and what it waited for is there now, or the pipeline would not be looked at.
  if (job.state === 'unrunnable') return 'interrupted';
  return job.restarted ? 'datum' : undefined;
}

function isInput(a: Job['inputs'][number], b: Job['inputs'][number] | undefined): boolean {
  return a.repo === b?.repo && a.branch === b.branch && a.commit === b.commit;
}
