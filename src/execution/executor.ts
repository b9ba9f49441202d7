/**
 * What runs commands: on this machine, or in containers. The engine prepares a slot, a folder of this
 * machine. The executor's worker shows it to the command as /pfs.
 *
 * A slot has two folders. The command sees `pfs/` as /pfs; in it lies `out/`, an empty folder. It sees
 * `out/` as /pfs/out. The engine fills and empties both between runs; a worker never does. A worker
 * mounts the binds of a command when it starts. Before `run` resolves, it unmounts them and ends
 * every process that the command left.
 */
import type { Duplex, Readable } from 'node:stream';
import { PachError } from '../base/errors.ts';
import type { Fingerprint } from '../pipelines/jobs/recipe.ts';
import type { ImageBuild } from '../pipelines/spec/spec.ts';

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
  /** Absolute path of the slot, see above. The engine has made it, with `pfs/out` and `out` in it. */
  readonly slot: string;
  /** Names the worker in lists of containers: pipeline and number. */
  readonly name: string;
  /** Undefined for executors without images. */
  readonly image?: string | undefined;
  /** Folders or files of this machine, shown read-only at absolute places. */
  readonly code: readonly { readonly from: string; readonly to: string }[];
  readonly secrets: readonly SecretFile[];
  /** Variables of every command, secret ones too. They appear in no argv, container configuration or log. */
  readonly env: Readonly<Record<string, string>>;
  readonly user?: string | undefined;
  readonly workingDir?: string | undefined;
  readonly memoryBytesMax?: number | undefined;
  readonly cpus?: number | undefined;
  readonly gpus?: number | undefined;
  readonly processesMax: number;
  /** `machine`: that of this machine, its loopback interface included, also in containers. */
  readonly network: 'default' | 'none' | 'machine';
  /** A tmpfs for scratch at /scratch. */
  readonly memoryVolume: boolean;
  /** Folders and files that commands must not see, if the executor shows the files of this machine. */
  readonly hidden: readonly string[];
}

/** A window that shows a terminal; it tells when its size has changed. */
export interface TerminalWindow {
  readonly columns: number;
  readonly rows: number;
  on(event: 'resize', listener: () => void): unknown;
  off(event: 'resize', listener: () => void): unknown;
}

/** What a command is connected to while it runs, in place of an input that is known and a log. */
export interface TaskStreams {
  /** Read as fast as the command takes it, until the command has ended. Whoever made it ends it. */
  readonly input: Readable;
  /** The command has a terminal, of this window's size; undefined: pipes. */
  readonly terminal?: TerminalWindow | undefined;
  /**
   * Called with what the command prints; while this has not resolved, the command may have to wait.
   * `errors`: what came through the pipe of standard error. When it rejects, the command is ended, and
   * `run` resolves.
   */
  write(bytes: Buffer, to: 'output' | 'errors'): Promise<void>;
}

/** Connections to ports of a command, at the loopback interface that it sees. */
export interface TaskPorts {
  /**
   * Called when the command starts: from now on each connection, which may close one way, is given to
   * `relay`, which owns it. Called with undefined when the command has ended: nobody takes any more.
   */
  serve(relay: ((connection: Duplex, port: number) => void) | undefined): void;
}

export interface Task {
  readonly argv: readonly string[];
  readonly stdin?: Buffer | undefined;
  /** Added to the worker's. */
  readonly env: Readonly<Record<string, string>>;
  readonly binds: readonly Bind[];
  readonly timeoutMs?: number | undefined;
  readonly outputBytesMax: number;
  /** Called with what the command prints, while it does, both streams in one. Never called after `run` has resolved. */
  log(bytes: Buffer): void;
  /** In place of `stdin` and `log`, which is not called. Not together with `nextDatum`. */
  readonly streams?: TaskStreams | undefined;
  readonly ports?: TaskPorts | undefined;
  /** Ends the command. */
  readonly signal?: AbortSignal | undefined;
  /**
   * For commands that run many datums (datum batching). Called when the command asks for its next
   * datum, with whether the one before failed. Resolves to the variables of the next datum, or to
   * undefined when there is none. Meanwhile the engine reads the output and fills the slot, without
   * binds. All processes of the command are stopped until this resolves, and `run` resolves later.
   * `held` tells whether they were stopped all the time: if not, the output that was read is not used.
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

/** Runs one command at a time. When it is disposed of, no process, mount or container of it is left. */
export interface Worker extends AsyncDisposable {
  /** Resolves however the command ends; throws PachError when the worker itself is broken (the engine was stopped…). */
  run(task: Task): Promise<Exit>;
  /** False when the same options would now open another worker: the image's name stands for another image. */
  isCurrent(): boolean;
}

export interface BuildWatch {
  /** A line for people. */
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

/** What decides how commands behave, wherever they run. */
export interface Executor extends AsyncDisposable {
  /** What a user types for it. */
  readonly name: string;
  /**
   * Part of every datum key. Executors of one class give the same results for the same fingerprint:
   * whatever runs images is of the class `docker`.
   */
  readonly resultsClass: 'process' | 'docker';
  /** Throws `not-found` for an image that is not to be had, with what to do. `image` is ignored where there are none. */
  fingerprint(image: string): Promise<Fingerprint>;
  /** Builds the image unless it is there; resolves to its name. Undefined for executors without images. */
  build?(use: ImageBuild, watch: BuildWatch): Promise<string>;
  /** The variables that commands begin with. Undefined: the value is known in a worker only. */
  environment(options: Pick<WorkerOptions, 'image' | 'user'>): Promise<Readonly<Record<string, string | undefined>>>;
}

/** Where the only worker of an executor has its slot and code. They are shown already: the folders stay, and so does each code's place. */
export interface Places {
  readonly slot: string;
  /** The folder in which the code lies as `0`, `1` … */
  readonly code: string;
  /** The code was written by a process before this one. */
  readonly hasCode: boolean;
}

/** That what starts a worker's commands has gone, and the worker can't know why. */
export class LostLauncher extends PachError {}

/** An executor whose commands run beside this process. */
export interface LocalExecutor extends Executor {
  /** Undefined where it shows the folders that it is told of. */
  readonly places?: Places | undefined;
  /**
   * How a mount of this machine is shown to a command. `bound`: each command gets its own set of
   * mounts, made when it starts. `inserted`: it is mounted into a worker that runs already. `none`:
   * not at all; inputs are written out as files.
   */
  readonly inputMounts: 'bound' | 'inserted' | 'none';
  /** Lines worth saying once on stderr: fields of the spec that this executor has no use for. */
  unused(options: WorkerOptions): readonly string[];
  open(options: WorkerOptions): Promise<Worker>;
}
