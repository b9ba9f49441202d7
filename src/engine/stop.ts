/**
 * Waiting for the end of a job that another process runs, and stopping it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { PachError } from '../base/errors.ts';
import { findJob, setJob, type Job } from '../pipelines/jobs/jobs.ts';
import { isHeld, maybeLease } from '../pipelines/jobs/lease.ts';
import type { Project } from '../versions/project.ts';
import { byEngine } from '../versions/publish.ts';

const pollMs = 500;

/** The job as it ended. Throws `failed` where the engine that ran it is gone. */
export async function waitForJob(project: Project, found: Job, signal: AbortSignal): Promise<Job> {
  let job = found;
  while (job.state === 'running') {
    const lease = await maybeLease(await project.snapshot(), job);
    job = await findJob(await project.snapshot(), job.id);
    if (job.state === 'running' && !(lease && isHeld(lease))) throw engineGone(job);
    if (job.state === 'running') await sleep(pollMs, undefined, { signal });
  }
  return job;
}

/**
 * Asks the engine of a job to stop, and waits until it has; a job whose engine is gone is ended here.
 * Throws `conflict` where it has ended already.
 */
export async function stopJob(project: Project, found: Job, signal: AbortSignal): Promise<Job> {
  if (found.state !== 'running') {
    throw new PachError('conflict', { what: `job ${found.id}`, why: `it has already ended: ${found.state}` });
  }
  for (;;) {
    const job = await project.update(byEngine(`stop job ${found.id}`), async (change) => {
      const now = await findJob(change.snapshot, found.id);
      const lease = await maybeLease(change.snapshot, now);
      if (now.state !== 'running') return now;
      const isAlive = lease !== undefined && isHeld(lease);
      const next: Job = isAlive
        ? { ...now, stopping: true }
        : { ...now, state: 'killed', reason: 'its engine is gone', finished: Date.now() };
      if (!isAlive || !now.stopping) setJob(change, next);
      return next;
    });
    if (job.state !== 'running') return job;
    await sleep(pollMs, undefined, { signal });
  }
}

function engineGone(job: Job): PachError {
  return new PachError('failed', {
    what: `job ${job.id}`,
    why: 'the engine that ran it is gone; the next run continues its work',
    next: `pach run pipeline ${job.pipeline}`,
  });
}
