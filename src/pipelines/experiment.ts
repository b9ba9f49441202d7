/**
 * Experiments: pipelines as they are on a branch beside production. Each writes to that branch, and reads
 * there what another one of them makes. All else is read as production has it, whose branches nobody moves.
 */
import { PachError } from '../base/errors.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { maybePipeline, pipelinesOn, type Pipeline } from './pipelines.ts';
import { branchRead, pfsInputs } from './spec/input.ts';
import type { PipelineSpec } from './spec/spec.ts';

export interface Experiment {
  readonly branch: string;
  /** Those that write there. */
  readonly pipelines: readonly Pick<Pipeline, 'name' | 'spec'>[];
}

/** All that is something of its own on a branch. */
export async function experimentOn(snapshot: Snapshot, branch: string): Promise<Experiment> {
  return { branch, pipelines: await pipelinesOn(snapshot, branch) };
}

/** The branch that each input of a spec reads, in the order of the spec. */
export function branchesRead(
  { input }: Pick<PipelineSpec, 'input'>,
  experiment: Experiment | undefined,
): { readonly repo: string; readonly branch: string }[] {
  return pfsInputs(input).map((each) => {
    const read = branchRead(each, experiment !== undefined);
    const made = experiment?.pipelines.find(({ name, spec }) => name === each.repo && spec.outputBranch === read);
    return { repo: each.repo, branch: experiment && made ? experiment.branch : read };
  });
}

/** Throws `conflict` where the output of an experiment would meet commits of production, or of people. */
export async function mustBeFree(snapshot: Snapshot, spec: PipelineSpec, branch: string): Promise<void> {
  const { name } = spec;
  const what = `branch ${name}@${branch}`;
  const next = 'choose another name: --branch NAME';
  const production = await maybePipeline(snapshot, name);
  if ([spec, production?.spec].some((each) => each?.outputBranch === branch)) {
    throw new PachError('conflict', { what, why: 'it is where the results of production are', next });
  }
  const before = await snapshot.maybeBranch(name, branch);
  if (before && before.provenance.length === 0 && (before.head || before.trigger)) {
    const why = before.trigger ? 'a trigger moves it' : 'it has commits that no pipeline made';
    throw new PachError('conflict', { what, why, next });
  }
}

/** Throws `conflict` where the output of production would meet that of an experiment. */
export async function mustMeetNone(snapshot: Snapshot, { name, outputBranch: branch }: PipelineSpec): Promise<void> {
  const { place } = (await maybePipeline(snapshot, name, branch)) ?? {};
  if (place === undefined) return;
  throw new PachError('conflict', {
    what: `branch ${name}@${branch}`,
    why: `it is that of an experiment at ${place}`,
    next: `pach demote ${name} --branch ${branch}`,
    or: 'give the pipeline another output_branch',
  });
}
