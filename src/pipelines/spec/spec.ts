/**
 * A pipeline's spec as the engine sees it: Pachyderm's fields, checked and with their defaults
 * filled in. Reading one from JSON or YAML is the work of `spec/`.
 */
import type { TriggerConditions } from '../../model/records/refs.ts';

/** A secret's key, given to the command as a variable or as files below a folder. */
export interface SecretUse {
  readonly name: string;
  /** Needed with `envVar`; without it each key becomes a file below `mountPath`. */
  readonly key?: string | undefined;
  readonly mountPath?: string | undefined;
  readonly envVar?: string | undefined;
}

export interface Transform {
  readonly image: string;
  /** Program and arguments; no shell. */
  readonly cmd: readonly string[];
  /** Lines for its standard input; undefined for none. */
  readonly stdin?: readonly string[] | undefined;
  /** Runs after every failed try; when it succeeds the datum counts as recovered. */
  readonly errCmd?: readonly string[] | undefined;
  readonly errStdin?: readonly string[] | undefined;
  /** Exit codes beside 0 that mean success. */
  readonly acceptReturnCode: readonly number[];
  readonly env: Readonly<Record<string, string>>;
  readonly secrets: readonly SecretUse[];
  /** Undefined: those of the image, or of who runs the engine. */
  readonly user?: string | undefined;
  readonly workingDir?: string | undefined;
  /** The command stays up and asks for datums with `next datum`. */
  readonly datumBatching: boolean;
  /** Mounts a tmpfs for scratch, beside /dev/shm. */
  readonly memoryVolume: boolean;
}

/** Files of a repo; every match of `glob` is (part of) a datum. */
export interface PfsInput {
  readonly kind: 'pfs';
  /** The folder's name below /pfs. */
  readonly name: string;
  readonly repo: string;
  readonly branch: string;
  readonly glob: string;
  /** A text with `$1`, `$2`… for what the glob's groups took. */
  readonly joinOn?: string | undefined;
  readonly outerJoin: boolean;
  readonly groupBy?: string | undefined;
  /** Never fetched before the command reads. */
  readonly lazy: boolean;
  /** Files are shown with no bytes. */
  readonly emptyFiles: boolean;
  /** Its content is left out of datum keys. */
  readonly reference: boolean;
  /** When an engine commits a file to it, named by the time: the repo is the engine's then. */
  readonly cron?: CronUse | undefined;
  /** When `branch`, which is made for it, takes the head of another one; stored with the branch too. */
  readonly trigger?: InputTrigger | undefined;
}

export interface InputTrigger extends TriggerConditions {
  readonly branch: string;
}

/** A time of a schedule is a tick: a commit with an empty file. */
export interface CronUse {
  /** An expression, in the time zone of the pipeline. */
  readonly spec: string;
  /** Milliseconds since 1970: ticks come after it; undefined: after the pipeline was made. */
  readonly start?: number | undefined;
  /** The file of a tick takes the place of those before it. */
  readonly overwrite: boolean;
}

export type CronInput = PfsInput & { readonly cron: CronUse };

/** Which ticks are made up for that were due while no engine was there: the last one, all, or none. */
export type MissedTicks = 'one' | 'all' | 'none';

export type Input =
  | PfsInput
  | { readonly kind: 'cross' | 'union' | 'join' | 'group'; readonly inputs: readonly Input[] }
  | SampledInput;

/**
 * Some datums of an input, while somebody develops. It is part of the input, and stored with it, so
 * that no job of all datums takes one of these for what it begins with. It is never part of another
 * input.
 */
export interface SampledInput {
  readonly kind: 'sample';
  readonly inputs: readonly [Input];
  readonly sample: Sample;
}

/** The first ones; those with a file that the pattern matches; those with these ids. */
export type Sample =
  | { readonly kind: 'count'; readonly count: number }
  | { readonly kind: 'glob'; readonly glob: string }
  | { readonly kind: 'datums'; readonly datums: readonly string[] };

/** Files beside the spec (`dev.code`), put into the container and part of every datum's key. */
export interface CodeUse {
  /** A folder or file, absolute. */
  readonly from: string;
  /** Absolute, where the command sees it. */
  readonly to: string;
}

/** An image that is built here (`dev.build`), instead of the one that `transform.image` names. */
export interface ImageBuild {
  /** A folder, absolute. */
  readonly context: string;
  /** Below it. */
  readonly dockerfile: string;
}

export interface Resources {
  /** Processor cores, may be a fraction. */
  readonly cpu?: number | undefined;
  readonly memoryBytes?: number | undefined;
  /** Of the spec's limits, or of its requests: Kubernetes takes them for the same. */
  readonly gpus?: number | undefined;
}

export interface DevLimits {
  /** Of /pfs/out of one datum. */
  readonly outputBytesMax: number;
  /** Of one datum's log; what is beyond is left out, and said so. */
  readonly logBytesMax: number;
  readonly processesMax: number;
}

/** What must hold of a job's output before its branch moves to it. */
export interface Expectations {
  readonly notEmpty: boolean;
  readonly filesMin?: number | undefined;
  /** Of files, and of bytes, against the last success of the branch. */
  readonly shrinkPercentMax?: number | undefined;
  readonly check?: OutputCheck | undefined;
}

/** A command that looks at the output and ends with 0 if that is as it should be. */
export interface OutputCheck {
  readonly cmd: readonly string[];
  readonly timeoutMs: number;
}

/** How jobs that failed are run again, by an engine that stays up. */
export interface Retry {
  /** The first one counts. */
  readonly tries: number;
  /** Before the second try; it doubles with each further one. */
  readonly pauseMs: number;
}

export interface PipelineSpec {
  readonly name: string;
  readonly description: string;
  readonly transform: Transform;
  readonly input: Input;
  readonly parallelism: number;
  readonly datumTimeoutMs?: number | undefined;
  readonly jobTimeoutMs?: number | undefined;
  /** How often a datum is run before it counts as failed. */
  readonly datumTries: number;
  readonly reprocess: 'until_success' | 'every_job';
  /** Part of every datum key, if there is one: another value makes all datums run again. */
  readonly salt?: string | undefined;
  readonly outputBranch: string;
  readonly resourceLimits: Resources;
  readonly code: readonly CodeUse[];
  readonly build?: ImageBuild | undefined;
  readonly devLimits: DevLimits;
  readonly network: 'default' | 'none';
  /** Places of this machine that the process executor hides: absolute, or in the home folder (`~/…`). */
  readonly hide: readonly string[];
  readonly expect?: Expectations | undefined;
  /** `skip`: a job succeeds without the datums that failed. Else a failure of one fails the job. */
  readonly onDatumFailure?: 'skip' | undefined;
  /** Undefined: jobs are not run again by themselves. */
  readonly retry?: Retry | undefined;
  /** `recompute`: where it is promoted to, results that were made elsewhere do not count. Else all do. */
  readonly trust?: 'recompute' | undefined;
  /** So many results that were made elsewhere are made again by a promotion, to compare. */
  readonly verify?: number | undefined;
  /** From new input to its results; later than that they are late. */
  readonly deadlineMs?: number | undefined;
  /** So many jobs stay on each branch; undefined: all of them. */
  readonly keptJobs?: number | undefined;
  /** So many ticks stay in the repo of each cron input; undefined: all of them. */
  readonly keptTicks?: number | undefined;
  /** Of its cron expressions. */
  readonly timezone: string;
  readonly missedTicks: MissedTicks;
  /** The spec as its author wrote it, with the fields that matter on Kubernetes only (`podFields` reads them). */
  readonly document: object;
}
