/**
 * The runs of the loop of development, one after another: what is started, and what a save cancels.
 * A run is asked to end and has ended before the next one begins, because no command may run while
 * its code changes.
 */
import { PachError } from '../base/errors.ts';
import type { DatumOrder } from './datum-order.ts';
import type { DevCause, DevEvent } from './dev-events.ts';
import { policy, withReaders, type DevGraph, type Saved } from './dev-graph.ts';
import type { RunEvent, Tell, TellOf } from './events.ts';
import { ReplacedError } from './replaced.ts';
import type { GraphOptions, GraphStep } from './run-graph.ts';

export interface DevRun extends Pick<GraphOptions, 'names' | 'settled' | 'tell' | 'jobsKept'> {
  readonly signal: AbortSignal;
  readonly order: (pipeline: string) => DatumOrder;
}

export interface DevRunsOptions {
  /** Runs what is not settled. */
  run(request: DevRun): AsyncGenerator<GraphStep>;
  readonly order: DevRun['order'];
  readonly tell: TellOf<RunEvent | DevEvent>;
  /** Ends what runs. */
  readonly signal: AbortSignal;
  /** A pipeline's job has ended. The run waits for it. */
  ended(step: GraphStep): Promise<void>;
  /** The run has taken all its steps. */
  finished(): void;
  /** The run could not go on; not told of one that was cancelled. */
  failed(error: unknown): void;
  /** The run is over, however it ended. */
  over(): void;
}

interface Running {
  /** The pipeline whose job runs. */
  pipeline: string | undefined;
  /** Pipelines have changed since it began: it takes no further step. */
  isStale: boolean;
  readonly stop: AbortController;
  ended: Promise<void>;
}

/** So many jobs of a pipeline stay on the branch: each save makes one. */
const jobsKept = 20;

export class DevRuns {
  private readonly options: DevRunsOptions;
  private running: Running | undefined;

  constructor(options: DevRunsOptions) {
    this.options = options;
  }

  get isRunning(): boolean {
    return this.running !== undefined;
  }

  /** None may run. */
  start({ names, order }: DevGraph, settled: GraphOptions['settled']): void {
    const { options } = this;
    const { signal } = options;
    const stop = new AbortController();
    const running: Running = { pipeline: undefined, isStale: false, stop, ended: Promise.resolve() };
    this.running = running;
    options.tell({ kind: 'started', pipelines: order.flatMap(({ name }) => (settled?.has(name) ? [] : [name])) });
    const request = { names, settled, jobsKept, order: options.order };
    running.ended = this.run(running, { ...request, signal: AbortSignal.any([signal, stop.signal]) })
      .catch((error: unknown) => {
        if (!stop.signal.aborted && !signal.aborted) options.failed(error);
      })
      .finally(() => {
        this.running = undefined;
        options.over();
      });
  }

  /** Something was saved: cancels what that makes pointless. Resolves when it has ended. */
  async saved({ cause, pipelines }: Saved, graph: DevGraph): Promise<void> {
    const { running } = this;
    if (!running) return;
    running.isStale = true;
    const { pipeline } = running;
    const isPointless = pipeline === undefined || withReaders(graph, pipelines).has(pipeline);
    if (!isPointless || policy[cause] !== 'restart') return;
    const isOwn = pipeline === undefined || pipelines.includes(pipeline);
    const what = isOwn ? `its ${cause}` : `the ${cause} of ${pipelines.join(', ')}`;
    await this.replace(`a newer save of ${what} replaced it`, cause);
  }

  /** Somebody wants it anew. */
  async again(): Promise<void> {
    await this.replace('it was started anew', 'command');
  }

  /** Ends what runs, for good. */
  async end(): Promise<void> {
    await this.stop((what) => new PachError('interrupted', { what, why: 'pach dev was ended' }));
  }

  private async replace(reason: string, cause: DevCause | 'command'): Promise<void> {
    const pipeline = this.running?.pipeline;
    if (pipeline !== undefined) this.options.tell({ kind: 'restarted', pipeline, cause, reason });
    await this.stop((what) => new ReplacedError(what, reason));
  }

  /** Resolves when no command of it runs any more. */
  private async stop(why: (what: string) => PachError): Promise<void> {
    const { running } = this;
    if (!running) return;
    running.stop.abort(why(running.pipeline === undefined ? 'the run' : `the job of ${running.pipeline}`));
    await running.ended;
  }

  private async run(running: Running, request: Omit<DevRun, 'tell'>): Promise<void> {
    const { options } = this;
    const tell: Tell = (event) => {
      if (event.kind === 'waiting' && event.for === 'preparation') running.pipeline = event.pipeline;
      options.tell(event);
    };
    for await (const step of options.run({ ...request, tell })) {
      running.pipeline = undefined;
      await options.ended(step);
      if (running.isStale) return;
    }
    options.finished();
  }
}
