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
 * is cancelled (dev-runs.ts). What git says of the code comes later, beside all this (dev-origins.ts).
 *
 * `settled` has the newest job of each pipeline for which nothing has changed since. What is not in
 * it is to be run, in order; a change takes out what it touches.
 */
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
  type DevGraph,
  type Saved,
} from './dev-graph.ts';
import { FolderMemory } from '../local/folder-memory.ts';
import type { DevCommands, DevEvent, DevListener, Selection } from './dev-events.ts';
import { datumOrder } from './datum-order.ts';
import { DevFaults } from './dev-faults.ts';
import { DevOrigins } from './dev-origins.ts';
import { DevRuns, type DevRunsOptions } from './dev-runs.ts';
import { Failing, withSelection } from './dev-selection.ts';
import { tellTo, type RunEvent, type TellOf } from './events.ts';
import type { GraphStep } from './run-graph.ts';

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
  readonly run: DevRunsOptions['run'];
  readonly listeners: readonly DevListener[];
  /** Ends the loop. */
  readonly signal: AbortSignal;
}

export class DevLoop implements DevCommands {
  private readonly options: DevOptions;
  private readonly tell: TellOf<RunEvent | DevEvent>;
  private graph: DevGraph = emptyGraph;
  private readonly settled = new Map<string, Job>();
  private readonly failing = new Failing();
  private selection: Selection;
  private isOtherSelection = false;
  private readonly runs: DevRuns;
  private readonly faults: DevFaults;
  private readonly seen = new FolderMemory();
  private wake = (): void => undefined;
  private isWoken = true;
  private hasFiles = true;
  private newest: Snapshot | undefined;
  private mustRerun = false;
  private isOver = false;

  constructor(options: DevOptions) {
    this.options = options;
    this.tell = tellTo<RunEvent | DevEvent>([(event) => this.failing.listen(event), ...options.listeners]);
    this.selection = options.selection;
    this.faults = new DevFaults(this.tell, () => this.filesMayHaveChanged());
    this.runs = new DevRuns({
      run: options.run,
      order: (pipeline) => datumOrder(this.failing.of(pipeline)),
      tell: this.tell,
      signal: options.signal,
      ended: (step) => this.ended(step),
      finished: () => this.finished(),
      failed: (error) => this.faults.of(error),
      over: () => this.hint(),
    });
  }

  /** Until it is quit or the signal is aborted; then no command runs. Throws what is wrong with the specs at first. */
  async run(): Promise<void> {
    const { project, branch, signal } = this.options;
    const stop = (): void => this.quit();
    signal.addEventListener('abort', stop);
    await using origins = new DevOrigins(project, branch);
    using _ = project.head.listen({
      moved: (snapshot) => {
        this.newest = snapshot;
        // What the specs name and was not there may be there now.
        if (this.faults.isOfSpec) this.hasFiles = true;
        this.hint();
      },
    });
    try {
      await this.readFiles(origins);
      while (!this.isOver && !signal.aborted) {
        this.isWoken = false;
        await this.look(origins);
        if (!this.isWoken) await new Promise<void>((woken) => (this.wake = woken));
      }
    } finally {
      signal.removeEventListener('abort', stop);
      this.faults[Symbol.dispose]();
      await this.runs.end();
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
  private async look(origins: DevOrigins): Promise<void> {
    if (this.mustRerun) {
      this.mustRerun = false;
      await this.runs.again();
      this.settled.clear();
      this.faults.unblock();
    }
    if (this.hasFiles) await this.readFiles(origins).catch((error: unknown) => this.faults.ofSpec(error));
    await this.readHeads().catch((error: unknown) => this.faults.of(error));
    if (this.runs.isRunning || this.isOver || this.faults.isBlocked) return;
    if (this.graph.order.some(({ name }) => !this.settled.has(name))) this.runs.start(this.graph, this.settled);
  }

  private async begin(names: readonly string[]): Promise<void> {
    const { project, branch } = this.options;
    await this.failing.recall(await project.snapshot(), names, branch);
    // Others are not what somebody tried on this branch some day.
    await dropVersions(project, branch, names);
  }

  /** Takes in specs and code as they are now; nothing of them where something is wrong. */
  private async readFiles(origins: DevOrigins): Promise<void> {
    const { project, branch, signal, executor } = this.options;
    this.hasFiles = false;
    const specs = withSelection(await this.options.readSpecs(), this.selection);
    if (this.graph === emptyGraph) await this.begin(specs.map(({ name }) => name));
    const pipelines = await setPipelines(project, specs, {
      update: true,
      branch,
      reprocess: false,
      isEngines: true,
      signal,
      seen: this.seen,
      withoutOrigin: true,
      skipped: (what, why) => this.notice(`${what}: left out: ${why}`),
    });
    origins.ask(pipelines);
    const graph = await devGraph(await project.snapshot(), specs, branch);
    const saved = await changedPipelines(project, this.graph, graph);
    const isFirst = this.graph === emptyGraph;
    const isOther =
      this.isOtherSelection ||
      saved.some(({ cause }) => cause === 'spec') ||
      this.graph.order.length !== graph.order.length;
    if (isOther) await this.options.watch(specs);
    this.graph = graph;
    if (isOther || this.faults.isOfSpec) {
      const watched = graph.order.map(({ name, spec }) => ({
        name,
        outputBranch: spec.outputBranch,
        code: spec.code,
      }));
      this.tell({ kind: 'watching', branch, executor, pipelines: watched, selection: this.selection });
    }
    this.faults.specPassed();
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
  private async touch(saved: Saved, isQuiet: boolean): Promise<void> {
    const { cause, pipelines, files, fileCount } = saved;
    if (!isQuiet) this.tell({ kind: 'saved', cause, pipelines, files, fileCount });
    this.faults.unblock();
    this.faults.passed();
    for (const name of pipelines) this.settled.delete(name);
    await this.runs.saved(saved, this.graph);
  }

  private finished(): void {
    const jobs = this.graph.order.map(({ name }) => this.settled.get(name));
    if (jobs.includes(undefined)) return;
    const failed = jobs.flatMap((job) => (job && job.state !== 'success' ? [job.pipeline] : []));
    this.tell({ kind: 'settled', failed });
  }

  /** A pipeline's job has ended: it stands while nothing changes, and what reads its output may have to run. */
  private async ended({ pipeline, job }: GraphStep): Promise<void> {
    const { name } = pipeline;
    this.faults.passed();
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
}
