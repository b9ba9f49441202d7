/**
 * One datum through its tries: input in, command, output taken in.
 */
import { encodeRows } from '../../model/records/rows.ts';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { isPachError, PachError } from '../../base/errors.ts';
import { type DatumStats, type Outcome } from '../../model/records/pipelines.ts';
import { entrySize } from '../../model/tree.ts';
import type { Directory } from '../../versions/directories.ts';
import type { Upload } from '../../versions/upload.ts';
import { rowsBytesMax, type PlannedDatum } from '../../pipelines/jobs/planned.ts';
import { datumVariables } from './environment.ts';
import { datumName, failureText, type DatumFailure, type DatumOutcome } from '../events.ts';
import type { Ending, Exit, Task, Worker } from '../executor.ts';
import type { PoolJob } from '../pool.ts';
import { outsideText } from '../../results/links.ts';
import { DatumLog } from '../../results/log.ts';
import type { ResultWriter, Written } from '../../results/publisher.ts';
import type { Result } from '../../pipelines/jobs/results.ts';
import type { Slot } from './slot.ts';
import type { PipelineSpec } from '../../pipelines/spec/spec.ts';
import { storeResult, takeOut, type Output } from '../../results/take-out.ts';

export interface RunOptions extends Omit<PoolJob, 'queue' | 'done' | 'publisher'> {
  /** Stores what datums wrote. */
  readonly publisher: ResultWriter;
  readonly worker: Worker;
  readonly slot: Slot;
  /** Takes values of secrets out of a text of ours, which is stored. */
  readonly masked: (text: string) => string;
  /** Told of a datum whose command left something in its sandbox, and where. */
  left(planned: PlannedDatum, path: string): void;
}

/** How a datum ended. */
interface Ended {
  readonly state: Outcome['state'];
  readonly reason: string;
  readonly out?: Output | undefined;
  readonly failure?: DatumFailure | undefined;
}

/** A reason may have a path or a program's name in it, as long as anybody likes; the log has all of it. */
const reasonLengthMax = 1000;

/** Throws when the worker broke or the job was aborted; a command that fails is a result. */
export async function runDatum(options: RunOptions, planned: PlannedDatum): Promise<Result> {
  const attempt = new Attempt(options, planned);
  try {
    for (let left = options.spec.datumTries; ; left -= 1) {
      attempt.begin();
      const done = await attempt.run(left === 1);
      if (done) return done;
    }
  } catch (error) {
    attempt.leave(error);
    throw error;
  }
}

/**
 * A datum at a worker: what its tries took and printed, and what came of it. Who calls `begin`
 * makes sure that the try ends: by `succeed`, `end`, `again` or `leave`.
 */
export class Attempt {
  private readonly log: DatumLog;
  private readonly options: RunOptions;
  private readonly planned: PlannedDatum;
  private readonly printed = new StringDecoder();
  private isOpen = false;
  private readonly started = Date.now();
  private downloadMs = 0;
  private processMs = 0;
  private uploadMs = 0;
  private cpuMs = 0;
  private memoryBytesPeak = 0;

  constructor(options: RunOptions, planned: PlannedDatum) {
    this.options = options;
    this.planned = planned;
    this.log = new DatumLog(join(options.logs, planned.datum.id), options.spec.devLimits.logBytesMax);
  }

  /** The variables of the command for this datum. */
  get variables(): Readonly<Record<string, string>> {
    return datumVariables(this.planned.datum);
  }

  begin(): void {
    this.isOpen = true;
    this.options.tell({ kind: 'datum-begun', datum: datumName(this.planned) });
  }

  /** Adds what a command printed to the log. */
  print(bytes: Buffer): void {
    this.tellPrinted(this.printed.write(this.log.add(bytes)));
  }

  /** Ends the try without a result, so that another one can begin. */
  again(failure: DatumFailure): void {
    this.ended({ state: 'again', failure });
  }

  /** Ends a try that an error has broken off, if it has not ended yet. */
  leave(error: unknown): void {
    const why = this.options.signal.aborted ? 'stopped' : isWorkerBroken(error) ? 'worker-broke' : 'engine-failed';
    this.ended({ state: 'unfinished', why });
  }

  /** One try. Undefined when it failed and there are more to come. */
  async run(isLast: boolean): Promise<Result | undefined> {
    const { spec, slot } = this.options;
    const { cmd, stdin, errCmd, errStdin } = spec.transform;
    try {
      const binds = await this.fill();
      const { ending } = await this.command(cmd, stdin, binds);
      const done = isAccepted(spec, ending) ? await this.succeed() : ({ cause: 'ending', ending } as const);
      if (!('cause' in done)) return done;
      this.log.remark(`failed: ${failureText(done, spec.resourceLimits.memoryBytes)}`);
      const handled = errCmd && (await this.command(errCmd, errStdin, binds));
      if (!isLast) {
        this.again(done);
        return undefined;
      }
      const recovered = handled !== undefined && isAccepted(spec, handled.ending);
      return await this.end(recovered ? 'recovered' : 'failed', done);
    } finally {
      slot.empty();
    }
  }

  async fill(): Promise<Task['binds']> {
    const begun = performance.now();
    const binds = await this.options.slot.fill(this.planned.datum);
    this.downloadMs += performance.now() - begun;
    return binds;
  }

  /** Takes in what the command wrote; what is wrong with it when it can't be. `held`: see `Task.nextDatum`. */
  async succeed(held?: () => Promise<boolean>): Promise<Result | DatumFailure> {
    const { reader, slot, mayRefer, signal } = this.options;
    const { datum } = this.planned;
    const begun = performance.now();
    try {
      const result = await this.options.publisher.write(async (upload) => {
        const out = await takeOut({ reader, sink: upload, datum, folder: slot.out, mayRefer, signal });
        if (held && !(await held())) throw wentOn();
        this.uploadMs += performance.now() - begun;
        return this.store(upload, { state: 'success', reason: '', out });
      });
      this.ended({ state: 'success', stats: result.outcome.stats });
      return result;
    } catch (error) {
      if (!isPachError(error, 'failed', 'denied', 'conflict', 'not-found')) throw error;
      const { masked } = this.options;
      return { cause: 'output', what: masked(error.what), why: masked(error.why) };
    }
  }

  /** Stores that it failed, or recovered, with its log and no output. */
  async end(state: 'failed' | 'recovered', failure: DatumFailure): Promise<Result> {
    const reason = failureText(failure, this.options.spec.resourceLimits.memoryBytes);
    const result = await this.options.publisher.write((upload) => this.store(upload, { state, reason, failure }));
    this.ended({ state, failure, reason: result.outcome.reason, stats: result.outcome.stats });
    return result;
  }

  /** Counts what a command took. */
  count({ wallMs, cpuMs, memoryBytesPeak }: Exit): void {
    this.processMs += wallMs;
    this.cpuMs += cpuMs;
    this.memoryBytesPeak = Math.max(this.memoryBytesPeak, memoryBytesPeak);
  }

  private async command(
    argv: readonly string[],
    stdin: readonly string[] | undefined,
    binds: Task['binds'],
  ): Promise<Exit> {
    const { spec, worker, signal } = this.options;
    const exit = await worker.run({
      argv,
      stdin: stdin && Buffer.from(stdin.map((line) => `${line}\n`).join('')),
      env: { ...this.options.env, ...this.variables },
      binds,
      timeoutMs: spec.datumTimeoutMs,
      outputBytesMax: spec.devLimits.outputBytesMax,
      log: (bytes) => this.print(bytes),
      signal,
    });
    this.count(exit);
    if (exit.left !== undefined) this.options.left(this.planned, exit.left);
    signal.throwIfAborted();
    return exit;
  }

  private async store(upload: Upload, ended: Ended): Promise<Written> {
    const { out } = ended;
    if (out?.outside) this.log.remark(this.options.masked(outsideText(out.outside)));
    const log = await this.log.end();
    return storeEnd(this.options, upload, { planned: this.planned, ended, log, stats: this.stats(out?.directory) });
  }

  private ended(outcome: DatumOutcome): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.tellPrinted(this.printed.end());
    this.options.tell({ kind: 'datum-ended', datum: datumName(this.planned), outcome });
  }

  private tellPrinted(text: string): void {
    if (text !== '') this.options.tell({ kind: 'printed', datum: this.planned.datum.id, text });
  }

  private stats(out: Directory | undefined): DatumStats {
    const { started: startedMs, downloadMs, processMs, uploadMs, cpuMs, memoryBytesPeak } = this;
    const inputBytes = this.planned.datum.files.reduce((sum, { entry }) => sum + entrySize(entry), 0);
    const outputBytes = out?.bytes ?? 0;
    return { startedMs, downloadMs, processMs, uploadMs, cpuMs, memoryBytesPeak, inputBytes, outputBytes };
  }
}

/** Stores how a datum ended. */
export async function storeEnd(
  { reader, job, spec }: Pick<RunOptions, 'reader' | 'job' | 'spec'>,
  upload: Upload,
  { planned, ended, log, stats }: { planned: PlannedDatum; ended: Ended; log: Buffer; stats: DatumStats },
): Promise<Written> {
  const { datum, key, rows, isRecheck = false } = planned;
  const { state, reason, out, failure } = ended;
  const encoded = encodeRows(rows);
  const files = encoded.length > rowsBytesMax ? encoded : undefined;
  const tree = await storeResult(reader, upload, { out: out?.directory, log, files });
  const shown = reason.length > reasonLengthMax ? `${reason.slice(0, reasonLengthMax)}…` : reason;
  const { outside, mayHaveEmptyFolders = false, references } = out ?? {};
  const found = { outside, mayHaveEmptyFolders, references };
  const outcome = { state, job, pipeline: spec.name, reason: shown, stats, ...found };
  return { datum: datum.id, key, result: { outcome, tree }, keep: state === 'success' && !isRecheck, failure };
}

function isAccepted({ transform }: PipelineSpec, ending: Ending): boolean {
  return ending.kind === 'exit' && (ending.code === 0 || transform.acceptReturnCode.includes(ending.code));
}

/** Whatever was read may be half of one state and half of another. */
function wentOn(): PachError {
  return new PachError('failed', {
    what: '/pfs/out',
    why: 'processes of the command ended or continued while pach stored its output, although pach had stopped them',
  });
}

/** That the worker is of no use any more, and which datum it had. */
export class BrokenWorker extends Error {
  readonly planned: PlannedDatum;

  constructor(planned: PlannedDatum, cause: unknown) {
    super('a worker broke', { cause });
    this.planned = planned;
  }
}

/** Throws what came of a datum whose worker broke. */
export function broken(planned: PlannedDatum, error: unknown): never {
  throw isWorkerBroken(error) ? new BrokenWorker(planned, error) : error;
}

function isWorkerBroken(error: unknown): boolean {
  return isPachError(error, 'failed', 'unreachable');
}
