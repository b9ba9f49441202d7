/**
 * Runs commands on this machine, each in namespaces of its own with /pfs as the contract says: no
 * Docker is needed, nor root where the kernel has user namespaces. The machine's files are shown
 * read-only.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { arch, hostname, platform } from 'node:os';
import type { Duplex } from 'node:stream';
import { PachError } from '../../base/errors.ts';
import type { Bind, LocalExecutor, Exit, Task, Worker, WorkerOptions } from '../executor.ts';
import type { Fingerprint } from '../../pipelines/jobs/recipe.ts';
import { canLimit, Cgroups } from './cgroups.ts';
import { Launcher, type LauncherSetup } from './launcher.ts';

export interface ProcessExecutorOptions {
  /** Absolute: the launcher, native/build/launcher. */
  readonly program: string;
  /** What every command begins with: PATH, HOME, the language. No credentials. */
  readonly env: Readonly<Record<string, string>>;
}

/** Added to the limit: the launcher, the first process of a command's namespace, and one more so that reaching the limit is seen. */
const ownProcesses = 3;
const closeMsMax = 5000;

const isRoot = (): boolean => process.geteuid?.() === 0;

export class ProcessExecutor implements LocalExecutor {
  readonly name = 'process';
  readonly resultsClass = 'process';
  readonly inputMounts = 'bound';
  private readonly options: ProcessExecutorOptions;
  private readonly workers = new Set<ProcessWorker>();

  constructor(options: ProcessExecutorOptions) {
    this.options = options;
  }

  /** Differs between any two machines: the files of a machine decide what commands do on it. */
  async fingerprint(): Promise<Fingerprint> {
    const release = await firstOf(['/etc/os-release', '/usr/lib/os-release']);
    const field = (name: string): string => new RegExp(`^${name}="?([^"\n]*)`, 'm').exec(release)?.[1] ?? '';
    return {
      executor: this.resultsClass,
      platform: `${platform()}/${arch()}`,
      distribution: `${field('ID')} ${field('VERSION_ID')}`,
      machine: (await firstOf(['/etc/machine-id', '/var/lib/dbus/machine-id'])).trim(),
      hostname: hostname(),
      user: String(process.geteuid?.() ?? ''),
      environment: JSON.stringify(Object.entries(this.options.env).toSorted(([a], [b]) => (a < b ? -1 : 1))),
    };
  }

  async environment({ user }: Pick<WorkerOptions, 'user'>): Promise<Record<string, string | undefined>> {
    return { ...this.options.env, ...(hasOtherHome(user) && { HOME: undefined }) };
  }

  unused({ image, user, memoryBytesMax, cpus }: WorkerOptions): readonly string[] {
    const here = 'the process executor';
    return [
      ...(image !== undefined
        ? [`image ${image}: ${here} runs commands directly on this machine, without an image`]
        : []),
      ...(user !== undefined && !isRoot()
        ? [`user ${user}: ${here} runs commands as you, since you are not root`]
        : []),
      ...(memoryBytesMax !== undefined && !canLimit('memory')
        ? [`memory: ${here} has no rights to limit it here`]
        : []),
      ...(cpus !== undefined && !canLimit('cpu') ? [`cpu: ${here} has no rights to limit it here`] : []),
    ];
  }

  /** Throws `denied` where this user may not make namespaces, `unsupported` when there is no GPU. */
  async open(options: WorkerOptions): Promise<Worker> {
    if ((options.gpus ?? 0) > 0 && !existsSync('/dev/nvidia0') && !existsSync('/dev/kfd')) {
      const next = "remove gpu from the spec's resource_limits, or run it on a machine with a GPU";
      throw new PachError('unsupported', {
        what: options.name,
        why: 'it asks for a GPU, and this machine has none',
        next,
      });
    }
    const worker = await ProcessWorker.start(this.options, options, () => this.workers.delete(worker));
    this.workers.add(worker);
    return worker;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.workers].map((worker) => worker[Symbol.asyncDispose]()));
  }
}

/** The launcher knows the home of a user other than its own. */
function hasOtherHome(user: string | undefined): boolean {
  return isRoot() && user !== undefined;
}

/** A launcher's process, with the conversation. */
interface Running {
  readonly launcher: Launcher;
  readonly child: ChildProcess;
  /** The machine's mounts as they were when it copied them. */
  readonly mounts: string;
}

class ProcessWorker implements Worker {
  private readonly executor: ProcessExecutorOptions;
  private readonly options: WorkerOptions;
  private readonly cgroups: Cgroups;
  private readonly forget: () => void;
  private running: Running;
  private closing: Promise<void> | undefined;

  private constructor(
    executor: ProcessExecutorOptions,
    options: WorkerOptions,
    { cgroups, running, forget }: { cgroups: Cgroups; running: Running; forget: () => void },
  ) {
    this.executor = executor;
    this.options = options;
    this.cgroups = cgroups;
    this.running = running;
    this.forget = forget;
  }

  static async start(
    executor: ProcessExecutorOptions,
    options: WorkerOptions,
    forget: () => void,
  ): Promise<ProcessWorker> {
    const { memoryBytesMax, cpus, processesMax } = options;
    const cgroups = await Cgroups.make({ memoryBytesMax, cpus, processesMax: processesMax + ownProcesses });
    try {
      const running = await startLauncher(executor, options, cgroups.folders);
      return new ProcessWorker(executor, options, { cgroups, running, forget });
    } catch (error) {
      await cgroups[Symbol.asyncDispose]();
      throw error;
    }
  }

  async run(task: Task): Promise<Exit> {
    if (this.closing) throw new PachError('failed', { what: this.options.name, why: 'the worker was closed' });
    const { launcher, mounts } = this.running;
    // A sandbox has the mounts of the time when it was made. It gets later ones only where this machine shares mounts.
    if (launcher.isBroken || changedBelow(mounts, task.binds)) {
      await stopLauncher(this.running);
      this.running = await startLauncher(this.executor, this.options, this.cgroups.folders);
    }
    return this.running.launcher.run(task);
  }

  isCurrent(): boolean {
    return true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.closing ??= this.close();
    return this.closing;
  }

  private async close(): Promise<void> {
    await stopLauncher(this.running);
    await this.cgroups[Symbol.asyncDispose]();
    this.forget();
  }
}

async function startLauncher(
  { program, env }: ProcessExecutorOptions,
  options: WorkerOptions,
  cgroups: readonly string[],
): Promise<Running> {
  const mounts = readMounts();
  const { HOME, ...homeless } = env;
  const child = spawn(program, ['--fd', '3', '--namespaces'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    env: HOME === undefined || hasOtherHome(options.user) ? homeless : env,
    cwd: '/',
    detached: true,
  });
  const launcher = new Launcher(child.stdio[3] as Duplex, options.name);
  const running = { launcher, child, mounts };
  const absent = new Promise<never>((_, reject) => {
    child.once('error', (error) => {
      reject(
        new PachError('failed', { what: program, why: 'it could not be started', next: 'make setup', cause: error }),
      );
    });
  });
  try {
    await Promise.race([launcher.setup(setupOf(program, options, cgroups)), absent]);
    return running;
  } catch (error) {
    await stopLauncher(running);
    throw error;
  }
}

function setupOf(program: string, options: WorkerOptions, cgroups: readonly string[]): LauncherSetup {
  const { slot, code, hidden, network, memoryVolume, env, secrets, user, workingDir, processesMax } = options;
  return {
    env,
    secrets,
    user: isRoot() ? user : undefined,
    workingDir,
    processesMax,
    cleared: [],
    sandbox: { slot, code, hidden: [...hidden, slot], network, scratch: memoryVolume, cgroups, program },
  };
}

async function stopLauncher({ launcher, child }: Running): Promise<void> {
  const ended = new Promise<void>((resolve) => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) resolve();
    else child.once('exit', () => resolve());
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), closeMsMax);
  await launcher[Symbol.asyncDispose]();
  await ended;
  clearTimeout(timer);
}

function readMounts(): string {
  return readFileSync('/proc/self/mountinfo', 'utf8');
}

/** True when what is mounted over or below one of the binds is not what it was. */
function changedBelow(before: string, binds: readonly Bind[]): boolean {
  if (binds.length === 0) return false;
  const now = readMounts();
  if (now === before) return false;
  return binds.some(({ from }) => mountsAround(before, from) !== mountsAround(now, from));
}

/** The lines of a list of mounts that have to do with a path. */
function mountsAround(mounts: string, path: string): string {
  const escaped = path.replaceAll(/[ \t\n\\]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`);
  const isBelow = (inner: string, outer: string): boolean =>
    inner === outer || inner.startsWith(outer === '/' ? '/' : `${outer}/`);
  const isAround = (line: string): boolean => {
    const mountpoint = line.split(' ', 5)[4] ?? '';
    return isBelow(escaped, mountpoint) || isBelow(mountpoint, escaped);
  };
  return mounts.split('\n').filter(isAround).join('\n');
}

async function firstOf(paths: readonly string[]): Promise<string> {
  for (const path of paths) {
    const text = await readFile(path, 'utf8').catch(() => '');
    if (text.trim() !== '') return text;
  }
  return '';
}
