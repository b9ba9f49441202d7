/**
 * Workers that an engine gets for its own job, in place of those that people start with `pach worker`.
 * The crew only brings them to run: what they do, they hear from the store.
 */
import type { Claim } from '../../model/records/work.ts';
import type { PoolJob } from '../pool.ts';
import type { Shards } from './shards.ts';

export interface CrewJob extends Pick<PoolJob, 'job' | 'spec' | 'tell'> {
  /** Datums that are planned and have no result yet. */
  readonly open: () => number;
  /** Shards of such datums: so many workers have something to do. */
  readonly shards: () => number;
  /** False while more of them may come. */
  readonly isPlanned: () => boolean;
  /** Bytes of the inputs of the largest datum so far. */
  readonly datumBytesMax: () => number;
}

export interface Crew {
  /** So many workers at a time at most; as many as the pipeline asks for where it is not said. */
  readonly workersMax?: number;
  /**
   * Called when there is something to run. Keeps workers at it until `signal` is aborted, and resolves
   * once none is left. Rejects when there will be none, and why: then none is left either.
   */
  run(job: CrewJob, signal: AbortSignal): Promise<void>;
  /** True for a claim whose worker is known to be gone. */
  isGone(claim: Claim): boolean;
  /** Why the launcher of a worker has gone (`LostLauncher`); waits for a while until that is known. Never rejects. */
  whyLost?(worker: string): Promise<LostBy>;
}

/** `disrupted`: whoever lends the machine took it away, which is no fault of the datum. */
export type LostBy = 'out-of-memory' | 'disrupted' | 'unknown';

/** A crew at work, from `begin` until `end`: when it is disposed of, no worker of it is left. */
export class CrewWork implements AsyncDisposable {
  private readonly crew: Crew | undefined;
  private readonly failed: (error: unknown) => void;
  private readonly stop = new AbortController();
  private running: Promise<void> | undefined;

  constructor(crew: Crew | undefined, failed: (error: unknown) => void) {
    this.crew = crew;
    this.failed = failed;
  }

  begin(job: PoolJob, shards: Pick<Shards, 'open' | 'count' | 'datumBytesMax'>, isPlanned: () => boolean): void {
    const counts = { open: () => shards.open, shards: () => shards.count, datumBytesMax: () => shards.datumBytesMax };
    const work = { ...job, ...counts, isPlanned };
    this.running = this.crew?.run(work, this.stop.signal).catch(this.failed);
  }

  async end(): Promise<void> {
    this.stop.abort();
    await this.running;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end();
  }
}
