/**
 * The process executor in a child process, as root or as an ordinary user, with a slot in a folder
 * of its own.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { chown, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Bind, Exit } from '../../src/execution/executor.ts';

export type Who = 'root' | 'user';

const nobody = 65534;
const isRoot = process.geteuid?.() === 0;
export const whos: readonly Who[] = isRoot ? ['root', 'user'] : ['user'];

export interface Ran extends Exit {
  readonly log: string;
  readonly bytes: Buffer;
  readonly asked: readonly boolean[];
}

export interface RunOptions {
  readonly worker?: string;
  readonly argv?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: Buffer;
  readonly binds?: readonly Bind[];
  readonly timeoutMs?: number;
  readonly outputBytesMax?: number;
  readonly abortAfterMs?: number;
  readonly datums?: readonly Readonly<Record<string, string>>[];
  readonly nextThrows?: string;
}

export interface Holds {
  readonly launchers: readonly number[];
  readonly descriptors: number;
  readonly below: number;
}

interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: { readonly code: string; readonly message: string };
}

export class Driver implements AsyncDisposable {
  readonly dir: string;
  readonly slot: string;
  readonly child: ChildProcess;
  private readonly who: Who;
  private readonly waiting = new Map<number, (answer: Answer) => void>();
  private readonly folders: string[] = [];
  private sent = 0;

  private constructor(dir: string, who: Who, before: readonly string[]) {
    this.dir = dir;
    this.who = who;
    this.slot = join(dir, 'slot');
    const words = [...before, process.execPath, join(import.meta.dirname, 'drive-executor.mjs')];
    const as = who === 'user' && isRoot ? ['setpriv', `--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups'] : [];
    const [file = '', ...args] = [...as, ...words];
    this.child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'], cwd: dir });
    if (!this.child.stdout) throw new Error('no stdout');
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      const answer = JSON.parse(line) as Answer;
      this.waiting.get(answer.id)?.(answer);
      this.waiting.delete(answer.id);
    });
  }

  /** `before`: words of a program that runs the executor. */
  static async start(who: Who, before: readonly string[] = []): Promise<Driver> {
    const dir = await mkdtemp(join(tmpdir(), 'pach-executor-'));
    const driver = new Driver(dir, who, before);
    await driver.own(dir);
    for (const name of ['slot', 'slot/pfs', 'slot/pfs/out', 'slot/out']) await driver.folder(name);
    return driver;
  }

  /** Makes a folder below `dir` that belongs to who runs commands. */
  async folder(name: string): Promise<string> {
    const path = join(this.dir, name);
    await mkdir(path);
    await this.own(path);
    return path;
  }

  /** A folder that commands see, unlike `dir`: theirs is another /tmp. */
  async outside(): Promise<string> {
    const path = await mkdtemp('/var/tmp/pach-executor-');
    this.folders.push(path);
    await this.own(path);
    return path;
  }

  async open(options: object = {}, worker = 'w'): Promise<void> {
    await this.ask({ action: 'open', worker, options: { slot: this.slot, name: `edges/${worker}`, ...options } });
  }

  async close(worker = 'w'): Promise<void> {
    await this.ask({ action: 'close', worker });
  }

  /** Runs a shell script, or `argv`. */
  async run(script: string, options: RunOptions = {}): Promise<Ran> {
    const { worker = 'w', abortAfterMs, datums, nextThrows, stdin, ...task } = options;
    const request = {
      action: 'run',
      worker,
      task: { argv: ['sh', '-c', script], ...task, ...(stdin && { stdin: stdin.toString('base64') }) },
      abortAfterMs,
      datums,
      nextThrows,
    };
    const ran = (await this.ask(request)) as Exit & { log: string; asked: boolean[] };
    const bytes = Buffer.from(ran.log, 'base64');
    return { ...ran, bytes, log: bytes.toString() };
  }

  async repeat(argv: readonly string[], times: number): Promise<{ endings: string[]; p50: number }> {
    return (await this.ask({ action: 'repeat', worker: 'w', task: { argv }, times })) as {
      endings: string[];
      p50: number;
    };
  }

  async holds(): Promise<Holds> {
    return (await this.ask({ action: 'holds' })) as Holds;
  }

  async ask(request: object): Promise<unknown> {
    const id = ++this.sent;
    const answer = new Promise<Answer>((resolve) => this.waiting.set(id, resolve));
    this.child.stdin?.write(`${JSON.stringify({ id, ...request })}\n`);
    const { value, error } = await answer;
    if (error) throw Object.assign(new Error(error.message), { code: error.code });
    return value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.stdin?.end();
    if (this.child.exitCode === null && this.child.signalCode === null) await ended;
    for (const folder of [this.dir, ...this.folders]) await rm(folder, { recursive: true, force: true });
  }

  private async own(path: string): Promise<void> {
    if (this.who === 'user' && isRoot) await chown(path, nobody, nobody);
  }
}
