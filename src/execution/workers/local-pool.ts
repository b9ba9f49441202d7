/**
 * A pool of workers of this process, which it takes from a session. Each takes datums from the job's
 * queue and runs them one at a time. A worker that breaks is replaced, and its datum runs again.
 */
import type { PlannedDatum } from '../../pipelines/jobs/planned.ts';
import type { Result } from '../../pipelines/jobs/results.ts';
import type { ResultWriter } from '../../results/publisher.ts';
import type { Pool, PoolJob } from '../pool.ts';
import { runBatches } from './batches.ts';
import { broken, BrokenWorker, runDatum, type RunOptions } from './run-datum.ts';
import type { Sandbox, Session, TakenWorker } from './session.ts';
import { Slot, type SlotOptions } from './slot.ts';

export interface LocalPoolOptions {
  /** Whose workers it uses. */
  readonly session: Session;
  readonly count: number;
  /** Of every worker. */
  readonly sandbox: Sandbox;
  readonly mount: SlotOptions['mount'];
  readonly masked: RunOptions['masked'];
}

/** So long a pipeline has a worker at the least, where others wait for one too; a command that takes datum after datum, so long. */
const turnMs = 200;
const batchMs = 5000;
/** A worker that breaks so often in a row at one datum is not replaced any more. */
const breaksMax = 3;

/** A job whose results go wherever its writer keeps them. */
export interface LocalJob extends Omit<PoolJob, 'publisher'> {
  readonly publisher: ResultWriter;
}

export class LocalPool implements Pool {
  private readonly options: LocalPoolOptions;

  constructor(options: LocalPoolOptions) {
    this.options = options;
  }

  async run(job: LocalJob): Promise<void> {
    let isTold = false;
    const tellOnce = (line: string): void => {
      if (!isTold) job.tell({ kind: 'note', line });
      isTold = true;
    };
    const loops = Array.from({ length: this.options.count }, () => {
      return new WorkerLoop(this.options, job, tellOnce).run();
    });
    const settled = await Promise.allSettled(
      loops.map((loop) =>
        loop.catch((error: unknown) => {
          job.queue.drop(); // the others end what they do
          throw error;
        }),
      ),
    );
    for (const loop of settled) if (loop.status === 'rejected') throw loop.reason;
  }
}

/** Takes datums for one worker, until there are none. */
class WorkerLoop {
  private readonly options: LocalPoolOptions;
  private readonly job: LocalJob;
  private readonly tellLeft: (line: string) => void;

  constructor(options: LocalPoolOptions, job: LocalJob, tellLeft: (line: string) => void) {
    this.options = options;
    this.job = job;
    this.tellLeft = tellLeft;
  }

  async run(): Promise<void> {
    const { queue, signal } = this.job;
    // No worker is opened for which there is no datum.
    let planned = await queue.take();
    for (let breaks = 0; planned;) {
      try {
        await this.work(planned, () => (breaks = 0));
        planned = await queue.take();
      } catch (error) {
        breaks += 1;
        const isBroken = error instanceof BrokenWorker && !signal.aborted;
        if (!isBroken) throw error;
        if (breaks >= breaksMax) throw error.cause;
        planned = error.planned;
      }
    }
  }

  /** Runs datums in one worker, until there are none, or its turn is over. */
  private async work(first: PlannedDatum, went: () => void): Promise<void> {
    const { job } = this;
    const { session, sandbox } = this.options;
    job.tell({ kind: 'waiting', for: 'worker' });
    const open = await session.take(job.spec.name, sandbox, job.signal).catch((error: unknown) => broken(first, error));
    let isSound = false;
    try {
      await this.runAll(open, first, went);
      isSound = true;
    } catch (error) {
      // A job that is stopped ends its commands in good order.
      const reason: unknown = error instanceof BrokenWorker ? error.cause : error;
      isSound = job.signal.aborted && reason === job.signal.reason;
      throw error;
    } finally {
      await (isSound ? session.giveBack(open) : session.close(open));
    }
  }

  private async runAll(
    { name, slot: dir, worker, turn }: TakenWorker,
    first: PlannedDatum,
    went: () => void,
  ): Promise<void> {
    const { job } = this;
    const { queue } = job;
    const isBatching = job.spec.transform.datumBatching;
    const mount = isBatching || !job.isCommitted ? undefined : this.options.mount;
    const slot = Slot.prepare({ dir, reader: job.reader, mount });
    const left = ({ datum }: PlannedDatum, path: string): void => {
      this.tellLeft(
        `worker ${name}: datum ${datum.id.slice(0, 16)} changed ${path} in its container. The next datum gets a new container, which takes time. Write to /tmp or /pfs/out to avoid this`,
      );
    };
    const run = { ...job, worker, slot, left, masked: this.options.masked };
    const done = (planned: PlannedDatum, result: Result): void => {
      went();
      job.done(planned, result);
    };
    if (isBatching) {
      // Its command ends with the turn, and may take long to begin again.
      const take = async (): Promise<PlannedDatum | undefined> => (turn.isOver(batchMs) ? undefined : queue.take());
      return runBatches({ ...run, queue: { take } }, first, done);
    }
    const next = async (): Promise<PlannedDatum | undefined> => {
      if (turn.isOver(turnMs)) return undefined;
      return turn.isShared ? queue.takeNow() : queue.take();
    };
    for (let planned: PlannedDatum | undefined = first; planned; planned = await next()) {
      done(planned, await runDatum(run, planned).catch((error: unknown) => broken(planned, error)));
    }
  }
}
