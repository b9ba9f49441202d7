/**
 * A job that can't run, since what it reads did not succeed: it is written down, so that it is seen.
 */
import { canonicalJson, hashOf } from '../model/canonical.ts';
import type { CommitId } from '../model/records/commit.ts';
import { dropOldJobs, enterJob, newestJob, setJob, type Job } from '../pipelines/jobs/jobs.ts';
import type { JobInputs } from '../pipelines/jobs/plan.ts';
import type { Pipeline } from '../pipelines/pipelines.ts';
import type { Project } from '../versions/project.ts';
import { byEngine } from '../versions/publish.ts';
import { inputCommits, newJob } from './job-start.ts';

export interface Unrunnable {
  readonly pipeline: Pipeline;
  readonly branch: string;
  readonly inputs: JobInputs;
  readonly reason: string;
  /** See `StartOptions`. */
  readonly jobsKept: number | undefined;
}

export async function writeUnrunnable(project: Project, of: Unrunnable): Promise<Job> {
  const { pipeline, branch, reason } = of;
  const kept = of.jobsKept ?? pipeline.spec.keptJobs;
  await using begun = await project.begin();
  const bytes = canonicalJson({});
  const [recipe] = await begun.upload.data.add([{ hash: hashOf(bytes), bytes }]);
  if (!recipe) throw new Error('a recipe was not stored');
  const inputs = inputCommits(of.inputs);
  return await project.update(
    byEngine(`job of ${pipeline.name}`),
    async (change) => {
      const { count, job: newest } = await newestJob(change.snapshot, pipeline.name, branch);
      const identity = canonicalJson({ pipeline: pipeline.name, branch, inputs, count, reason, before: newest?.id });
      const begins = newJob(pipeline, newest);
      const job: Job = {
        ...begins,
        id: hashOf(identity).toString('hex', 0, 16) as CommitId,
        branch,
        state: 'unrunnable',
        finished: begins.started,
        reason,
        inputs,
        executor: '',
        recipe,
      };
      setJob(change, job);
      await enterJob(change, job);
      if (kept !== undefined) await dropOldJobs(change, job, kept);
      return job;
    },
    begun,
  );
}
