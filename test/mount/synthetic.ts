/**
 * Mounts of a synthetic view. The test process makes the kernel connection and keeps it, as a
 * launcher does, and never touches what is mounted: children do, with a time limit.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, closeSync, mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { FuseCounters } from '../../src/mount/fuse-addon.ts';
import { mountKernel, openKernel, type KernelConnection } from '../../src/mount/kernel-mount.ts';
import { withoutPreload } from '../support/place.ts';

export type Who = 'root' | 'user';
export const isRoot = process.getuid?.() === 0;
/** Root tests both ways, anybody else only his own. */
export const whos: readonly Who[] = isRoot ? ['root', 'user'] : ['user'];

/** The view that is served (fixtures/). */
export type ViewName = 'synthetic' | 'changing';

const program = resolve(import.meta.dirname, 'fixtures/serve-synthetic.mjs');
const nobody = 65534;
const asNobody = ['setpriv', `--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups'];

export interface ServerCounters extends FuseCounters {
  readonly calls: { readonly lookup: number; readonly list: number; readonly slow: number; readonly leaf: number };
  /** Of the changing view: how often each name was looked up, and the root asked for. */
  readonly asked: Readonly<Record<string, number>>;
  /** First and last name of small files that were fetched together. */
  readonly fetched: readonly (readonly [string, string])[];
  readonly waits: number;
  readonly rss: number;
}

/** What the server says over its channel. */
interface Message {
  readonly ready?: true;
  readonly counters?: ServerCounters;
  readonly error?: string;
  readonly ended?: boolean;
  readonly code?: string;
}

/** A server process. */
export class Server {
  readonly child: ChildProcess;
  readonly errors: string[] = [];
  /** Its last words; undefined when it had none. */
  readonly ended: Promise<Message | undefined>;
  private readonly ready: Promise<unknown>;

  constructor(command: readonly string[], device: number | 'pipe' | 'ignore', table: number | 'ignore') {
    const [file = '', ...args] = command;
    this.child = spawn(file, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc', device, table], cwd: '/' });
    const ready = withResolvers();
    this.ready = ready.promise;
    let last: Message | undefined;
    this.child.on('message', (message: Message) => {
      if (message.ready) ready.resolve(undefined);
      if (message.error !== undefined) this.errors.push(message.error);
      if (message.ended !== undefined) last = message;
    });
    this.ended = once(this.child, 'exit').then(() => last);
  }

  async isReady(): Promise<void> {
    const early = this.ended.then((message) => Promise.reject(new Error(`it ended: ${JSON.stringify(message)}`)));
    await Promise.race([this.ready, early]);
  }

  async counters(): Promise<ServerCounters> {
    this.child.send('counters');
    // Other messages may come before the answer: that the server is ready, or an error.
    for (;;) {
      const [{ counters }] = (await once(this.child, 'message')) as [Message];
      if (counters) return counters;
    }
  }

  /** Requests by opcode since `before`, without those that were never made. */
  async since(before: ServerCounters): Promise<Record<number, number>> {
    const { requests } = await this.counters();
    const more = requests.map((count, opcode) => [opcode, count - (before.requests[opcode] ?? 0)] as const);
    return Object.fromEntries(more.filter(([, count]) => count > 0));
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}

function withResolvers(): { promise: Promise<unknown>; resolve: (value: unknown) => void } {
  let resolvePromise: (value: unknown) => void = () => undefined;
  const promise = new Promise((done) => (resolvePromise = done));
  return { promise, resolve: resolvePromise };
}

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A mount and what serves it at the moment. */
export class Mounted implements AsyncDisposable {
  readonly who: Who;
  readonly view: ViewName;
  readonly mountpoint: string;
  /** Only root's: an ordinary user's server mounts by itself. */
  connection: KernelConnection | undefined;
  server: Server;

  private constructor(who: Who, view: ViewName) {
    this.who = who;
    this.view = view;
    this.mountpoint = mkdtempSync(join(tmpdir(), 'pachmount-transport-'));
    if (who === 'root') {
      this.connection = openKernel();
      mountKernel(this.connection, this.mountpoint, { source: 'pachmount', allowOther: false, noExec: false });
    }
    if (who !== 'root' && isRoot) chownSync(this.mountpoint, nobody, nobody);
    this.server = this.newServer();
  }

  static async start(who: Who, view: ViewName = 'synthetic'): Promise<Mounted> {
    const mounted = new Mounted(who, view);
    try {
      await mounted.server.isReady();
    } catch (error) {
      await mounted[Symbol.asyncDispose]();
      throw error;
    }
    return mounted;
  }

  newServer(): Server {
    if (this.connection) {
      return new Server([process.execPath, program, this.view], this.connection.device, this.connection.table);
    }
    return new Server([...this.prefix(), process.execPath, program, this.view, this.mountpoint], 'ignore', 'ignore');
  }

  /** From now on only the server holds the kernel's descriptor. */
  letGo(): void {
    if (!this.connection) return;
    closeSync(this.connection.device);
    closeSync(this.connection.table);
    this.connection = undefined;
  }

  private prefix(): readonly string[] {
    return this.who === 'user' && isRoot ? asNobody : [];
  }

  /** Runs a script in the mount's parent folder; `$M` is the mount. */
  run(script: string, who: Who = this.who, timeoutMs = 30_000): Promise<Result> {
    const [file, ...args] = [...(who === 'user' && isRoot ? asNobody : []), 'bash', '-c', script];
    const env = { ...withoutPreload(process.env), M: this.mountpoint, HOME: tmpdir(), LC_ALL: 'C.UTF-8' };
    return new Promise((done) => {
      execFile(
        file,
        args,
        { env, cwd: '/', timeout: timeoutMs, killSignal: 'SIGKILL', encoding: 'latin1', maxBuffer: 1 << 26 },
        (error, stdout, stderr) => {
          const code = error ? (typeof error.code === 'number' ? error.code : -1) : 0;
          done({ code, stdout, stderr });
        },
      );
    });
  }

  /** Output of a script that must work. */
  async must(script: string): Promise<string> {
    const result = await this.run(script);
    if (result.code !== 0) throw new Error(`${script}\nended with ${result.code}: ${result.stderr}`);
    return result.stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.kill();
    this.letGo();
    await this.run(
      'if grep -qF " $M " /proc/self/mountinfo; then umount -l "$M" || fusermount3 -uz "$M"; fi',
      isRoot ? 'root' : 'user',
    );
    rmdirSync(this.mountpoint);
  }
}

/** A server that takes the test for its kernel. */
export function serverOf(table: number, view: ViewName): Server {
  return new Server([process.execPath, program, view], 'pipe', table);
}
