/**
 * What runs the datums of a job. The engine plans them and keeps what comes of them; a pool has
 * workers, wherever those are, and gives each of them one datum at a time. What the two tell each
 * other is plain data: model/records/work.ts has its bytes, for workers in other processes.
 */
import type { Queue } from '../base/queue.ts';
import type { BlobReader } from '../cache/blobs.ts';
import type { JobId } from '../model/records/pipelines.ts';
import type { PlannedDatum } from '../pipelines/jobs/planned.ts';
import type { Result } from '../pipelines/jobs/results.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import type { Publisher } from '../results/publisher.ts';
import type { WorkEvent } from './events.ts';

/** A job as its pool sees it. */
export interface PoolJob {
  readonly spec: PipelineSpec;
  readonly job: JobId;
  /** Variables of all commands of the job. */
  readonly env: Readonly<Record<string, string>>;
  /** Filled and ended by the engine, emptied by the pool. */
  readonly queue: Queue<PlannedDatum>;
  readonly reader: BlobReader;
  /** Stores what datums wrote. */
  readonly publisher: Publisher;
  /** False where what the datums read is in no commit yet: no mount shows it. */
  readonly isCommitted: boolean;
  /** True when the files that datums read may have references. */
  readonly mayRefer?: boolean | undefined;
  /** A folder of this machine for the logs of datums that run. */
  readonly logs: string;
  readonly signal: AbortSignal;
  /** Told once of every datum: a command that fails has a result too. */
  done(planned: PlannedDatum, result: Result): void;
  /** Told of what happens to workers and datums. Never throws. */
  tell(event: WorkEvent): void;
}

export interface Pool {
  /**
   * Resolves when the queue has ended and all of its datums are done. Rejects with the first error,
   * once no command of the job runs any more.
   */
  run(job: PoolJob): Promise<void>;
}
