/**
 * A run as programs are shown it: how each job ended.
 */
import type { EndedJob, OfJob } from '../engine/events.ts';
import { secondsOf } from './jobs.ts';

/** Datums that did not give the same when they were run again. */
export function differing({ recomputed }: EndedJob): NonNullable<EndedJob['recomputed']> {
  return (recomputed ?? []).filter(({ now }) => now !== 'same');
}

export function runInfo({ job, pipeline }: OfJob, ended: EndedJob): object {
  const { state, commit, counts, output, recomputed, outside, reason } = ended;
  return {
    job,
    pipeline,
    state,
    commit,
    datums: counts,
    seconds: secondsOf(ended),
    output,
    different: differing(ended).map(({ id }) => id),
    recomputed,
    outside: outside?.links ?? 0,
    ...(reason && { reason }),
  };
}
