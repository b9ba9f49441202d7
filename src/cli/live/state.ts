/**
 * What the live screen of a development session knows, told from its events. Pure: a state and an
 * event give the next state, whoever draws it, and when.
 */
import type { DevCause, DevEvent, Selection, WatchedPipeline } from '../../engine/dev-events.ts';
import type { EndedJob, OfJob, RunEvent } from '../../engine/events.ts';
import type { DatumName } from '../../execution/events.ts';
import type { DatumCounts } from '../../model/records/pipelines.ts';
import type { OutputDifferences } from '../../shown/difference.ts';
import { failureWith, type Failure } from '../../shown/failure.ts';

/** The first failed datums of a save have their logs here; the rest are counted. */
const failedMax = 100;
/** Of what a datum printed, so many characters at its end. */
const logTailMax = 16_384;
const notesMax = 3;

/** What the loop and its runs tell, and what comes of keys. */
export type LiveEvent =
  | RunEvent
  | DevEvent
  /** How the output of a job differs from others. */
  | { readonly kind: 'compared'; readonly job: string; readonly differences: OutputDifferences }
  /** Looks at the next failed datum, or the one before. */
  | { readonly kind: 'step'; readonly by: 1 | -1 }
  | { readonly kind: 'panel'; readonly panel: Panel | null };

/** What a key asked for, below the rest. */
export type Panel = { readonly kind: 'diff' } | { readonly kind: 'why'; readonly text: string };

export interface RanDatum extends OfJob {
  readonly datum: DatumName;
}

export interface FailedDatum extends RanDatum {
  readonly reason: string;
  /** The end of what it printed. */
  readonly log: string;
  readonly failure: Failure;
}

export interface LiveJob extends OfJob {
  readonly counts: DatumCounts;
  readonly ended: EndedJob | null;
  /** Of its output; undefined until they are known. */
  readonly differences: OutputDifferences | undefined;
}

/** A save and what came of it. */
export interface Save {
  readonly number: number;
  readonly time: number;
  /** Undefined for a run that nobody saved for: the first one, or one that a key asked for. */
  readonly cause: DevCause | undefined;
  /** The first files that were saved. */
  readonly files: readonly string[];
  readonly fileCount: number;
  /** When all that it affects had run. */
  readonly settled: number | null;
  /** One a pipeline, in the order in which they began. */
  readonly jobs: readonly LiveJob[];
  readonly failed: readonly FailedDatum[];
  /** The datum that ended last. */
  readonly last: RanDatum | null;
}

export type SpecFault = Extract<DevEvent, { readonly kind: 'spec-fault' }>;

export interface LiveState {
  readonly branch: string;
  readonly pipelines: readonly WatchedPipeline[];
  readonly selection: Selection;
  readonly save: Save | null;
  /** Of datums that run: the end of what they printed. */
  readonly logs: ReadonlyMap<string, string>;
  /** The failed datum that is looked at, by its place. */
  readonly at: number;
  readonly panel: Panel | null;
  readonly specFault: SpecFault | null;
  /** Why a run could not go on; empty while it can. */
  readonly fault: string;
  /** The last ones of this save. */
  readonly notes: readonly string[];
}

export const atFirst: LiveState = {
  branch: '',
  pipelines: [],
  selection: { kind: 'all' },
  save: null,
  logs: new Map(),
  at: 0,
  panel: null,
  specFault: null,
  fault: '',
  notes: [],
};

export function next(state: LiveState, event: LiveEvent): LiveState {
  switch (event.kind) {
    case 'watching': {
      const { branch, pipelines, selection } = event;
      return { ...state, branch, pipelines, selection, specFault: null };
    }
    case 'saved':
      return saved(state, event);
    case 'started': {
      const isNew = !state.save || state.save.settled !== null;
      // It may be another try, of which the fault is not told again.
      return isNew ? { ...saved(state, event), fault: state.fault } : state;
    }
    case 'restarted':
      return restarted(state, event);
    case 'settled':
      return { ...withSave(state, (save) => ({ ...save, settled: event.time })), fault: '' };
    case 'spec-fault':
      return { ...state, specFault: event };
    case 'fault':
      return { ...state, fault: event.error.message };
    case 'note':
    case 'notice':
      return withNote(state, event.line);
    case 'job-started':
      return begun(state, event);
    case 'progress':
      return withSave(state, (save) => withJob(save, event.job, (job) => ({ ...job, counts: event.counts })));
    case 'datum-begun':
      return withLog(state, event.datum.id, '');
    case 'printed':
      return withLog(state, event.datum, (state.logs.get(event.datum) ?? '') + event.text);
    case 'datum-ended':
      return datumEnded(state, event);
    case 'job-ended':
      return jobEnded(state, event);
    case 'compared':
      return withSave(state, (save) => withJob(save, event.job, (job) => ({ ...job, differences: event.differences })));
    case 'step':
      return { ...state, at: stepped(state, event.by), panel: null };
    case 'panel':
      return { ...state, panel: event.panel };
    case 'waiting':
    case 'planned':
    case 'published':
      return state;
  }
}

type Beginning = Extract<DevEvent, { readonly kind: 'saved' | 'started' }>;

/** What goes on from before is part of it. */
function saved(state: LiveState, event: Beginning): LiveState {
  const { time } = event;
  const { cause, files, fileCount } = event.kind === 'saved' ? event : { cause: undefined, files: [], fileCount: 0 };
  const before = state.save;
  const kept = before ? without(before, ({ ended }) => ended !== null) : { jobs: [], failed: [], last: null };
  const save = { ...kept, number: (before?.number ?? 0) + 1, time, cause, files, fileCount, settled: null };
  const specFault = cause === 'spec' ? null : state.specFault;
  return { ...state, save, specFault, at: 0, panel: null, notes: [], fault: '' };
}

/** Nothing is shown of what was cancelled, but why. */
function restarted(state: LiveState, event: Extract<DevEvent, { readonly kind: 'restarted' }>): LiveState {
  const others = withSave(state, (save) => without(save, ({ pipeline }) => pipeline === event.pipeline));
  return withNote(others, `${event.pipeline}: stopped, because ${event.reason}`);
}

function withNote(state: LiveState, line: string): LiveState {
  return { ...state, notes: [...state.notes, line].slice(-notesMax) };
}

/** All but some jobs, with what failed in them. */
function without(save: Save, drops: (job: LiveJob) => boolean): Save {
  const jobs = save.jobs.filter((job) => !drops(job));
  const failed = save.failed.filter((each) => jobs.some(({ job }) => job === each.job));
  const last = jobs.some(({ job }) => job === save.last?.job) ? save.last : null;
  return { ...save, jobs, failed, last };
}

function withSave(state: LiveState, change: (save: Save) => Save): LiveState {
  return state.save ? { ...state, save: change(state.save) } : state;
}

function withJob(save: Save, job: string, change: (job: LiveJob) => LiveJob): Save {
  return { ...save, jobs: save.jobs.map((each) => (each.job === job ? change(each) : each)) };
}

function withLog(state: LiveState, datum: string, text: string): LiveState {
  return { ...state, logs: new Map(state.logs).set(datum, text.slice(-logTailMax)) };
}

/** A pipeline's job takes the place of the one before it, which may be itself when it starts again. */
function begun(state: LiveState, { pipeline, branch, job }: OfJob): LiveState {
  const counts = { total: 0, processed: 0, skipped: 0, failed: 0, recovered: 0 };
  const started: LiveJob = { pipeline, branch, job, counts, ended: null, differences: undefined };
  return withSave(state, (save) => {
    const others = without(save, (each) => each.pipeline === pipeline);
    return { ...others, jobs: [...others.jobs, started] };
  });
}

function datumEnded(state: LiveState, event: Extract<RunEvent, { readonly kind: 'datum-ended' }>): LiveState {
  const { datum, outcome, pipeline, branch, job } = event;
  if (outcome.state === 'again') return withLog(state, datum.id, '');
  const log = state.logs.get(datum.id) ?? '';
  const logs = new Map(state.logs);
  logs.delete(datum.id);
  const ran = { pipeline, branch, job, datum };
  const after = withSave({ ...state, logs }, (save) => ({ ...save, last: ran }));
  if (outcome.state !== 'failed' || datum.isRecheck) return after;
  const { code = [] } = state.pipelines.find(({ name }) => name === pipeline) ?? {};
  const failed = { ...ran, reason: outcome.reason, log, failure: failureWith(outcome.failure, log, code) };
  return withSave(after, (save) => ({ ...save, failed: [...save.failed, failed].slice(0, failedMax) }));
}

function jobEnded(state: LiveState, event: Extract<RunEvent, { readonly kind: 'job-ended' }>): LiveState {
  const { outcome, job } = event;
  if (outcome.state === 'again' || outcome.state === 'unfinished') return state;
  // One that can't run has not begun either.
  const known = state.save?.jobs.some((each) => each.job === job) ? state : begun(state, event);
  return withSave(known, (save) => withJob(save, job, (each) => ({ ...each, counts: outcome.counts, ended: outcome })));
}

function stepped({ save, at }: LiveState, by: 1 | -1): number {
  const count = save?.failed.length ?? 0;
  return count === 0 ? 0 : (at + by + count) % count;
}

/** The datum that is looked at, if it failed. */
export function failedShown({ save, at }: LiveState): FailedDatum | undefined {
  return save?.failed[at];
}

/** The datum that keys are about: the failed one, or where none failed the last one. */
export function datumShown(state: LiveState): RanDatum | undefined {
  return failedShown(state) ?? state.save?.last ?? undefined;
}

/** How many datums have run since the last save. */
export function ranOf({ save }: LiveState): number {
  return save?.jobs.reduce((sum, { counts }) => sum + counts.processed + counts.failed + counts.recovered, 0) ?? 0;
}
