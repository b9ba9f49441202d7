/**
 * When a job that failed is run again (`dev.retry`). It follows from the newest job of a pipeline alone,
 * which says how often the same was tried, so an engine that begins anew comes to the same, and jobs
 * before it may be deleted.
 */
import type { Job } from '../pipelines/jobs/jobs.ts';
import type { Retry } from '../pipelines/spec/spec.ts';
import type { Standing } from './standing.ts';

/** A pause grows to this, unless the first is longer. */
const pauseMsMax = 6 * 3_600_000;

/**
 * When the newest job of a pipeline is to be run again, in milliseconds since 1970; undefined where it is
 * not. One that was stopped, took too long or was rejected is not: it would end in the same way.
 */
export function retryAt(
  { state, tries = 1, started, finished = started }: Pick<Job, 'state' | 'tries' | 'started' | 'finished'>,
  retry: Retry | undefined,
  now: number,
): number | undefined {
  if (!retry || state !== 'failure' || tries >= retry.tries) return undefined;
  // The clock was set back since: nobody knows how long ago that was.
  if (finished > now) return now;
  const { pauseMs } = retry;
  return finished + Math.min(pauseMs * 2 ** (tries - 1), Math.max(pauseMs, pauseMsMax));
}

/** How a pipeline stands whose job is to be run again. */
export function tryAgain({ job }: Extract<Standing, { kind: 'settled' }>): Extract<Standing, { kind: 'due' }> {
  return { kind: 'due', cause: 'retry', inputs: job.inputs, job };
}
