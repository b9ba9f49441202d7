/**
 * The sidecar of a pod of the user's: it shows versions of repos to another container, at /pfs there. Until
 * it can, that container does not start, and where it never can, it ends with the reason, which is the last
 * word of its container. The two share a folder:
 *
 *     bin/launcher   there once all else is
 *     run/socket     where a launcher waits for the mounts
 *     run/mounts     where it lets mounts of this container be shown in its own
 *     pfs out        what the other container sees as /pfs and /pfs/out
 *     mnt            the mount, in this container alone
 */
import { chmod, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isPachError, PachError } from '../base/errors.ts';
import { emptyFolder, removeTreeAsync } from '../base/remove.ts';
import { listenAt } from '../base/unix-socket.ts';
import { HostMounts } from '../execution/executors/host-mounts.ts';
import { claimPodFolder, hasLauncher, putLauncher } from '../execution/executors/pod-folder.ts';
import { unmountAll } from '../mount/kernel-mount.ts';
import { extractFolder } from '../versions/reading/extract.ts';
import { inserterProgram, launcherProgram } from './executors.ts';
import { whereOf } from './mount-plan.ts';
import { mountProject } from './mount.ts';
import type { OpenProject } from './open.ts';
import { outFolder, podData } from './pod-data.ts';
import { checkStore } from './pod-store.ts';
import type { Settings } from './settings.ts';

export interface SidecarRequest {
  readonly sources: readonly string[];
  /** The folder that the pod's containers share. */
  readonly dir: string;
  readonly signal: AbortSignal;
}

const memoryBytesMax = 256e6;
const timeoutMs = 60_000;
/** What lies below /pfs in every container. */
const shownAt = '/pfs';
/** Everybody may write there, and remove what is their own. */
const outMode = 0o1777;

/** Shows it until the signal is aborted. Throws what keeps it from that. */
export async function showInPod(settings: Settings, opened: OpenProject, request: SidecarRequest): Promise<void> {
  checkStore(settings, opened, 'the manifest was printed');
  const { dir } = request;
  await claimPodFolder(dir, ['bin', 'run', 'pfs', 'mnt']);
  for (const folder of ['bin', 'run', `pfs/${outFolder}`, outFolder])
    await mkdir(join(dir, folder), { recursive: true });
  // The other container may be of another user.
  for (const folder of ['bin', 'run', 'pfs', `pfs/${outFolder}`]) await chmod(join(dir, folder), 0o755);
  await chmod(join(dir, outFolder), outMode);
  if (settings.pod?.mounts === true) await mount(settings, opened, request);
  else await writeOut(opened, request);
}

/** Writes all out, once. */
async function writeOut({ project }: OpenProject, { sources, dir, signal }: SidecarRequest): Promise<void> {
  const bin = join(dir, 'bin');
  if (!(await hasLauncher(bin))) {
    for (const name of await readdir(join(dir, 'pfs'))) {
      // Left by a sidecar that was killed.
      if (name !== outFolder) await removeTreeAsync(join(dir, 'pfs', name));
    }
    for (const { name, files, root } of await podData(project, sources)) {
      await extractFolder(files, root, join(dir, 'pfs', name), { progress: () => undefined, signal });
    }
    await putLauncher(launcherProgram, bin);
  }
  await aborted(signal);
}

async function mount(
  settings: Settings,
  { project }: OpenProject,
  { sources, dir, signal }: SidecarRequest,
): Promise<void> {
  const names = (await podData(project, sources)).map(({ name }) => name);
  for (const name of names) await mkdir(join(dir, 'pfs', name), { recursive: true });
  emptyFolder(Buffer.from(join(dir, 'run')));
  const mountpoint = join(dir, 'mnt');
  const plan = { ...whereOf(settings), mountpoint, sources, memoryBytesMax, timeoutMs };
  const { ended } = await mountProject(settings, plan, { allowOther: true, noExec: false, signal });
  try {
    await using mounts = await HostMounts.inserting(inserterProgram, join(dir, 'run/mounts'), shownAt);
    const pairs = names.map((name) => ({ from: join(mountpoint, name), to: join(shownAt, name) }));
    const listener = await listenAt(join(dir, 'run/socket'), (socket) => {
      socket.on('error', () => undefined); // that launcher was killed
      void mounts.bind(pairs).then(
        () => socket.end('ready\n'),
        (error: unknown) => socket.end(`${textOf(error)}\n`),
      );
    });
    try {
      await chmod(join(dir, 'run/socket'), 0o666);
      await putLauncher(launcherProgram, join(dir, 'bin'));
      await Promise.race([aborted(signal), ended.then(gone)]);
    } finally {
      await listener.close();
    }
  } finally {
    // Not waited for: another container may have it still, and all is gone with this one.
    unmountAll([mountpoint]);
  }
}

function textOf(error: unknown): string {
  const why = isPachError(error) ? `${error.what}: ${error.why}` : String(error);
  return why.replaceAll('\n', ' ');
}

function gone(): never {
  throw new PachError('failed', { what: shownAt, why: 'the server of its mount has ended' });
}

/** Keeps the process there: a promise alone, without a connection or a timer, does not. */
async function aborted(signal: AbortSignal): Promise<void> {
  const dayMs = 86_400_000;
  while (!signal.aborted) await sleep(dayMs, undefined, { signal }).catch(() => undefined);
}
