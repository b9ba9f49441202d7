/**
 * How a pipeline comes into a project's refs: what it reads must be there, and what its output and its
 * schedules take is made with it.
 */
import { PachError } from '../../base/errors.ts';
import type { Change } from '../../versions/change.ts';
import { hasPipeline, listPipelines, setPipeline, type Pipeline } from '../pipelines.ts';
import { graphOf } from '../spec/graph.ts';
import { pfsInputs } from '../spec/input.ts';
import type { PipelineSpec } from '../spec/spec.ts';
import { setInputTriggers } from './input-triggers.ts';
import { makeTicksRepos } from './ticks-repos.ts';

/** The branches that a pipeline's output is computed from. */
export function provenanceOf(spec: PipelineSpec): { repo: string; branch: string }[] {
  const read = pfsInputs(spec.input).map(({ repo, branch }) => ({ repo, branch }));
  return read.filter((each, index) => {
    return read.findIndex(({ repo, branch }) => repo === each.repo && branch === each.branch) === index;
  });
}

/** Nothing is made that reads its own results, or a repo that is not there. */
export async function checkGraph(
  { snapshot }: Change,
  specs: readonly PipelineSpec[],
  branch: string | undefined,
): Promise<void> {
  const made = new Set(specs.map(({ name }) => name));
  const others = (await listPipelines(snapshot, branch)).filter(({ name }) => !made.has(name));
  graphOf([...specs, ...others.map(({ spec }) => spec)]);
  for (const spec of specs) {
    for (const { repo, cron } of pfsInputs(spec.input)) {
      const isMade = made.has(repo);
      if (cron && (isMade || (await hasPipeline(snapshot, repo)))) {
        throw new PachError('conflict', {
          what: `pipeline ${spec.name}`,
          why: `the ticks of its input can't be committed to repo ${repo}, which is the output of a pipeline`,
          next: 'give the cron input another repo',
        });
      }
      if (cron || isMade || (await snapshot.maybeRepo(repo))) continue;
      throw new PachError('not-found', {
        what: `repo ${repo}`,
        why: `pipeline ${spec.name} reads it, and there is no such repo in project ${snapshot.head.project}`,
        next: `pach create repo ${repo}`,
      });
    }
  }
}

/** Makes a pipeline what it is, on `branch` where that is given. Throws `conflict` where its output would meet commits of others. */
export async function enterPipeline(
  change: Change,
  pipeline: Pipeline,
  { before, branch: own }: { readonly before: Pipeline | undefined; readonly branch: string | undefined },
): Promise<void> {
  const { name, spec, updated: now } = pipeline;
  setPipeline(change, pipeline, own);
  await makeTicksRepos(change, spec, now);
  if (!(await change.snapshot.maybeRepo(name))) {
    change.setRepo({ name, created: now, description: spec.description });
  }
  if (own !== undefined) return; // its branch is made when it runs
  const branch = await change.snapshot.maybeBranch(name, spec.outputBranch);
  if ((branch?.head || branch?.trigger) && branch.provenance.length === 0) {
    throw new PachError('conflict', {
      what: `branch ${name}@${spec.outputBranch}`,
      why: branch.trigger ? 'a trigger moves it' : 'it has commits that no pipeline made',
      next: 'choose another output_branch for the pipeline',
    });
  }
  change.setBranch({ head: undefined, ...branch, repo: name, name: spec.outputBranch, provenance: provenanceOf(spec) });
  await setInputTriggers(change, before?.spec, spec);
}
