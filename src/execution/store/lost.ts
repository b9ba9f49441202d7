/**
 * Datums at which a worker lost its launcher. The worker can't know why; who brought the worker may. Without memory a
 * try of the datum has failed, as it has where the launcher lives to see it. A machine that was taken away
 * says nothing of the datum, which is run again.
 */
import { join } from 'node:path';
import { PachError } from '../../base/errors.ts';
import { entrySize } from '../../model/tree.ts';
import type { PlannedDatum } from '../../pipelines/jobs/planned.ts';
import type { Result } from '../../pipelines/jobs/results.ts';
import { DatumLog } from '../../results/log.ts';
import { datumName, failureText, type DatumFailure } from '../events.ts';
import type { PoolJob } from '../pool.ts';
import { storeEnd } from '../workers/run-datum.ts';
import type { Crew, LostBy } from './crew.ts';
import type { Shards } from './shards.ts';

/** A datum at which a worker broke, and what the worker said. */
export interface Lost {
  readonly datum: string;
  readonly notes: readonly string[];
}

/** A datum at which so many workers broke is not run any more. */
const breaksMax = 3;

const failure: DatumFailure = { cause: 'ending', ending: { kind: 'out-of-memory' } };

export class LostDatums {
  private readonly job: PoolJob;
  private readonly shards: Shards;
  private readonly crew: Crew | undefined;
  private told: (Lost & { readonly why: LostBy })[] = [];
  private readonly breaks = new Map<string, number>();
  private isLeaving = false;
  /** How often a datum was short of memory. */
  private readonly tries = new Map<string, number>();

  constructor(job: PoolJob, shards: Shards, crew: Crew | undefined) {
    this.job = job;
    this.shards = shards;
    this.crew = crew;
  }

  /** Asks; nobody waits for the answer. */
  add(worker: string, lost: Lost): void {
    const asked = this.crew?.whyLost?.(worker) ?? Promise.resolve('unknown' as const);
    void asked.then((why) => this.told.push({ ...lost, why }));
  }

  /** Draws the consequences of the answers that have come. */
  async settle(): Promise<void> {
    const told = this.told.splice(0);
    for (const { datum, why } of told) {
      const planned = this.shards.get(datum);
      if (planned && why === 'out-of-memory') await this.tryFailed(planned);
    }
    for (const lost of told) if (lost.why === 'unknown') this.brokeAt(lost);
  }

  /** A worker broke at a datum, and it is not known to be the machine's fault. Throws where too many did. */
  brokeAt({ datum, notes }: Lost): void {
    const times = (this.breaks.get(datum) ?? 0) + 1;
    this.breaks.set(datum, times);
    if (times < breaksMax || this.isLeaving || !this.shards.get(datum)) return;
    const why = `workers broke at it ${times} times: ${notes.at(-1) ?? ''}`;
    throw new PachError('failed', { what: `datum ${datum.slice(0, 16)}`, why });
  }

  /** The job ends here: nothing fails it any more. */
  leave(): void {
    this.isLeaving = true;
  }

  private async tryFailed(planned: PlannedDatum): Promise<void> {
    const { job, shards } = this;
    const { id } = planned.datum;
    const tries = (this.tries.get(id) ?? 0) + 1;
    this.tries.set(id, tries);
    const datum = datumName(planned);
    if (tries !== job.spec.datumTries) {
      job.tell({ kind: 'datum-begun', datum });
      job.tell({ kind: 'datum-ended', datum, outcome: { state: 'again', failure } });
      return;
    }
    const result = await this.fail(planned);
    const { reason, stats } = result.outcome;
    job.tell({ kind: 'datum-begun', datum });
    job.tell({ kind: 'datum-ended', datum, outcome: { state: 'failed', failure, reason, stats } });
    // The others of its shard must not meet it again.
    await shards.doneHere(id);
    job.done(planned, result);
  }

  /** Stores that it failed, as a worker does. */
  private async fail(planned: PlannedDatum): Promise<Result> {
    const { job } = this;
    const { spec, logs } = job;
    const { id, files } = planned.datum;
    const reason = failureText(failure, spec.resourceLimits.memoryBytes);
    const log = new DatumLog(join(logs, id), spec.devLimits.logBytesMax);
    log.remark(`failed: ${reason}`);
    const inputBytes = files.reduce((sum, { entry }) => sum + entrySize(entry), 0);
    const unknown = { downloadMs: 0, processMs: 0, uploadMs: 0, cpuMs: 0, outputBytes: 0 };
    const memoryBytesPeak = spec.resourceLimits.memoryBytes ?? 0;
    const stats = { ...unknown, startedMs: Date.now(), inputBytes, memoryBytesPeak };
    const ended = { state: 'failed', reason, failure } as const;
    return job.publisher.write(async (upload) =>
      storeEnd(job, upload, { planned, ended, log: await log.end(), stats }),
    );
  }
}
