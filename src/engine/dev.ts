/**
 * The loop of development: runs the pipelines of some specs on a branch of their own, waits until
 * specs, code or inputs change, and runs what that touches, without end.
 *
 *                 ┌──────────── a job ended, what it read is others' by now ───────────┐
 *                 ▼                                                                     │
 *   waiting ──hint──▶ looking ──something changed──▶ (cancelling) ──▶ running ──▶ settled┘──▶ waiting
 *      ▲                 │                                              │
 *      └──nothing, or a mistake: all stays as it is──┘                  └─▶ looks on at every hint
 *
 * It looks while a run goes on: a hint is cheap to give, and only content tells whether something
 * changed. One look after another, and one run at a time: what a look finds decides whether the run
 * is cancelled (`policy`). A run is asked to end and has ended before the next one begins, because
 * no command may run while its code changes.
 *
 * `settled` has the newest job of each pipeline for which nothing has changed since. What is not in
 * it is to be run, in order; a change takes out what it touches.
 */
import { isPachError, PachError } from '../base/errors.ts';
import type { Job } from '../pipelines/jobs/jobs.ts';
import { dropVersions, setPipelines } from '../pipelines/editing/edit-pipelines.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import type { Project } from '../versions/project.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import {
  changedPipelines,
  devGraph,
  emptyGraph,
  isOutdated,
  movedInputs,
  policy,
  withReaders,
  type DevGraph,
  type Saved,
} from './dev-graph.ts';
import type { DevCause, DevCommands, DevEvent, DevListener, Selection } from './dev-events.ts';
import { DatumOrder } from './datum-order.ts';
import { Failing, withSelection } from './dev-selection.ts';
import { tellTo, type RunEvent, type Tell, type TellOf } from './events.ts';
import { errorData } from './outcome.ts';
import type { GraphOptions, GraphStep } from './run-graph.ts';

export interface DevOptions {
  readonly project: Project;
  /** Where all output goes, and where the pipelines are what the specs say. */
  readonly branch: string;
  readonly executor: string;
  readonly selection: Selection;
  /** The specs as they are written now. Throws `usage`, `unsupported` and `not-found` for a mistake in them. */
  readSpecs(): Promise<readonly PipelineSpec[]>;
  /** What the specs name is watched from now on. */
  watch(specs: readonly PipelineSpec[]): Promise<void>;
  /** Runs what is not settled. */
  run(request: DevRun): AsyncGenerator<GraphStep>;
  readonly listeners: readonly DevListener[];
  /** Ends the loop. */
  readonly signal: AbortSignal;
}

export interface DevRun extends Pick<GraphOptions, 'names' | 'settled' | 'tell' | 'jobsKept'> {
  readonly signal: AbortSignal;
  readonly order: (pipeline: string) => DatumOrder;
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
/** What is tried again by itself waits so long. */
const retryMs = 2000;
/** The store is away, another engine has the pipeline, a repo is not there, the disk is full. */
const passing = ['unreachable', 'conflict', 'not-found', 'no-space', 'denied'] as const;

export class DevLoop implements DevCommands {
  private readonly options: DevOptions;
  private readonly tell: TellOf<RunEvent | DevEvent>;
  private graph: DevGraph = emptyGraph;
  private readonly settled = new Map<string, Job>();
  private readonly failing = new Failing();
  private selection: Selection;
  private isOtherSelection = false;
  private running: Running | undefined;
  private wake = (): void => undefined;
  private isWoken = true;
  private hasFiles = true;
  private newest: Snapshot | undefined;
  private mustRerun = false;
  private isOver = false;
  /** Something keeps it from going on, until a change or the next try. */
  private isBlocked = false;
  /** What was told of that, so that it is told once. */
  private fault = '';
  private specFault = '';
  private retry: NodeJS.Timeout | undefined;

  constructor(options: DevOptions) {
    this.options = options;
    this.tell = tellTo<RunEvent | DevEvent>([(event) => this.failing.listen(event), ...options.listeners]);
    this.selection = options.selection;
  }

  /** Until it is quit or the signal is aborted; then no command runs. Throws what is wrong with the specs at first. */
  async run(): Promise<void> {
    const { project, signal } = this.options;
    const stop = (): void => this.quit();
    signal.addEventListener('abort', stop);
    using _ = project.head.listen({
      moved: (snapshot) => {
        this.newest = snapshot;
        // What the specs name and was not there may be there now.
        if (this.specFault !== '') this.hasFiles = true;
        this.hint();
      },
    });
    try {
      await this.readFiles();
      while (!this.isOver && !signal.aborted) {
        this.isWoken = false;
        await this.look();
        if (!this.isWoken) await new Promise<void>((woken) => (this.wake = woken));
      }
    } finally {
      signal.removeEventListener('abort', stop);
      clearTimeout(this.retry);
      await this.cancel();
    }
  }

  /** Files that it watches may have changed. */
  filesMayHaveChanged(): void {
    this.hasFiles = true;
    this.hint();
  }

  notice(line: string): void {
    this.tell({ kind: 'notice', line });
  }

  all(): void {
    this.select({ kind: 'all' });
  }

  onlyFailed(): void {
    const datums = Object.fromEntries(this.failing.lists());
    if (Object.keys(datums).length === 0) return;
    this.select({ kind: 'failed', datums, leftOut: this.failing.others() });
  }

  rerun(): void {
    this.mustRerun = true;
    this.hint();
  }

  quit(): void {
    this.isOver = true;
    this.hint();
  }

  private select(selection: Selection): void {
    this.selection = selection;
    this.isOtherSelection = true;
    this.filesMayHaveChanged();
  }

  private hint(): void {
    this.isWoken = true;
    this.wake();
  }

  /** Finds out what has changed, and does what that asks for. */
  private async look(): Promise<void> {
    if (this.mustRerun) {
      this.mustRerun = false;
      await this.cancel('command');
      this.settled.clear();
      this.isBlocked = false;
    }
    if (this.hasFiles) await this.readFiles().catch((error: unknown) => this.mistake(error));
    await this.readHeads().catch((error: unknown) => this.failed(error));
    if (this.running || this.isOver || this.isBlocked) return;
    if (this.graph.order.some(({ name }) => !this.settled.has(name))) this.start();
  }

  /** Takes in specs and code as they are now; nothing of them where something is wrong. */
  private async readFiles(): Promise<void> {
    const { project, branch, signal, executor } = this.options;
    this.hasFiles = false;
    const specs = withSelection(await this.options.readSpecs(), this.selection);
    // Others are not what somebody tried on this branch some day.
    if (this.graph === emptyGraph)
      await dropVersions(
        project,
        branch,
        specs.map(({ name }) => name),
      );
    await setPipelines(project, specs, {
      update: true,
      branch,
      reprocess: false,
      isEngines: true,
      signal,
      skipped: (what, why) => this.notice(`${what}: left out: ${why}`),
    });
    const graph = await devGraph(await project.snapshot(), specs, branch);
    const saved = await changedPipelines(project, this.graph, graph);
    const isFirst = this.graph === emptyGraph;
    const isOther =
      this.isOtherSelection ||
      saved.some(({ cause }) => cause === 'spec') ||
      this.graph.order.length !== graph.order.length;
    if (isOther) await this.options.watch(specs);
    this.graph = graph;
    if (isOther || this.specFault !== '') {
      const pipelines = graph.order.map(({ name, spec }) => ({
        name,
        outputBranch: spec.outputBranch,
        code: spec.code,
      }));
      this.tell({ kind: 'watching', branch, executor, pipelines, selection: this.selection });
    }
    this.specFault = '';
    // Nobody has saved what another selection changes.
    const isQuiet = isFirst || this.isOtherSelection;
    this.isOtherSelection = false;
    for (const each of saved) await this.touch(each, isQuiet);
    for (const name of this.settled.keys())
      if (!graph.order.some((each) => each.name === name)) this.settled.delete(name);
  }

  /** Looks whether branches that are read have moved on. */
  private async readHeads(): Promise<void> {
    const { newest } = this;
    this.newest = undefined;
    const saved = newest && (await movedInputs(newest, this.graph, this.settled));
    if (saved) await this.touch(saved, false);
  }

  /** `isQuiet`: nobody has saved anything. */
  private async touch({ cause, pipelines, files, fileCount }: Saved, isQuiet: boolean): Promise<void> {
    if (!isQuiet) this.tell({ kind: 'saved', cause, pipelines, files, fileCount });
    this.isBlocked = false;
    this.fault = '';
    for (const name of pipelines) this.settled.delete(name);
    const { running } = this;
    if (!running) return;
    running.isStale = true;
    const touched = withReaders(this.graph, pipelines);
    const isPointless = running.pipeline === undefined || touched.has(running.pipeline);
    if (isPointless && policy[cause] === 'restart') await this.cancel(cause);
  }

  private start(): void {
    const { signal } = this.options;
    const stop = new AbortController();
    const running: Running = { pipeline: undefined, isStale: false, stop, ended: Promise.resolve() };
    this.running = running;
    const names = this.graph.order.flatMap(({ name }) => (this.settled.has(name) ? [] : [name]));
    this.tell({ kind: 'started', pipelines: names });
    running.ended = this.runGraph(running, AbortSignal.any([signal, stop.signal]))
      .catch((error: unknown) => {
        if (!stop.signal.aborted && !signal.aborted) this.failed(error);
      })
      .finally(() => {
        this.running = undefined;
        this.hint();
      });
  }

  private async runGraph(running: Running, signal: AbortSignal): Promise<void> {
    const tell: Tell = (event) => {
      if (event.kind === 'waiting' && event.for === 'preparation') running.pipeline = event.pipeline;
      this.tell(event);
    };
    const { graph, settled } = this;
    const order = (pipeline: string): DatumOrder => new DatumOrder(this.failing.of(pipeline));
    const request = { names: graph.names, settled, jobsKept, order, tell, signal };
    for await (const step of this.options.run(request)) {
      running.pipeline = undefined;
      await this.ended(step);
      if (running.isStale) return;
    }
    const jobs = graph.order.map(({ name }) => settled.get(name));
    if (jobs.includes(undefined)) return;
    const failed = jobs.flatMap((job) => (job && job.state !== 'success' ? [job.pipeline] : []));
    this.tell({ kind: 'settled', failed });
  }

  /** A pipeline's job has ended: it stands while nothing changes, and what reads its output may have to run. */
  private async ended({ pipeline, job }: GraphStep): Promise<void> {
    const { name } = pipeline;
    this.fault = '';
    const now = this.graph.order.find((each) => each.name === name);
    if (now?.version === pipeline.version) this.settled.set(name, job);
    else this.hasFiles = true; // others have changed it on this branch, or it has changed since
    const snapshot = await this.options.project.snapshot();
    for (const [reader, other] of this.settled) {
      if (!this.graph.upstream.get(reader)?.includes(name)) continue;
      if (await isOutdated(snapshot, other, job)) this.settled.delete(reader);
    }
    // Inputs may have moved on while it ran, of which nobody was told then.
    this.newest ??= snapshot;
  }

  /** Ends what runs. Resolves when no command of it runs any more. */
  private async cancel(cause?: DevCause | 'command'): Promise<void> {
    const { running } = this;
    if (!running) return;
    const why = cause === undefined ? 'pach dev was ended' : 'something newer was saved';
    const what = running.pipeline === undefined ? 'the run' : `the job of ${running.pipeline}`;
    if (cause !== undefined && running.pipeline !== undefined)
      this.tell({ kind: 'restarted', pipeline: running.pipeline, cause });
    running.stop.abort(new PachError('interrupted', { what, why }));
    await running.ended;
  }

  /** Something is wrong with what was saved: what was before stays. */
  private mistake(error: unknown): void {
    if (!isPachError(error, 'usage', 'unsupported', 'not-found')) return this.failed(error);
    if (error.message === this.specFault) return;
    this.specFault = error.message;
    const [, file = error.what, line = '0', field] = /^(.*?):(\d+)(?::\d+)?(?:: (.*))?$/.exec(error.what) ?? [];
    const message = field === undefined ? error.why : `${field}: ${error.why}`;
    this.tell({ kind: 'spec-fault', file, line: Number(line), message, next: error.next ?? '' });
  }

  /** It can't go on. What others may mend without a save (`passing`) is tried again by itself. */
  private failed(error: unknown): void {
    const data = errorData(error);
    const isRetried = isPachError(error, ...passing);
    // A full disk fails at another file each time.
    const fault = isPachError(error, 'no-space') ? error.why : data.message;
    if (fault !== this.fault) this.tell({ kind: 'fault', error: data, isRetried });
    this.fault = fault;
    this.isBlocked = true;
    if (!isRetried) return;
    clearTimeout(this.retry);
    this.retry = setTimeout(() => {
      this.isBlocked = false;
      this.filesMayHaveChanged();
    }, retryMs);
  }
}
