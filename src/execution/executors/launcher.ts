/**
 * The engine's end of the conversation with a launcher: the helper that runs the commands of one
 * worker, one at a time, on this host or within a container.
 */
import { constants } from 'node:os';
import type { Duplex } from 'node:stream';
import { assert, isPachError, PachError } from '../../base/errors.ts';
import { signalName } from '../events.ts';
import type { Ending, Exit, SecretFile, Task, TaskStreams, WorkerOptions } from '../executor.ts';
import {
  FrameReader,
  FrameSplitter,
  FrameWriter,
  fromLauncher,
  malformed,
  protocolVersion,
  toLauncher,
} from './frames.ts';
import type { Frame } from './frames.ts';
import { PortRelay } from './port-relay.ts';
import { Relay } from './relay.ts';

/** What a launcher with `--namespaces` makes its sandbox of. */
export interface LauncherSandbox {
  readonly slot: string;
  readonly code: readonly { readonly from: string; readonly to: string }[];
  readonly hidden: readonly string[];
  readonly network: WorkerOptions['network'];
  readonly scratch: boolean;
  /** Folders of control groups that commands join. */
  readonly cgroups: readonly string[];
  /** The launcher's own file, shown as `next` and `pachctl`. */
  readonly program: string;
}

export interface LauncherSetup {
  /** Added to the launcher's own environment, which commands begin with. */
  readonly env: Readonly<Record<string, string>>;
  readonly secrets: readonly SecretFile[];
  /** `NAME|UID[:GROUP|GID]`, as the launcher's /etc/passwd has it; undefined: the launcher's own. */
  readonly user?: string | undefined;
  /** Undefined: the launcher's own. */
  readonly workingDir?: string | undefined;
  readonly processesMax: number;
  /** Folders that are emptied after every command. A sandbox needs none. */
  readonly cleared: readonly string[];
  /** In a container: where the launcher sees what was written to its root. Undefined: commands are not looked after. */
  readonly changes?: string | undefined;
  /** Whose all in /pfs/out becomes; undefined: it stays as it is. */
  readonly outputOwner?: { readonly user: number; readonly group: number } | undefined;
  /** Exactly when the launcher was started with `--namespaces`. */
  readonly sandbox?: LauncherSandbox | undefined;
}

/** A command that runs, or a setup: at most one at a time. */
interface Pending {
  readonly task?: Task;
  /** Of a task with streams. */
  readonly relay?: Relay | undefined;
  /** Of a task with ports. */
  readonly ports?: PortRelay | undefined;
  readonly resolve: (exit: Exit | undefined) => void;
  readonly reject: (error: Error) => void;
  /** What `nextDatum` threw: the run rejects with it once the command has ended. */
  error?: Error;
  /** `nextDatum` is under way. */
  answering?: Promise<void>;
  /** It waits to hear whether the command's processes stand still. */
  held?: ((held: boolean) => void) | undefined;
}

/** What the kernel says when a sandbox must not be made. */
const deniedErrnos: ReadonlySet<number> = new Set([
  constants.errno.EPERM,
  constants.errno.EACCES,
  constants.errno.ENOSPC,
  // EUSERS, which node:os does not name.
  87,
]);

export class Launcher implements AsyncDisposable {
  private readonly stream: Duplex;
  private readonly name: string;
  private readonly frames = new FrameSplitter();
  private readonly closed: Promise<void>;
  private pending: Pending | undefined;
  private broken: PachError | undefined;
  private readonly terminating: () => void;

  /**
   * Takes `stream` over; `name` stands for the worker in errors. `terminating` is called when the launcher
   * is asked to end (SIGTERM), which it does not do by itself; where it is not given, it is ended then.
   */
  constructor(stream: Duplex, name: string, terminating?: () => void) {
    this.stream = stream;
    this.name = name;
    this.terminating = terminating ?? (() => this.drop('it was sent SIGTERM'));
    stream.on('data', (bytes: Buffer) => this.receive(bytes));
    stream.on('error', (error) => this.fail(this.ended(error.message, error)));
    this.closed = new Promise((resolve) => {
      stream.on('close', () => {
        this.fail(this.ended('its launcher has ended'));
        resolve();
      });
      stream.on('end', () => stream.destroy());
    });
  }

  /** True when it has ended, or said what has no meaning: it runs nothing any more. */
  get isBroken(): boolean {
    return this.broken !== undefined;
  }

  /** Once, first. Throws `denied` when the launcher may not make its sandbox, `failed` for anything else. */
  async setup(setup: LauncherSetup): Promise<void> {
    const frame = new FrameWriter(toLauncher.setup);
    frame.u8(protocolVersion).variables(setup.env);
    frame.list(setup.secrets, ({ path, bytes }) => frame.text(path).blob(bytes));
    frame
      .text(setup.user ?? '')
      .text(setup.workingDir ?? '')
      .u32(setup.processesMax)
      .texts(setup.cleared)
      .text(setup.changes ?? '')
      .u32(setup.outputOwner?.user ?? 0)
      .u32(setup.outputOwner?.group ?? 0);
    frame.u8(setup.sandbox !== undefined);
    if (setup.sandbox) {
      const { slot, code, hidden, network, scratch, cgroups, program } = setup.sandbox;
      frame
        .text(slot)
        .list(code, ({ from, to }) => frame.text(from).text(to))
        .texts(hidden);
      frame
        .u8(network === 'none')
        .u8(scratch)
        .texts(cgroups)
        .text(program);
    }
    await this.ask(frame.done());
  }

  /** Runs one command; see Worker.run. Throws `failed` when the launcher ends meanwhile. */
  async run(task: Task): Promise<Exit> {
    const frame = new FrameWriter(toLauncher.run);
    frame
      .texts(task.argv)
      .variables(task.env)
      .u8(task.stdin !== undefined);
    if (task.stdin) frame.blob(task.stdin);
    frame.list(task.binds, ({ from, to }) => frame.text(from).text(to));
    frame
      .u64(Math.ceil(task.timeoutMs ?? 0))
      .u64(task.outputBytesMax)
      .u8(task.nextDatum !== undefined);
    const { streams } = task;
    if (streams) frame.u8(streams.terminal ? 2 : 1);
    if (streams?.terminal) frame.u32(streams.terminal.columns).u32(streams.terminal.rows);
    if (task.signal?.aborted === true) return { ending: { kind: 'aborted' }, wallMs: 0, cpuMs: 0, memoryBytesPeak: 0 };
    const kill = (): void => this.send(new FrameWriter(toLauncher.kill).done());
    task.signal?.addEventListener('abort', kill);
    try {
      const exit = await this.ask(frame.done(), task, kill);
      assert(exit, 'a run ends with an exit');
      return exit;
    } finally {
      task.signal?.removeEventListener('abort', kill);
    }
  }

  /** Ends the launcher, with any command that runs: its work is done. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.send(new FrameWriter(toLauncher.end).done());
    this.drop('it was closed');
    await this.closed;
  }

  /** Lets go of the launcher, which ends with any command that runs, and says by its exit code that its work is not done. */
  drop(why: string): void {
    this.fail(this.ended(why));
    this.stream.destroy();
  }

  private ask(frame: Buffer, task?: Task, kill?: () => void): Promise<Exit | undefined> {
    assert(!this.pending, 'a launcher runs one command at a time');
    const { broken } = this;
    if (broken) return Promise.reject(broken);
    return new Promise((resolve, reject) => {
      this.send(frame);
      const relay = task?.streams && kill && this.relay(task.streams, kill);
      const ports = task?.ports && new PortRelay((bytes) => this.send(bytes));
      this.pending = { ...(task && { task }), relay, ports, resolve, reject };
      task?.ports?.serve((connection, port) => ports?.accept(connection, port));
    });
  }

  private relay(streams: TaskStreams, cut: () => void): Relay {
    const { stream } = this;
    const send = (frame: Buffer): void => this.send(frame);
    return new Relay({ streams, send, cut, pause: () => stream.pause(), resume: () => stream.resume() });
  }

  private send(frame: Buffer): void {
    if (!this.broken) this.stream.write(frame);
  }

  private receive(bytes: Buffer): void {
    try {
      for (const frame of this.frames.push(bytes)) this.take(frame);
    } catch (error) {
      this.fail(isPachError(error) ? error : this.ended(String(error), error));
      this.stream.destroy();
    }
  }

  private take({ type, payload }: Frame): void {
    const { pending } = this;
    const reader = new FrameReader(payload);
    if (type === fromLauncher.failure) {
      const errno = reader.u32();
      const why = reader.text();
      this.fail(this.refusal(errno, why));
    } else if (type === fromLauncher.terminating) {
      reader.end();
      this.terminating();
    } else if (!pending) {
      throw malformed();
    } else if (type === fromLauncher.ready && !pending.task) {
      if (reader.u8() !== protocolVersion) throw malformed();
      this.settle(undefined);
    } else if (type === fromLauncher.log && pending.task) {
      if (pending.relay) pending.relay.write(payload, 'output');
      else pending.task.log(payload);
    } else if (type === fromLauncher.errors && pending.relay) {
      pending.relay.write(payload, 'errors');
    } else if (type === fromLauncher.taken && pending.relay) {
      pending.relay.taken(reader.u32());
    } else if (type === fromLauncher.next && pending.task?.nextDatum) {
      if (pending.answering) throw malformed();
      pending.answering = this.answer(pending, reader.u8() === 1).finally(() => delete pending.answering);
    } else if (type === fromLauncher.held && pending.held) {
      pending.held(reader.u8() === 1);
    } else if (pending.ports?.take(type, reader)) {
      reader.end();
    } else if (type === fromLauncher.exit && pending.task) {
      this.settle(readExit(reader));
    } else {
      throw malformed();
    }
  }

  private settle(exit: Exit | undefined): void {
    void this.end((pending) => {
      if (pending.error) pending.reject(pending.error);
      else pending.resolve(exit);
    });
  }

  /** No run ends before its `nextDatum` has. */
  private async end(settle: (pending: Pending) => void): Promise<void> {
    const { pending } = this;
    this.pending = undefined;
    pending?.held?.(false);
    pending?.task?.ports?.serve(undefined);
    pending?.ports?.close();
    await pending?.relay?.close();
    await pending?.answering;
    if (pending) settle(pending);
  }

  /** Whether all of the command stands still, and has since it asked. */
  private async held(pending: Pending): Promise<boolean> {
    if (this.pending !== pending) return false;
    this.send(new FrameWriter(toLauncher.hold).done());
    return new Promise<boolean>((resolve) => (pending.held = resolve)).finally(() => (pending.held = undefined));
  }

  /** Gives the command its next datum, or ends it. */
  private async answer(pending: Pending, failed: boolean): Promise<void> {
    const frame = (env?: Readonly<Record<string, string>>): Buffer =>
      new FrameWriter(toLauncher.datum)
        .u8(env !== undefined)
        .variables(env ?? {})
        .done();
    let reply = frame();
    try {
      reply = frame(await pending.task?.nextDatum?.(failed, () => this.held(pending)));
    } catch (error) {
      pending.error = error instanceof Error ? error : new Error(String(error));
    }
    if (this.pending === pending) this.send(reply);
  }

  private fail(error: PachError): void {
    const broken = (this.broken ??= error);
    void this.end((pending) => pending.reject(pending.error ?? broken));
  }

  private refusal(errno: number, why: string): PachError {
    if (!deniedErrnos.has(errno)) return this.ended(why);
    return new PachError('denied', {
      what: this.name,
      why,
      next: 'as root: sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000 kernel.apparmor_restrict_unprivileged_userns=0 (only the settings that this kernel has), or use --executor docker',
    });
  }

  private ended(why: string, cause?: unknown): PachError {
    return new PachError('failed', { what: this.name, why, cause });
  }
}

function readExit(reader: FrameReader): Exit {
  const kind = reader.u8();
  const value = reader.u32();
  const why = reader.text();
  const exit = { wallMs: reader.u64() / 1000, cpuMs: reader.u64() / 1000, memoryBytesPeak: reader.u64() };
  const left = reader.text() || undefined;
  reader.end();
  return { ending: endingOf(kind, value, why), ...exit, left };
}

function endingOf(kind: number, value: number, why: string): Ending {
  if (kind === 0) return { kind: 'exit', code: value };
  if (kind === 1) return { kind: 'signal', signal: signalName(value) ?? `SIG${value}` };
  if (kind === 6) return { kind: 'not-started', why };
  const others = [
    undefined,
    undefined,
    'timeout',
    'out-of-memory',
    'too-much-output',
    'too-many-processes',
    undefined,
    'aborted',
    'not-stopped',
  ] as const;
  const other = others[kind];
  if (other === undefined) throw malformed();
  return { kind: other };
}
