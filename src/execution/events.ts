/**
 * What happens while datums run, and how each of them ended. All of it is plain data: as JSON and
 * back it is the same.
 */
import { constants } from 'node:os';
import type { DatumStats } from '../model/records/pipelines.ts';
import type { PlannedDatum } from '../pipelines/jobs/planned.ts';
import type { Ending } from './executor.ts';

/**
 * A try of a datum begins and ends. Between the two stands what its command printed.
 *
 *   begun ─┬─▶ success, failed, recovered      the datum is done
 *          ├─▶ again                           the try failed, and another one begins
 *          └─▶ unfinished                      nothing is known: the job ends, or another worker begins it anew
 */
export type WorkEvent =
  | { readonly kind: 'waiting'; readonly for: 'worker' }
  | { readonly kind: 'datum-begun'; readonly datum: DatumName }
  | { readonly kind: 'printed'; readonly datum: string; readonly text: string }
  | { readonly kind: 'datum-ended'; readonly datum: DatumName; readonly outcome: DatumOutcome }
  | { readonly kind: 'note'; readonly line: string };

export interface DatumName {
  readonly id: string;
  /** The first of its files. */
  readonly files: readonly { readonly repo: string; readonly commit: string; readonly path: string }[];
  readonly fileCount: number;
  /** It has a result, which stays; this run is compared with it. */
  readonly isRecheck: boolean;
}

export type DatumOutcome =
  | { readonly state: 'success'; readonly stats: DatumStats }
  /** `reason`: the failure as it is stored, for people. */
  | {
      readonly state: 'failed' | 'recovered';
      readonly failure: DatumFailure;
      readonly reason: string;
      readonly stats: DatumStats;
    }
  | { readonly state: 'again'; readonly failure: DatumFailure }
  | { readonly state: 'unfinished'; readonly why: 'stopped' | 'worker-broke' | 'engine-failed' };

/** Why a datum failed. */
export type DatumFailure =
  | { readonly cause: 'ending'; readonly ending: Ending }
  /** A command that stays up ended before it asked for its first datum. */
  | { readonly cause: 'never-asked'; readonly ending: Ending }
  /** A command that stays up said of its datum that it failed. */
  | { readonly cause: 'said' }
  /** What it wrote can't be stored. */
  | { readonly cause: 'output'; readonly what: string; readonly why: string };

/** A datum of very many files is named by its first ones. */
const filesTold = 10;

export function datumName({ datum, isRecheck = false }: PlannedDatum): DatumName {
  const files = datum.files.slice(0, filesTold).map(({ input, commit, path }) => ({ repo: input.repo, commit, path }));
  return { id: datum.id, files, fileCount: datum.files.length, isRecheck };
}

/** Why a datum failed, for people. `memoryBytes`: what its command may have. */
export function failureText(failure: DatumFailure, memoryBytes: number | undefined): string {
  switch (failure.cause) {
    case 'ending':
      return endingText(failure.ending, memoryBytes);
    case 'never-asked':
      return `${endingText(failure.ending, memoryBytes)}, and never called next datum`;
    case 'said':
      return 'the command said that the datum failed';
    case 'output':
      return `pach can't store its output: ${failure.what}: ${failure.why}`;
  }
}

/** How a command ended that failed. */
export function endingText(ending: Ending, memoryBytes?: number): string {
  switch (ending.kind) {
    case 'exit':
      return `the command ended with exit code ${ending.code}${ofSignal(ending.code)}`;
    case 'signal':
      return `signal ${ending.signal} ended the command`;
    case 'timeout':
      return 'the command took longer than datum_timeout allows';
    case 'out-of-memory': {
      const limit = memoryBytes === undefined ? '' : ` (${Math.round(memoryBytes / 1e6).toLocaleString('en')} MB)`;
      return `the command ran out of memory: resource_limits.memory${limit} is too small for it`;
    }
    case 'too-much-output':
      return 'the command wrote more to /pfs/out than dev.limits.output allows';
    case 'too-many-processes':
      return 'the command started more processes than dev.limits.processes allows';
    case 'not-stopped':
      return 'pach could not stop processes of the command, so it did not store the output';
    case 'not-started':
      return `the command did not start: ${ending.why}`;
    case 'aborted':
      return 'the command was stopped';
  }
}

/** The code by which a shell tells that a signal ended a command of its own. */
function ofSignal(code: number): string {
  const name = signalName(code - 128);
  return name === undefined ? '' : ` (128 + ${name})`;
}

/** `SIGABRT`; undefined for a number that no signal has. */
export function signalName(number: number): string | undefined {
  // Of two names the usual one comes first.
  return Object.entries(constants.signals).find(([, each]) => each === number)?.[0];
}
