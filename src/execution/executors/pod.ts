/**
 * Runs commands in the container beside this one, in a pod. The two share a folder, and that container
 * needs nothing else of ours:
 *
 *     bin/launcher       what it is started with; there once all else is
 *     run/socket         where the launcher finds this process
 *     run/mounts         where it lets mounts of this container be shown in its own, if it may
 *     slot/pfs slot/out  what commands see as /pfs and /pfs/out
 *     code/0 code/1 …    the code, in the order of the spec
 *
 * All of it is mounted before that container starts, so what is there stays and only its content changes.
 * The container has its variables, secrets, user and limits from the pod.
 */
import { chmod, mkdir, readdir } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { assert } from '../../base/errors.ts';
import { emptyFolder, removeTreeAsync } from '../../base/remove.ts';
import { listenAt, type Listener } from '../../base/unix-socket.ts';
import type { Fingerprint } from '../../pipelines/jobs/recipe.ts';
import {
  LostLauncher,
  type Exit,
  type LocalExecutor,
  type Places,
  type Task,
  type Worker,
  type WorkerOptions,
} from '../executor.ts';
import { workerHost } from './docker-container.ts';
import { HostMounts } from './host-mounts.ts';
import { Launcher, type LauncherSetup } from './launcher.ts';
import { claimPodFolder, hasLauncher, putLauncher } from './pod-folder.ts';

export interface PodExecutorOptions {
  /** The folder that the containers share. */
  readonly dir: string;
  /** The launcher, native/build/launcher. */
  readonly program: string;
  /** The program that mounts in the other container, native/inserter; undefined: inputs are written out. */
  readonly inserter: string | undefined;
  /** Of commands, where the launcher is root and has to change to it; undefined: its own. */
  readonly user: string | undefined;
  /** Of the image, which whoever made the pod has chosen. */
  readonly platform: Fingerprint;
}

const what = 'the launcher of this pod';
const folders = ['bin', 'run', 'slot', 'code'];

export class PodExecutor implements LocalExecutor {
  readonly name = 'kubernetes';
  readonly resultsClass = 'docker';
  readonly inputMounts: 'inserted' | 'none';
  readonly places: Places;
  private readonly options: PodExecutorOptions;
  private readonly stop = new AbortController();
  private mounts: HostMounts | undefined;
  private listener: Listener | undefined;
  private launcher: Launcher | undefined;
  /** How the launcher was set up, which it can be once. */
  private setUp: { readonly setup: LauncherSetup; readonly done: Promise<void> } | undefined;
  /** Those who wait for a launcher. */
  private waiting: (() => void)[] = [];

  private constructor(options: PodExecutorOptions, isShown: boolean) {
    this.options = options;
    this.inputMounts = options.inserter === undefined ? 'none' : 'inserted';
    this.places = { slot: join(options.dir, 'slot'), code: join(options.dir, 'code'), hasCode: isShown };
  }

  /** Makes the folders, and takes what a process before this one may have left in them. Throws `usage` where they are somebody else's. */
  static async open(options: PodExecutorOptions): Promise<PodExecutor> {
    const { dir } = options;
    await claimPodFolder(dir, folders);
    for (const folder of ['bin', 'run', 'slot/pfs/out', 'slot/out', 'code']) {
      await mkdir(join(dir, folder), { recursive: true });
    }
    // Commands may be another user.
    for (const folder of ['bin', 'run', 'code']) await chmod(join(dir, folder), 0o755);
    const isShown = await hasLauncher(join(dir, 'bin'));
    if (!isShown) emptyFolder(Buffer.from(join(dir, 'code')));
    for (const folder of ['run', 'slot/out']) emptyFolder(Buffer.from(join(dir, folder)));
    for (const name of await readdir(join(dir, 'slot/pfs'))) {
      if (name !== 'out') await removeTreeAsync(join(dir, 'slot/pfs', name));
    }
    const executor = new PodExecutor(options, isShown);
    if (options.inserter !== undefined) {
      executor.mounts = await HostMounts.inserting(options.inserter, join(dir, 'run/mounts'), '/pfs');
    }
    executor.listener = await listenAt(join(dir, 'run/socket'), (socket) => executor.take(socket));
    await chmod(join(dir, 'run/socket'), 0o666);
    return executor;
  }

  /** Aborted when the pod is to end: its launcher was told so. */
  get ending(): AbortSignal {
    return this.stop.signal;
  }

  /** Lets the other container start: the code lies in its place. */
  async show(): Promise<void> {
    await putLauncher(this.options.program, join(this.options.dir, 'bin'));
  }

  /** True while a launcher is there. */
  get isThere(): boolean {
    return this.launcher?.isBroken === false;
  }

  /** Waits until a launcher is there. False when the signal is aborted before. */
  async arrived(signal: AbortSignal): Promise<boolean> {
    while (!this.isThere && !signal.aborted) {
      await new Promise<void>((go) => {
        this.waiting.push(go);
        signal.addEventListener('abort', () => go(), { once: true });
      });
    }
    return !signal.aborted;
  }

  /** Tells the launcher that there is nothing left to do: its container, and so the pod, is complete. */
  async end(): Promise<void> {
    await this.launcher?.[Symbol.asyncDispose]();
  }

  async fingerprint(): Promise<Fingerprint> {
    return this.options.platform;
  }

  async environment(): Promise<Record<string, string | undefined>> {
    return { PATH: undefined, HOME: undefined, HOSTNAME: workerHost };
  }

  unused(): readonly string[] {
    return [];
  }

  /** Throws `LostLauncher` where there is none. */
  async open(options: WorkerOptions): Promise<Worker> {
    const { launcher } = this;
    // What it could not be set up with it can't be asked twice.
    if (!launcher || (launcher.isBroken && !this.setUp)) throw gone();
    const setup = { ...setupOf(options), user: this.options.user };
    this.setUp ??= { setup, done: launcher.setup(setup) };
    assert(isDeepStrictEqual(this.setUp.setup, setup), 'the commands of a pod are of one job');
    await this.setUp.done;
    if (launcher.isBroken) throw gone();
    return {
      run: (task) => {
        return this.run(launcher, task).catch((error: unknown) => {
          throw launcher.isBroken ? gone(error) : error;
        });
      },
      isCurrent: () => !launcher.isBroken,
      // The launcher outlives it.
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }

  /** A launcher that was not told of an end ends with another code than one that was. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.launcher?.drop('the worker has ended');
    await this.listener?.close();
    await this.mounts?.[Symbol.asyncDispose]();
  }

  private async run(launcher: Launcher, task: Task): Promise<Exit> {
    const { mounts } = this;
    if (task.binds.length === 0) return launcher.run(task);
    assert(mounts, 'binds are for executors that see mounts');
    const pairs = task.binds.map(({ from, to }) => ({ from, to: join('/pfs', to) }));
    await mounts.bind(pairs);
    try {
      return await launcher.run({ ...task, log: (bytes) => task.log(bytes), binds: [] });
    } finally {
      // With the launcher its container has gone, and what was mounted there.
      if (!launcher.isBroken) await mounts.unbind(pairs.map(({ to }) => to));
    }
  }

  /** A launcher that comes after one has gone takes its place. What else connects is none. */
  private take(socket: Socket): void {
    if (this.isThere) {
      socket.destroy();
      return;
    }
    this.launcher = new Launcher(socket, what, () => this.stop.abort(new Error('the pod is told to end')));
    this.setUp = undefined;
    for (const go of this.waiting.splice(0)) go();
  }
}

function gone(cause?: unknown): LostLauncher {
  return new LostLauncher('failed', { what, why: 'it has gone: its container has ended or was killed', cause });
}

function setupOf({ workingDir, processesMax, memoryVolume, env }: WorkerOptions): LauncherSetup {
  return {
    // As in Docker.
    env: { HOSTNAME: workerHost, ...env },
    secrets: [],
    workingDir,
    processesMax,
    cleared: ['/dev/shm', '/tmp', ...(memoryVolume ? ['/scratch'] : [])],
  };
}
