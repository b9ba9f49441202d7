/**
 * What a run is asked to run.
 */
import { forgetResults, setPipelines } from '../pipelines/editing/edit-pipelines.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import type { Project } from '../versions/project.ts';
import type { Tell } from './events.ts';

/** A pipeline that is there, or pipelines that are created or updated first. */
export type Target =
  | { readonly kind: 'pipeline'; readonly name: string }
  | { readonly kind: 'specs'; readonly specs: readonly PipelineSpec[] };

export interface TargetOptions {
  readonly project: Project;
  /** Where the pipelines are set, instead of for all branches. */
  readonly branch: string | undefined;
  /** Results so far are not taken any more. */
  readonly reprocess: boolean;
  readonly signal: AbortSignal;
  readonly tell: Tell;
}

/** Makes the pipelines of a target what it says. Resolves to their names. */
export async function setTarget(target: Target, options: TargetOptions): Promise<string[]> {
  const { project, branch, reprocess, signal, tell } = options;
  if (target.kind === 'pipeline') {
    if (reprocess) await forgetResults(project, target.name, branch);
    return [target.name];
  }
  const skipped = (what: string, why: string): void => tell({ kind: 'note', line: `${what}: left out: ${why}` });
  const { specs } = target;
  if (specs.length > 0) await setPipelines(project, specs, { update: true, branch, reprocess, signal, skipped });
  return specs.map(({ name }) => name);
}
