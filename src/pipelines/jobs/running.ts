/**
 * The jobs that run, as their leases say.
 */
import { decodeLease, type LeaseRecord } from '../../model/records/pipelines.ts';
import { leasesPrefix } from '../../versions/ref-keys.ts';
import type { Snapshot } from '../../versions/snapshot.ts';
import { newestJob, type Job } from './jobs.ts';

/** The newest jobs of all pipelines that have a lease: they run, or their engines died. */
export async function* leasedJobs(
  snapshot: Snapshot,
): AsyncGenerator<{ readonly lease: LeaseRecord; readonly job: Job }> {
  for await (const { key, value } of snapshot.items(leasesPrefix)) {
    const [, pipeline = '', branch = ''] = key.toString().split('/');
    const { job } = await newestJob(snapshot, pipeline, branch);
    if (job) yield { lease: decodeLease(value), job };
  }
}
