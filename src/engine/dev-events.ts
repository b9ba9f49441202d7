/**
 * What the loop of `pach dev` tells beside the events of its runs (events.ts), and what can be asked
 * of it. Whoever shows the loop listens to both, by one listener. All of it is plain data.
 *
 * Events come in this order; those of jobs (RunEvent) come between `started` and `settled`:
 *
 *   watching ─▶ started ─▶ (jobs) ─▶ settled ─▶ saved ─▶ started ─▶ …
 *                            └─ saved ─▶ restarted ─▶ started ─▶ …    a save that makes a job pointless
 *
 * `watching` comes again when the specs or the selection of datums have changed. `spec-fault`,
 * `fault` and `notice` may come at any time.
 */
import type { ErrorData, RunEvent } from './events.ts';

/** What was saved: a file of code, a spec, or a commit in a branch that a pipeline reads. */
export type DevCause = 'code' | 'spec' | 'input';

/** Which datums are looked at; `leftOut` is what the last plan left out, where that is known. */
export type Selection =
  | { readonly kind: 'all' }
  | { readonly kind: 'count'; readonly count: number }
  | { readonly kind: 'glob'; readonly glob: string }
  /** Those that failed when it was asked for, by pipeline. */
  | { readonly kind: 'failed'; readonly datums: Readonly<Record<string, readonly string[]>>; readonly leftOut: number };

export interface WatchedPipeline {
  readonly name: string;
  /** Where its production is: what is compared with. */
  readonly outputBranch: string;
  /** What lies at `from` on this machine is seen at `to`. */
  readonly code: readonly { readonly from: string; readonly to: string }[];
}

export type DevEvent = {
  /** Milliseconds since 1970. */
  readonly time: number;
} & (
  | {
      readonly kind: 'watching';
      /** Where all output goes. */
      readonly branch: string;
      readonly executor: string;
      /** In the order in which they run. */
      readonly pipelines: readonly WatchedPipeline[];
      readonly selection: Selection;
    }
  /** Something that counts has changed. `files`: the first of them; `pipelines`: those that it touches. */
  | {
      readonly kind: 'saved';
      readonly cause: DevCause;
      readonly files: readonly string[];
      readonly fileCount: number;
      readonly pipelines: readonly string[];
    }
  /** The job of this pipeline was cancelled, because what was saved makes it pointless. `reason`: for people, of the job. */
  | {
      readonly kind: 'restarted';
      readonly pipeline: string;
      readonly cause: DevCause | 'command';
      readonly reason: string;
    }
  /** These are run now, in this order. */
  | { readonly kind: 'started'; readonly pipelines: readonly string[] }
  /** All is up to date, or has failed; it waits for a save. */
  | { readonly kind: 'settled'; readonly failed: readonly string[] }
  /** A spec has a mistake; the specs before it stay. `line`: 0 where it is not known; `next`: advice, or empty. */
  | {
      readonly kind: 'spec-fault';
      readonly file: string;
      readonly line: number;
      readonly message: string;
      readonly next: string;
    }
  /** A run could not go on. `isRetried`: it is tried again by itself. */
  | { readonly kind: 'fault'; readonly error: ErrorData; readonly isRetried: boolean }
  | { readonly kind: 'notice'; readonly line: string }
);

export type DevListener = (event: RunEvent | DevEvent) => void;

/** What whoever shows the loop can ask of it. They return at once; what comes of it is told by events. */
export interface DevCommands {
  /** All datums from now on, instead of a sample or those that failed. */
  all(): void;
  /** Only those that failed last, until `all`, through all saves; without any that failed it does nothing. */
  onlyFailed(): void;
  /** Runs again what failed, and looks at everything anew. */
  rerun(): void;
  /** Ends the loop: what runs is ended, and nothing is left. */
  quit(): void;
}
