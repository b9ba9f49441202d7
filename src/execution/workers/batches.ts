/**
 * Commands that stay up (`datum_batching`): one process is given datum after datum, each when it
 * asks with `next datum`.
 */
import { timerMsMax } from '../../base/async.ts';
import type { Queue } from '../../base/queue.ts';
import type { DatumFailure } from '../events.ts';
import type { Ending, Exit } from '../executor.ts';
import type { Result } from '../../pipelines/jobs/results.ts';
import { Attempt, broken, type RunOptions } from './run-datum.ts';
import { type PlannedDatum } from '../../pipelines/jobs/planned.ts';

export interface BatchOptions extends RunOptions {
  readonly queue: Pick<Queue<PlannedDatum>, 'take'>;
}

type Done = (planned: PlannedDatum, result: Result) => void;

/** Runs the first datum and all that the queue has, starting the command again when it ends early. */
export async function runBatches(options: BatchOptions, first: PlannedDatum, done: Done): Promise<void> {
  for (let next: Waiting | undefined = { planned: first, left: options.spec.datumTries }; next;) {
    const batch: Batch = new Batch(options, next, done);
    next = await batch.run();
  }
}

/** A datum to be given, and how many tries it has. */
interface Waiting {
  readonly planned: PlannedDatum;
  readonly left: number;
}

class Batch {
  private readonly options: BatchOptions;
  private readonly done: Done;
  private waiting: Waiting | undefined;
  private current: (Waiting & { readonly attempt: Attempt }) | undefined;
  private hasAsked = false;
  /** Printed while there was no datum: goes to the log of the next one. */
  private readonly early: Buffer[] = [];
  private timer: NodeJS.Timeout | undefined;
  private readonly timeout = new AbortController();

  constructor(options: BatchOptions, first: Waiting, done: Done) {
    this.options = options;
    this.waiting = first;
    this.done = done;
  }

  /** One process of the command. Resolves to the datum that is to be given to the next one. */
  async run(): Promise<Waiting | undefined> {
    const { spec, env, worker, signal, slot } = this.options;
    const { cmd, stdin } = spec.transform;
    try {
      const exit = await worker.run({
        argv: cmd,
        stdin: stdin && Buffer.from(stdin.map((line) => `${line}\n`).join('')),
        env,
        binds: [],
        outputBytesMax: spec.devLimits.outputBytesMax,
        log: (bytes) => this.print(bytes),
        signal: AbortSignal.any([signal, this.timeout.signal]),
        nextDatum: (failed, held) => this.next(failed, held),
      });
      const last = (this.current ?? this.waiting)?.planned;
      if (exit.left !== undefined && last) this.options.left(last, exit.left);
      signal.throwIfAborted();
      await this.ended(exit);
      return this.waiting;
    } catch (error) {
      this.current?.attempt.leave(error);
      const planned = (this.current ?? this.waiting)?.planned;
      if (!planned || signal.aborted) throw error;
      return broken(planned, error);
    } finally {
      clearTimeout(this.timer);
      slot.empty();
    }
  }

  private async next(
    failed: boolean,
    held: () => Promise<boolean>,
  ): Promise<Readonly<Record<string, string>> | undefined> {
    this.hasAsked = true;
    const mayGoOn = await this.finish(failed ? { cause: 'said' } : undefined, held);
    if (!mayGoOn) return undefined;
    const { options } = this;
    const taken = this.waiting ?? (await this.take());
    this.waiting = undefined;
    if (!taken) return undefined;
    const attempt = this.begin(taken);
    await attempt.fill();
    options.slot.writeEnvironment(attempt.variables);
    const { datumTimeoutMs } = options.spec;
    if (datumTimeoutMs !== undefined)
      this.timer = setTimeout(() => this.timeout.abort(), Math.min(datumTimeoutMs, timerMsMax));
    return attempt.variables;
  }

  private begin(taken: Waiting): Attempt {
    const attempt = new Attempt(this.options, taken.planned);
    this.current = { ...taken, attempt };
    attempt.begin();
    for (const bytes of this.early.splice(0)) attempt.print(bytes);
    return attempt;
  }

  private print(bytes: Buffer): void {
    const kept = this.early.reduce((sum, { length }) => sum + length, 0);
    if (this.current) this.current.attempt.print(bytes);
    // One piece more than fits, so that the log says that something is left out.
    else if (kept <= this.options.spec.devLimits.logBytesMax) this.early.push(Buffer.from(bytes));
  }

  private async take(): Promise<Waiting | undefined> {
    const planned = await this.options.queue.take();
    return planned && { planned, left: this.options.spec.datumTries };
  }

  /** The process has ended: the datum that it had has failed, or the first one when it asked for none. */
  private async ended(exit: Exit): Promise<void> {
    const ending: Ending = this.timeout.signal.aborted ? { kind: 'timeout' } : exit.ending;
    if (this.waiting && !this.hasAsked) {
      this.begin(this.waiting);
      this.waiting = undefined;
      await this.finish({ cause: 'never-asked', ending });
    } else await this.finish({ cause: 'ending', ending });
    this.waiting ??= await this.take();
  }

  /** Ends the current datum, if there is one. False when the command went on, though it was stopped, and must end. */
  private async finish(failure: DatumFailure | undefined, held?: () => Promise<boolean>): Promise<boolean> {
    clearTimeout(this.timer);
    const { current } = this;
    this.current = undefined;
    if (!current) return true;
    const { planned, left, attempt } = current;
    try {
      const done = failure ?? (await attempt.succeed(held));
      if (!('cause' in done)) this.done(planned, done);
      else if (left > 1) {
        attempt.again(done);
        this.waiting = { planned, left: left - 1 };
      } else this.done(planned, await attempt.end('failed', done));
    } catch (error) {
      attempt.leave(error);
      throw error;
    }
    try {
      this.options.slot.empty();
    } catch (error) {
      // Its processes fill the folder meanwhile: it is emptied when they have ended.
      if (held && !(await held())) return false;
      throw error;
    }
    return true;
  }
}
