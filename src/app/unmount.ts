/**
 * Unmounting as the command does it: the mount goes, and with it the server, also when another mount
 * namespace still has the mount.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isPachError, PachError } from '../base/errors.ts';
import { isAlive } from '../base/processes.ts';
import { holderOf, seesMount, type MountServer } from '../local/mount-servers.ts';
import { leftServer, serversOf } from '../local/mounts.ts';
import { kernelMounts, type KernelMount } from '../local/kernel-mounts.ts';
import type { Home } from '../local/home.ts';
import { unmountKernel } from '../mount/kernel-mount.ts';

/** A server that ends still writes to its cache, maybe on a slow disk. One with open files runs on. */
const endMsMax = 10_000;
const lazyEndMsMax = 2000;
const pollMs = 20;

/** The mount at a path, of whatever PACH_HOME. Throws `not-found` and `denied`. */
export async function mountAt(home: Home, mountpoint: string): Promise<KernelMount> {
  const mount = (await kernelMounts()).findLast((each) => each.mountpoint === mountpoint);
  if (!mount) {
    const left = await leftServer(home, mountpoint);
    const why = 'no pachmount mount is there';
    throw new PachError('not-found', {
      what: mountpoint,
      why: left
        ? `${why}, but its server still runs (process ${left.pid}): files are open, or another mount namespace has the mount`
        : why,
      next: left ? `kill ${left.pid}` : 'pach mounts',
    });
  }
  const user = process.geteuid?.();
  if (user !== 0 && user !== mount.user) {
    throw new PachError('denied', {
      what: mountpoint,
      why: `the mount belongs to another user (${mount.user})`,
      next: `sudo pach unmount ${mountpoint}`,
    });
  }
  return mount;
}

export interface Unmounted {
  /** What is worth knowing then. */
  readonly note?: string;
  /** False while its server runs on. */
  readonly isOver: boolean;
}

/**
 * Unmounts, and waits a while for the server to end, so that what comes next finds nothing of it. Where another
 * mount namespace has the mount, nobody here could see or end the server later: it is ended now, but for `lazy`,
 * which promises that open files can be read on.
 */
export async function unmount(mount: KernelMount, lazy: boolean): Promise<Unmounted> {
  const servers = await serversOf(mount);
  try {
    unmountKernel(mount.mountpoint, lazy);
  } catch (cause) {
    if (!isPachError(cause, 'not-found') || !(await seesMount('self', mount.device))) throw cause;
    const why = 'it was mounted in another mount namespace; unmount it there';
    throw new PachError('denied', { what: mount.mountpoint, why, cause });
  }
  const running = (): MountServer[] => servers.filter((server) => isAlive(server));
  const [server] = running();
  if (!server) return { isOver: true };
  const runs = (note: string): Unmounted => ({ note, isOver: false });
  if (await seesMount(server.pid, mount.device)) {
    return runs(`${mount.mountpoint}: it is still mounted where its server sees it, process ${server.pid}`);
  }
  if (await seesMount('self', mount.device)) return runs(`${mount.mountpoint}: it is still mounted at another place`);
  const holder = await holderOf(mount.device);
  const has = `process ${holder?.pid} (${holder?.program}) has it in another mount namespace`;
  if (holder && !lazy) {
    await end(running);
    const note = `${mount.mountpoint}: ${has}. The server was ended: reads there fail from now on`;
    return { note, isOver: true };
  }
  if (await ended(running, lazy ? lazyEndMsMax : endMsMax)) return { isOver: true };
  const why = holder ? has : 'files are open, or an overlay or another mount namespace uses it';
  return runs(`${mount.mountpoint}: ${why}. Its server runs until that ends. To end it now: kill ${server.pid}`);
}

/** Ends processes: by SIGTERM, then by SIGKILL. SIGSTOP comes before that, so that no supervisor starts another server. */
async function end(running: () => readonly MountServer[]): Promise<void> {
  const signal = (name: NodeJS.Signals): void => {
    for (const { pid } of running()) {
      try {
        process.kill(pid, name);
      } catch {
        // It has ended meanwhile.
      }
    }
  };
  signal('SIGTERM');
  if (await ended(running, endMsMax)) return;
  signal('SIGSTOP');
  signal('SIGKILL');
}

async function ended(running: () => readonly MountServer[], msMax: number): Promise<boolean> {
  for (const until = Date.now() + msMax; running().length > 0; await sleep(pollMs)) {
    if (Date.now() >= until) return false;
  }
  return true;
}
