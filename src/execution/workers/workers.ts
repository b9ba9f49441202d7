/**
 * The workers of a job: each takes datums from one queue and runs them one at a time. A worker that
 * breaks is replaced, and its datum runs again.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Queue } from '../../base/queue.ts';
import { removeTreeAsync } from '../../base/remove.ts';
import { runBatches } from './batches.ts';
import type { Executor, WorkerOptions } from '../executor.ts';
import type { Result } from '../../pipelines/jobs/results.ts';
import { broken, BrokenWorker, runDatum, type RunOptions } from './run-datum.ts';
import { type PlannedDatum } from '../../pipelines/jobs/planned.ts';
import { Slot, type SlotOptions } from './slot.ts';

export interface PoolOptions extends Omit<RunOptions, 'worker' | 'slot' | 'left'> {
  readonly executor: Executor;
  readonly count: number;
  /** Of every worker. */
  readonly world: Omit<WorkerOptions, 'slot' | 'name'>;
  /** A folder of this machine for slots. */
  readonly folder: string;
  readonly mount: SlotOptions['mount'];
  readonly queue: Queue<PlannedDatum>;
  done(planned: PlannedDatum, result: Result): void;
  /** Something worth knowing that is not a result. */
  note(line: string): void;
}

/** A worker that breaks so often in a row at one datum is not replaced any more. */
const breaksMax = 3;

/** Resolves when the queue has ended and all of it is done; the first error ends all workers. */
export async function runAll(options: PoolOptions): Promise<void> {
  let isTold = false;
  const left = (line: string): void => {
    if (!isTold) options.note(line);
    isTold = true;
  };
  const lanes = Array.from({ length: options.count }, (_, number) => new Lane(options, number, left).run());
  const settled = await Promise.allSettled(
    lanes.map((lane) =>
      lane.catch((error: unknown) => {
        options.queue.drop(); // the others end what they do
        throw error;
      }),
    ),
  );
  for (const lane of settled) if (lane.status === 'rejected') throw lane.reason;
}

class Lane {
  private readonly options: PoolOptions;
  private readonly name: string;
  private readonly tellLeft: (line: string) => void;

  constructor(options: PoolOptions, number: number, tellLeft: (line: string) => void) {
    this.options = options;
    this.tellLeft = tellLeft;
    this.name = `${options.spec.name}-${number}`;
  }

  async run(): Promise<void> {
    const { queue } = this.options;
    // No worker for whom there is no work.
    let planned = await queue.take();
    for (let breaks = 0; planned;) {
      try {
        planned = await this.work(planned, () => (breaks = 0));
      } catch (error) {
        breaks += 1;
        const isBroken = error instanceof BrokenWorker && !this.options.signal.aborted;
        if (!isBroken) throw error;
        if (breaks >= breaksMax) throw error.cause;
        planned = error.planned;
      }
    }
  }

  /** Runs datums in one worker, until there are none. */
  private async work(first: PlannedDatum, went: () => void): Promise<undefined> {
    const { options } = this;
    const dir = join(options.folder, 'slots', this.name);
    await removeTreeAsync(dir);
    await mkdir(dir, { recursive: true });
    const isBatching = options.spec.transform.datumBatching;
    const mount = isBatching ? undefined : options.mount;
    const slot = Slot.make({ dir, reader: options.reader, mount });
    const opening = options.executor.open({ ...options.world, slot: dir, name: this.name });
    await using worker = await opening.catch((error: unknown) => broken(first, error));
    const left = ({ datum }: PlannedDatum, path: string): void => {
      this.tellLeft(
        `worker ${this.name}: datum ${datum.id.slice(0, 16)} changed ${path} in its container. The next datum gets a new container, which takes time. Write to /tmp or /pfs/out to avoid this`,
      );
    };
    const run = { ...options, worker, slot, left };
    const done = (planned: PlannedDatum, result: Result): void => {
      went();
      options.done(planned, result);
    };
    if (isBatching) return await runBatches(run, first, done);
    for (let planned: PlannedDatum | undefined = first; planned; planned = await options.queue.take()) {
      done(planned, await runDatum(run, planned).catch((error: unknown) => broken(planned, error)));
    }
    return undefined;
  }
}
