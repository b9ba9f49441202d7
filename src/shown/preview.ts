/**
 * What a spec would compute, without making anything: its datums, and which have results already.
 */
import { randomBytes } from 'node:crypto';
import type { Project } from '../versions/project.ts';
import { storeCode } from '../pipelines/code.ts';
import { hashOf } from '../model/canonical.ts';
import type { Executor } from '../execution/executor.ts';
import { recipeFor } from '../engine/job-start.ts';
import { maybePipeline, type Pipeline } from '../pipelines/pipelines.ts';
import { planJob, type Step } from '../pipelines/jobs/plan.ts';
import { inputsOf } from '../engine/run-graph.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';

export interface PreviewOptions {
  readonly project: Project;
  readonly executor: Executor;
  /** As with `SetOptions`: results so far are not taken any more. */
  readonly reprocess: boolean;
  readonly signal: AbortSignal;
}

/** Every datum of a spec as a step of the job that would run it. Throws `not-found` for a repo that is not there. */
export async function* preview(
  spec: PipelineSpec,
  { project, executor, reprocess, signal }: PreviewOptions,
): AsyncGenerator<Step> {
  await using begun = await project.begin(); // never published
  const before = await maybePipeline(begun.snapshot, spec.name);
  const bytes = Buffer.from(JSON.stringify(spec));
  const now = Date.now();
  const draft: Pipeline = {
    name: spec.name,
    spec,
    specRef: { type: 'chunk', hash: hashOf(bytes) },
    code: await storeCode(project, begun.upload, spec.code, { signal, skipped: () => undefined }),
    codeOrigin: '',
    version: 0,
    created: now,
    updated: now,
    stopped: false,
    salt: reprocess ? randomBytes(8).toString('hex') : (before?.salt ?? ''),
  };
  const recipe = await recipeFor({ project, pipeline: draft, executor });
  const { snapshot } = begun;
  const inputs = await inputsOf({ branch: undefined, pinned: new Map() }, snapshot, draft, []);
  const everything = spec.reprocess === 'every_job';
  const plan = await planJob({ snapshot, spec, recipe, inputs, base: undefined, everything });
  yield* plan.steps();
}
