/**
 * Forgetting a result, so that it is computed again.
 */
import { newestJob, setJob, type Job, type JobDatum } from '../pipelines/jobs/jobs.ts';
import { baseOf } from '../pipelines/jobs/plan.ts';
import type { Project } from '../versions/project.ts';
import { byEngine } from '../versions/publish.ts';
import { resultKey } from '../versions/ref-keys.ts';

/** Forgets the result of a datum of a job: the next job of the pipeline runs it. */
export async function restartDatum(project: Project, job: Job, { key }: JobDatum): Promise<void> {
  await project.update(byEngine(`restart datum of ${job.pipeline}`), async (change) => {
    const base = await baseOf(change.snapshot, job.pipeline, job.branch);
    // The next job plans by the one that made the head; an engine that stays up looks at the newest, which may be another.
    const { job: newest } = await newestJob(change.snapshot, job.pipeline, job.branch);
    for (const each of [base?.job, newest?.id === base?.job.id ? undefined : newest]) {
      if (each) setJob(change, { ...each, restarted: true });
    }
    if (await change.snapshot.item(resultKey(key))) change.delete(resultKey(key));
  });
}
