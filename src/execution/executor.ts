/**
 * What runs commands: on this host, or in containers. The engine prepares a slot, a folder of this
 * machine, and the executor's worker shows it to the command as /pfs.
 *
 * A slot has `pfs/` (what /pfs shows; in it `out/`, an empty folder) and `out/` (what /pfs/out
 * shows). Between runs the engine fills and empties both; a worker never does. While a command
 * runs the worker adds its mounts, and takes them away before `run` resolves, with every process
 * that the command left.
 */
import type { Fingerprint } from '../pipelines/jobs/recipe.ts';

/** Something of this machine shown at a place below /pfs, read-only. */
export interface Bind {
  /** Absolute: a file or folder. */
  readonly from: string;
  /** Relative to /pfs; an empty file or folder lies there in the slot. */
  readonly to: string;
}

export interface SecretFile {
  /** Absolute, as the command sees it. */
  readonly path: string;
  readonly bytes: Buffer;
}

export interface WorkerOptions {
  /** Absolute, see above; made by the engine, with `pfs/out` and `out` in it. */
  readonly slot: string;
  /** Names the worker in lists of containers: pipeline and number. */
  readonly name: string;
  /** Undefined for executors without images. */
  readonly image?: string | undefined;
  /** Folders or files of this machine, shown read-only at absolute places. */
  readonly code: readonly { readonly from: string; readonly to: string }[];
  readonly secrets: readonly SecretFile[];
  /** Variables of the command in every run, secret ones too: never in argv, a container's configuration or a log. */
  readonly env: Readonly<Record<string, string>>;
  readonly user?: string | undefined;
  readonly workingDir?: string | undefined;
  readonly memoryBytesMax?: number | undefined;
  readonly cpus?: number | undefined;
  readonly gpus?: number | undefined;
  readonly processesMax: number;
  readonly network: 'default' | 'none';
  /** A tmpfs for scratch at /scratch. */
  readonly memoryVolume: boolean;
  /** Folders and files of this machine that commands must not see, where the executor shows the machine's files. */
  readonly hidden: readonly string[];
}

export interface Task {
  readonly argv: readonly string[];
  readonly stdin?: Buffer | undefined;
  /** Added to the worker's. */
  readonly env: Readonly<Record<string, string>>;
  readonly binds: readonly Bind[];
  readonly timeoutMs?: number | undefined;
  readonly outputBytesMax: number;
  /** Told of what the command prints, as it does; both streams in one. Never called after `run` has resolved. */
  log(bytes: Buffer): void;
  /** Ends the command. */
  readonly signal?: AbortSignal | undefined;
  /**
   * For commands that stay up (datum batching): called when the command asks for its next datum,
   * with what it said of the one before; resolves to the variables of the next one, or undefined
   * when there is none. The engine takes the output in and fills the slot meanwhile; there are no binds
   * then. All processes of the command are stopped until it has resolved, and `run` resolves after it.
   * `held` tells whether that was so until now: what was read of the output counts only then.
   */
  nextDatum?(failed: boolean, held: () => Promise<boolean>): Promise<Readonly<Record<string, string>> | undefined>;
}

/** How a command ended. */
export type Ending =
  | { readonly kind: 'exit'; readonly code: number }
  | { readonly kind: 'signal'; readonly signal: string }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'out-of-memory' }
  | { readonly kind: 'too-much-output' }
  | { readonly kind: 'too-many-processes' }
  /** It asked for its next datum, and its processes could not be stopped. */
  | { readonly kind: 'not-stopped' }
  /** The command could not be started: `why` is a clause (`there is no program foo`). */
  | { readonly kind: 'not-started'; readonly why: string }
  | { readonly kind: 'aborted' };

export interface Exit {
  readonly ending: Ending;
  readonly wallMs: number;
  readonly cpuMs: number;
  /** Peak resident memory of the command and its children, in bytes. */
  readonly memoryBytesPeak: number;
  /** A path that the command changed where the next one would find it: the next one gets a new container. */
  readonly left?: string | undefined;
}

/** Runs one command at a time. Disposing of it leaves nothing: no process, mount or container. */
export interface Worker extends AsyncDisposable {
  /** Resolves however the command ends; throws PachError when the worker itself is broken (the engine was stopped…). */
  run(task: Task): Promise<Exit>;
  /** False when the same options would now open another worker: the image's name stands for another image. */
  isCurrent(): boolean;
}

export interface Executor extends AsyncDisposable {
  /** What a user types for it. */
  readonly name: string;
  /**
   * Part of every datum key. Executors of one class give the same results for the same fingerprint:
   * whatever runs images is of the class `docker`.
   */
  readonly resultsClass: 'process' | 'docker';
  /**
   * How a mount of this machine is shown to a command. `bound`: each command gets its own set of
   * mounts, made when it starts. `inserted`: it is mounted into a worker that runs already. `none`:
   * not at all; inputs are written out as files.
   */
  readonly inputMounts: 'bound' | 'inserted' | 'none';
  /** Throws `not-found` for an image that is not to be had, with what to do. `image` is ignored where there are none. */
  fingerprint(image: string): Promise<Fingerprint>;
  /** Lines worth saying once on stderr: fields of the spec that this executor has no use for. */
  unused(options: WorkerOptions): readonly string[];
  open(options: WorkerOptions): Promise<Worker>;
}
