/**
 * What running jobs needs, wherever their commands run: on this machine, or in pods of a cluster.
 */
import { PachError } from '../base/errors.ts';
import type { BuildWatch, Executor } from '../execution/executor.ts';
import type { Pool } from '../execution/pool.ts';
import type { Pipeline } from '../pipelines/pipelines.ts';
import type { Project } from '../versions/project.ts';
import type { OpenProject } from './open.ts';
import { RunSession, type PoolRequest, type RunPipeline, type SessionRequest } from './run-session.ts';
import type { Secrets } from './secrets.ts';
import type { Settings } from './settings.ts';

/** What of a pipeline its images are told from. */
export type Prepared = Pick<Pipeline, 'spec' | 'pinned'>;

export interface JobSession extends AsyncDisposable {
  readonly executor: Executor;
  readonly settings: Settings;
  readonly secrets: Secrets;
  readonly project: Project;
  /**
   * Makes sure of secrets, unless commands run elsewhere, and of images that are built here. Resolves to
   * the pipelines with these images.
   */
  prepare<P extends Prepared>(pipelines: readonly P[], watch: BuildWatch, isElsewhere?: boolean): Promise<P[]>;
  /** Runs the datums of the next job of a pipeline. None of the pipeline's jobs may run. */
  pool(pipeline: RunPipeline, request: PoolRequest): Promise<Pool>;
  /** Closes what a pipeline has kept for its next job. None of its jobs may run. */
  rest(pipeline: string): Promise<void>;
}

/** `opened` stays open as long as the session. `note` is told lines for people. */
export async function openSession(
  settings: Settings,
  opened: OpenProject,
  request: SessionRequest,
  note: (line: string) => void,
): Promise<JobSession> {
  const { executor, cluster, ...rest } = request;
  if (executor !== 'kubernetes') return RunSession.open(settings, opened, { ...rest, executor });
  if (!cluster) throw new PachError('usage', { what: `--executor ${executor}`, why: 'this command runs no pods' });
  const { ClusterSession } = await import('./cluster.ts');
  return ClusterSession.open(settings, opened, { ...rest, cluster, note });
}
