/**
 * Where the code of pipelines comes from, recorded after they were set: git may take longer than all
 * else, so nobody waits for it.
 */
import type { Project } from '../../versions/project.ts';
import { byEngine } from '../../versions/publish.ts';
import { originOf } from '../code.ts';
import { newestJob, setJob } from '../jobs/jobs.ts';
import { maybePipeline, setPipeline, type Pipeline } from '../pipelines.ts';

export interface RecordOptions {
  /** Where the pipelines are versions of their own. */
  readonly branch: string;
  /** Ends it without a record. */
  readonly signal: AbortSignal;
}

/** Asks git, and records its answer in these versions and in the newest job of each. */
export async function recordOrigins(
  project: Project,
  pipelines: readonly Pipeline[],
  { branch, signal }: RecordOptions,
): Promise<void> {
  const asked = pipelines.map(async ({ name, version, spec }) => {
    return { name, version, codeOrigin: await originOf(spec.code, signal) };
  });
  const found = (await Promise.all(asked)).filter(({ codeOrigin }) => codeOrigin !== '');
  if (found.length === 0 || signal.aborted) return;
  await project.update(byEngine('record where code comes from'), async (change) => {
    for (const { name, version, codeOrigin } of found) {
      const now = await maybePipeline(change.snapshot, name, branch);
      if (now?.version === version) setPipeline(change, { ...now, codeOrigin }, branch);
      const { job } = await newestJob(change.snapshot, name, branch);
      if (job?.pipelineVersion === version) setJob(change, { ...job, codeOrigin });
    }
  });
}
