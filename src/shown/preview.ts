/**
 * What specs would compute, without making anything: their datums, and which have results already.
 */
import type { Project } from '../versions/project.ts';
import type { Executor } from '../execution/executor.ts';
import { recipeFor } from '../engine/job-start.ts';
import { draftOf } from '../pipelines/editing/draft.ts';
import { planJob, type Step } from '../pipelines/jobs/plan.ts';
import { inputsOf } from '../engine/run-graph.ts';
import { graphOf } from '../pipelines/spec/graph.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import type { DatumInfo } from './datums.ts';

export interface PreviewOptions {
  readonly project: Project;
  readonly executor: Executor;
  /** As with `SetOptions`: results so far are not taken any more. */
  readonly reprocess: boolean;
  readonly signal: AbortSignal;
}

export interface PreviewInfo extends DatumInfo {
  readonly pipeline: string;
}

export const previewJson =
  '{pipeline, id, state, files: [{repo, commit, path}], why}; state: skipped (computed already) or new';

/** A pipeline whose datums are known once `above`, which it reads, has run. */
export interface Awaited {
  readonly pipeline: string;
  readonly above: string;
}

/** Every datum that the specs would make, pipeline by pipeline. */
export async function* previews(
  specs: readonly PipelineSpec[],
  options: PreviewOptions,
): AsyncGenerator<PreviewInfo | Awaited> {
  const { order, upstream } = graphOf(specs);
  for (const spec of order) {
    const snapshot = await options.project.snapshot();
    const above = (upstream.get(spec.name) ?? []).find((name) => name !== spec.name);
    if (above !== undefined && !(await snapshot.maybeRepo(above))) {
      yield { pipeline: spec.name, above };
      continue;
    }
    for await (const step of preview(spec, options)) {
      if (step.kind === 'gone') continue;
      const { datum } = step.planned;
      const files = datum.files.map(({ input, commit, path }) => ({ repo: input.repo, commit, path }));
      const fresh = options.reprocess ? 'earlier results are ignored' : 'no result yet';
      const why = step.kind === 'known' ? `job ${step.result.outcome.job} already computed it` : fresh;
      yield { pipeline: spec.name, id: datum.id, state: step.kind === 'known' ? 'skipped' : 'new', files, why };
    }
  }
}

/** Every datum of a spec as a step of the job that would run it. Throws `not-found` for a repo that is not there. */
async function* preview(
  spec: PipelineSpec,
  { project, executor, reprocess, signal }: PreviewOptions,
): AsyncGenerator<Step> {
  await using begun = await project.begin(); // never published
  const draft = await draftOf(project, begun, spec, { reprocess, signal });
  const recipe = await recipeFor({ project, pipeline: draft, executor });
  const { snapshot } = begun;
  const inputs = await inputsOf({ branch: undefined, pinned: new Map() }, snapshot, draft, []);
  const everything = spec.reprocess === 'every_job';
  const plan = await planJob({ snapshot, spec, recipe, inputs, base: undefined, everything });
  yield* plan.steps();
}
