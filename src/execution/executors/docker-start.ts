/**
 * The start of a worker's container, up to the first word of its launcher.
 */
import { access } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { PachError } from '../../base/errors.ts';
import type { WorkerOptions } from '../executor.ts';
import { changesPath, containerOptions, type ContainerPlan } from './docker-container.ts';
import { listenForLauncher, type LauncherListener } from './docker-listener.ts';
import { ask, dockerError, dockerSays, type DockerEngine } from './docker-engine.ts';
import { showChanges } from './docker-helpers.ts';
import { holdsFiles } from './docker-image.ts';
import { Launcher } from './launcher.ts';

/** From the start of a container to the first word of its launcher. */
const launcherMsMax = 60_000;

export interface StartOptions extends ContainerPlan {
  readonly engine: DockerEngine;
}

/** What errors call the launcher of a worker. */
export function launcherOf(worker: WorkerOptions): string {
  return `the launcher of ${worker.name}`;
}

/** An engine was taken for one that lives among this process's mounts. */
export function seesNoMounts(engine: DockerEngine, cause?: unknown): PachError {
  return new PachError('unsupported', {
    what: `the Docker engine at ${engine.address}`,
    why: "its containers can't see the mounts of this machine",
    next: 'use an engine on this machine, or --executor process',
    cause,
  });
}

/** Makes the container, which is not started yet. Throws `unsupported` where the engine does not see this machine's folders. */
export async function createContainer(options: StartOptions): Promise<Docker.Container> {
  const { engine, worker } = options;
  try {
    return await engine.calls.createContainer(containerOptions(options));
  } catch (error) {
    if (/bind source path does not exist/.test(dockerSays(error))) throw await unseen(options, error);
    throw dockerError(engine, `a container for ${worker.name}`, error);
  }
}

/** Docker finds no such folder: there is none, or it looks on another machine. */
async function unseen({ engine, worker, program }: StartOptions, cause: unknown): Promise<PachError> {
  const wanted = [
    { path: program, next: 'make build' },
    ...worker.code.map(({ from }) => ({ path: from, next: 'correct dev.code' })),
  ];
  for (const { path, next } of wanted) {
    const there = await access(path).then(
      () => true,
      () => false,
    );
    if (!there) return new PachError('not-found', { what: path, why: 'there is no such file or folder', next, cause });
  }
  return new PachError('unsupported', {
    what: `the Docker engine at ${engine.address}`,
    why: `its containers can't see the folders of this machine (${dockerSays(cause)})`,
    next: 'use an engine on this machine, or --executor process',
    cause,
  });
}

/**
 * Starts the container that `create` makes; resolves once its launcher is ready for commands.
 * Throws `unsupported` for GPUs that are not there.
 */
export async function startLauncher(options: StartOptions, create: () => Promise<Docker.Container>): Promise<Launcher> {
  const { engine, worker } = options;
  // Docker wants what it shows to be there.
  await using listener = await listenForLauncher(options.helpers.socket);
  const container = await create();
  const cleared = await clearedFolders(options, container);
  await showChanges(options.helpers, await ask(engine, `the container of ${worker.name}`, () => container.inspect()));
  await startContainer(options, container);
  const launcher = await awaitLauncher(options, container, listener);
  try {
    const { secrets, workingDir, processesMax } = worker;
    const user = worker.user ?? options.image.user;
    // Docker gives the launcher the home of root, the launcher gives commands that of their user.
    const env = { ...(options.image.home !== undefined && { HOME: options.image.home }), ...worker.env };
    const setup = { env, secrets, user, workingDir, processesMax, cleared, changes: changesPath };
    await launcher.setup({ ...setup, outputOwner: ownerOf() });
    return launcher;
  } catch (error) {
    await launcher[Symbol.asyncDispose]();
    throw error;
  }
}

/** Who has to read what a command wrote: anybody but root needs to be given it. */
function ownerOf(): { user: number; group: number } | undefined {
  const [user = 0, group = 0] = [process.geteuid?.(), process.getegid?.()];
  return user === 0 ? undefined : { user, group };
}

async function startContainer({ engine, worker }: StartOptions, container: Docker.Container): Promise<void> {
  try {
    await container.start();
  } catch (error) {
    if ((worker.gpus ?? 0) > 0 && /\[gpu\]|nvidia|device driver/i.test(dockerSays(error))) {
      throw new PachError('unsupported', {
        what: worker.name,
        why: `it asks for ${worker.gpus} GPU, and the Docker engine at ${engine.address} gives none (${dockerSays(error)})`,
        next: "install NVIDIA's container toolkit, or remove gpu from the spec's resource_limits",
        cause: error,
      });
    }
    // Docker's own check, which what is shared on its machine may pass.
    if (/not a shared or slave mount/.test(dockerSays(error))) throw seesNoMounts(engine, error);
    throw dockerError(engine, `the container of ${worker.name}`, error);
  }
}

/** What a command may leave where others would find it. Where the image has files in /tmp, they stay. */
async function clearedFolders({ engine, worker }: StartOptions, container: Docker.Container): Promise<string[]> {
  const folders = ['/dev/shm', ...(worker.memoryVolume ? ['/scratch'] : [])];
  const kept = await ask(engine, `the container of ${worker.name}`, () => holdsFiles(container, '/tmp'));
  return kept ? folders : [...folders, '/tmp'];
}

async function awaitLauncher(
  { engine, worker }: StartOptions,
  container: Docker.Container,
  listener: LauncherListener,
): Promise<Launcher> {
  const given = new AbortController();
  const ended = container.wait({ abortSignal: given.signal }).then(
    () => 'it has ended',
    () => 'Docker says nothing about it',
  );
  const late = sleep(launcherMsMax, 'it said nothing in time', { signal: given.signal, ref: false }).catch(
    () => 'in time',
  );
  const connected = await Promise.race([listener.connected, ended, late]);
  given.abort();
  if (typeof connected !== 'string') return new Launcher(connected, launcherOf(worker));
  const log = await ask(engine, `the container of ${worker.name}`, () =>
    container.logs({ stdout: true, stderr: true, tail: 20 }),
  );
  throw new PachError('failed', {
    what: launcherOf(worker),
    why: `it did not start: ${connected} (${plainLog(log) || 'with no message'})`,
  });
}

/** Docker puts a head of 8 bytes before each piece of a log. */
function plainLog(log: Buffer): string {
  let text = '';
  for (let at = 0; at + 8 <= log.length;) {
    const length = log.readUInt32BE(at + 4);
    text += log.toString('utf8', at + 8, at + 8 + length);
    at += 8 + length;
  }
  return text.trim();
}
