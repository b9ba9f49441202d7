/**
 * A warm container that runs the commands of one worker: spoken to through its launcher, gone
 * without a trace when it is disposed of.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { assert, isPachError, PachError } from '../../base/errors.ts';
import { removeTreeAsync } from '../../base/remove.ts';
import type { Ending, Exit, Task, Worker } from '../executor.ts';
import { ask, dockerError, dockerStatus } from './docker-engine.ts';
import { makeHelpers } from './docker-helpers.ts';
import { removeContainer } from './docker-leftovers.ts';
import { refusedProcesses } from './docker-processes.ts';
import { createContainer, launcherOf, seesNoMounts, startLauncher, type StartOptions } from './docker-start.ts';
import { HostMounts, reaches } from './host-mounts.ts';
import type { Launcher } from './launcher.ts';

/** For the engine to notice that a container has ended. */
const noticeMsMax = 5000;

export interface DockerWorkerOptions extends Omit<StartOptions, 'helpers'> {
  /** Has the container's id as long as it must stay. */
  readonly inUse: Set<string>;
  /** The program that mounts, native/binder. */
  readonly binder: string;
  /** See `Worker.isCurrent`. */
  readonly isCurrent: () => boolean;
}

/** A container with its launcher, for commands that find what the first one found. */
interface Warm {
  readonly container: Docker.Container;
  readonly launcher: Launcher;
  /** How often it could not have another process. */
  readonly refused: () => number;
}

/** Starts a container and its launcher. Whatever goes wrong, nothing is left of it. */
export async function openDockerWorker(options: DockerWorkerOptions): Promise<Worker> {
  const own = ownFolder(options.worker.slot);
  let mounts: HostMounts | undefined;
  try {
    await mkdir(own, { recursive: true, mode: 0o700 });
    if (options.showsMounts) mounts = await openMounts(options);
    return new DockerWorker(options, mounts, await startWarm(options));
  } catch (error) {
    await mounts?.[Symbol.asyncDispose]();
    await removeTreeAsync(own);
    throw error;
  }
}

async function startWarm(options: DockerWorkerOptions): Promise<Warm> {
  const start = { ...options, helpers: await makeHelpers(ownFolder(options.worker.slot)) };
  let container: Docker.Container | undefined;
  try {
    const launcher = await startLauncher(start, async () => {
      container = await createContainer(start);
      options.inUse.add(container.id);
      return container;
    });
    assert(container, 'a launcher has a container');
    const pid = await firstProcess(options, container);
    if (options.showsMounts) await mustReach(options, container, pid);
    return { container, launcher, refused: refusedProcesses(pid) };
  } catch (error) {
    if (container) await letGo(options, container);
    throw error;
  }
}

async function endWarm(options: DockerWorkerOptions, { launcher, container }: Warm): Promise<void> {
  await launcher[Symbol.asyncDispose]();
  await letGo(options, container);
}

/** Where a worker keeps what it needs, beside its slot's content. */
function ownFolder(slot: string): string {
  return join(slot, 'run');
}

/** Makes /pfs a place where mounts can be shown. */
async function openMounts({ binder, worker: { slot } }: DockerWorkerOptions): Promise<HostMounts> {
  const mounts = await HostMounts.open(binder, ownFolder(slot));
  try {
    await mounts.clear([join(slot, 'pfs'), ownFolder(slot)]);
    await mounts.share(join(slot, 'pfs'));
    return mounts;
  } catch (error) {
    await mounts[Symbol.asyncDispose]();
    throw error;
  }
}

/** One that can't be removed now is a leftover, which the next worker of this name finds. */
async function letGo({ engine, inUse }: DockerWorkerOptions, container: Docker.Container): Promise<void> {
  inUse.delete(container.id);
  await removeContainer(engine, container.id).catch(() => undefined);
}

/** An engine that was taken for one of this mount namespace would show empty folders. */
async function mustReach(options: DockerWorkerOptions, container: Docker.Container, pid: number): Promise<void> {
  const { engine, worker } = options;
  if (await reaches(join(worker.slot, 'pfs'), pid, '/pfs')) return;
  if ((await firstProcess(options, container)) === pid && pid > 0) throw seesNoMounts(engine);
  throw new PachError('failed', { what: launcherOf(worker), why: 'another program ended its container' });
}

/** As the engine's machine numbers it. */
async function firstProcess({ engine, worker }: DockerWorkerOptions, container: Docker.Container): Promise<number> {
  const { State: state } = await ask(engine, `the container of ${worker.name}`, () => container.inspect());
  return state.Pid;
}

/** True for ends that a command may come to when it gets no process that it needs. */
function mayLackProcesses(ending: Ending): boolean {
  return ending.kind === 'exit' ? ending.code !== 0 : ending.kind === 'signal' || ending.kind === 'timeout';
}

class DockerWorker implements Worker {
  private readonly options: DockerWorkerOptions;
  /** Where mounts can be shown. */
  private readonly mounts: HostMounts | undefined;
  private warm: Warm;
  /** A command changed something in the container. */
  private isSpent = false;

  constructor(options: DockerWorkerOptions, mounts: HostMounts | undefined, warm: Warm) {
    this.options = options;
    this.mounts = mounts;
    this.warm = warm;
  }

  async run(task: Task): Promise<Exit> {
    if (this.isSpent) await this.renew();
    if (task.binds.length === 0) return this.command(task);
    const { mounts } = this;
    assert(mounts, 'binds are for executors that see mounts');
    const pairs = task.binds.map(({ from, to }) => ({ from, to: join(this.options.worker.slot, 'pfs', to) }));
    await mounts.bind(pairs);
    try {
      return await this.command({ ...task, log: (bytes) => task.log(bytes), binds: [] });
    } finally {
      await mounts.unbind(pairs.map(({ to }) => to));
    }
  }

  isCurrent(): boolean {
    return this.options.isCurrent();
  }

  private async renew(): Promise<void> {
    await endWarm(this.options, this.warm);
    this.warm = await startWarm(this.options);
    this.isSpent = false;
  }

  private async command(task: Task): Promise<Exit> {
    const { launcher, refused } = this.warm;
    try {
      const refusedBefore = refused();
      const exit = await launcher.run(task);
      this.isSpent = exit.left !== undefined;
      // The launcher counts now and then; a shell that can't fork is gone before.
      const shortOfProcesses = mayLackProcesses(exit.ending) && refused() > refusedBefore;
      return shortOfProcesses ? { ...exit, ending: { kind: 'too-many-processes' } } : exit;
    } catch (error) {
      if (isPachError(error) && error.what === launcherOf(this.options.worker)) return this.lost(error);
      throw error;
    }
  }

  /** What became of the container whose launcher is silent. Throws, unless it was the memory. */
  private async lost(error: PachError): Promise<Exit> {
    const { engine, worker } = this.options;
    const what = `the container of ${worker.name}`;
    try {
      if (await this.runs()) throw error;
      const { State: state } = await this.warm.container.inspect();
      if (state.OOMKilled) {
        const memoryBytesPeak = worker.memoryBytesMax ?? 0;
        return { ending: { kind: 'out-of-memory' }, wallMs: 0, cpuMs: 0, memoryBytesPeak };
      }
      throw new PachError('failed', { what, why: `another program ended it (exit code ${state.ExitCode})` });
    } catch (found) {
      if (dockerStatus(found) === 404) throw new PachError('failed', { what, why: 'another program removed it' });
      throw dockerError(engine, what, found);
    }
  }

  /** Whether the container is up, though its launcher says nothing; the engine learns of an end a little late. */
  private async runs(): Promise<boolean> {
    const enough = new AbortController();
    const late = sleep(noticeMsMax, true, { signal: enough.signal }).catch(() => true);
    try {
      return await Promise.race([this.warm.container.wait({ abortSignal: enough.signal }).then(() => false), late]);
    } finally {
      enough.abort();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endWarm(this.options, this.warm);
    await this.mounts?.[Symbol.asyncDispose]();
    await removeTreeAsync(ownFolder(this.options.worker.slot));
  }
}
