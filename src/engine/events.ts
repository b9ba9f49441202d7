/**
 * What happens in a run, as events. Whoever shows, counts or passes on what happens listens to
 * these, and to nothing else. All of it is plain data: as JSON and back it is the same.
 *
 * Listeners are functions that are called, not readers of a stream: a reader that is slow would
 * either stop the job, or let events pile up where nobody knows which of them may be left out. A
 * listener takes what it needs and returns; what takes long it does afterwards, by itself.
 *
 * Events of one job come in this order. What happens to its datums is in execution/events.ts.
 *
 *   waiting (preparation) ─▶ job-started ─▶ progress, planned, datums, published ─▶ waiting (publication)
 *     ─▶ progress, published ─▶ waiting (check) ─▶ job-ended
 *
 * A job that can't run has `job-ended` alone. Datums that have results are counted in `progress`,
 * a few times a second: they have no events of their own, since there may be a million of them.
 */
import type { ErrorCode } from '../base/errors.ts';
import type { WorkEvent } from '../execution/events.ts';
import type { DatumCounts, JobId, JobRecord, JobState, OutsideLinks } from '../model/records/pipelines.ts';
import type { Rechecked } from '../results/recheck.ts';
import type { OutputChanges } from './output-changes.ts';

export type RunEvent = {
  /** Milliseconds since 1970. */
  readonly time: number;
} & (
  | ({ readonly kind: 'waiting'; readonly for: 'preparation' } & OfPipeline)
  | ((WorkEvent | JobEvent) & OfJob)
  /** Something worth knowing that is not a result, for people. */
  | { readonly kind: 'note'; readonly line: string }
);

interface OfPipeline {
  readonly pipeline: string;
  readonly branch: string;
}

export interface OfJob extends OfPipeline {
  readonly job: JobId;
}

export type JobEvent =
  | { readonly kind: 'job-started'; readonly executor: string }
  | { readonly kind: 'progress'; readonly counts: DatumCounts; readonly isPlanned: boolean }
  /** All datums are known now: how many it has looked at, and how many of these are to run. */
  | { readonly kind: 'planned'; readonly total: number; readonly toRun: number }
  /** So many results are known to other jobs too. */
  | { readonly kind: 'published'; readonly results: number }
  | { readonly kind: 'waiting'; readonly for: 'publication' | 'check' }
  | { readonly kind: 'job-ended'; readonly outcome: JobOutcome };

export type JobOutcome =
  | EndedJob
  /** Garbage was collected that the job relied on: it starts again, and goes on. */
  | { readonly state: 'again' }
  /** It is not for this engine to end it, or the store could not be told: whoever runs it next goes on with it. */
  | { readonly state: 'unfinished'; readonly error: ErrorData };

/** How a job ended, as the store has it. */
export interface EndedJob {
  readonly state: Exclude<JobState, 'running'>;
  /** Of a job that did not succeed, for people. */
  readonly reason: string;
  /** What ends the run together with the job. */
  readonly error: ErrorData | null;
  readonly counts: DatumCounts;
  readonly started: number;
  readonly finished: number;
  /** A branch without commits has no commit. */
  readonly inputs: readonly { readonly repo: string; readonly branch: string; readonly commit: string | null }[];
  readonly commit: string | null;
  /** What is different in its output; null for a job without one. */
  readonly output: OutputChanges | null;
  /** Datums that were run again to compare; null where none were to be. */
  readonly recomputed: readonly RecomputedDatum[] | null;
  readonly outside: OutsideLinks | null;
}

export interface RecomputedDatum {
  readonly id: string;
  readonly files: readonly { readonly repo: string; readonly commit: string; readonly path: string }[];
  readonly now: Rechecked['now'];
}

export interface ErrorData {
  readonly code: ErrorCode | 'unexpected';
  readonly message: string;
}

type JobNames = Pick<JobRecord, 'id' | 'pipeline' | 'branch'>;

export type RunListener = (event: RunEvent) => void;

type WithoutTime<E> = E extends unknown ? Omit<E, 'time'> : never;

/** Tells all listeners of an event. Never throws. */
export type TellOf<E> = (event: WithoutTime<E>) => void;
export type Tell = TellOf<RunEvent>;

export type TellOfJob = (event: WorkEvent | JobEvent) => void;

/** The same for the events of one job. */
export function tellOf(tell: Tell, { id: job, pipeline, branch }: JobNames): TellOfJob {
  return (event) => tell({ ...event, job, pipeline, branch });
}

export function tellAll(listeners: readonly RunListener[]): Tell {
  return tellTo<RunEvent>(listeners);
}

/** One that throws is not told anything any more: what it makes of events must not end a job. */
export function tellTo<E extends { readonly time: number }>(listeners: readonly ((event: E) => void)[]): TellOf<E> {
  const listening = new Set(listeners);
  return (untimed) => {
    const event = { ...untimed, time: Date.now() } as unknown as E;
    for (const listener of listening) {
      try {
        listener(event);
      } catch {
        listening.delete(listener);
      }
    }
  };
}
