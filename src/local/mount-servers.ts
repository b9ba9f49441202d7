/**
 * The processes that serve mounts. They are found by the log that they have open, which lies in their
 * PACH_HOME under the name of the mount. So no process id that stands in a file is ever trusted.
 */
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { identityOf, type ProcessIdentity } from '../base/processes.ts';
import { kernelMounts } from './kernel-mounts.ts';

/** A server, or the supervisor that holds the kernel's descriptors with it. */
export interface MountServer extends ProcessIdentity {
  /** The folder of its log, without links. */
  readonly folder: string;
  /** Of the mount's files in that folder, without their ending. */
  readonly name: string;
}

/** A process that sees a mount. */
export interface Holder {
  readonly pid: number;
  readonly program: string;
}

/** The descriptor under which a server and its supervisor have the kernel's device. */
const deviceFd = 4;

/** The servers of one user's mounts that this process can see. */
export async function mountServers(user: number): Promise<MountServer[]> {
  const found = await Promise.all((await processes()).map((pid) => serverOf(pid, user)));
  return found.filter((server) => server !== undefined);
}

/** A process of another mount namespace that has the mount with this device number; undefined when none is seen. */
export async function holderOf(device: string): Promise<Holder | undefined> {
  const own = await namespaceOf('self');
  for (const pid of await processes()) {
    // The table of this namespace need not be read again for each process in it.
    if ((await namespaceOf(pid)) === own || !(await seesMount(pid, device))) continue;
    const program = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
    return { pid, program: program.trimEnd() };
  }
  return undefined;
}

/** True when a process has a mount with this device number in its mount namespace. */
export async function seesMount(pid: number | 'self', device: string): Promise<boolean> {
  return (await kernelMounts(pid)).some((mount) => mount.device === device);
}

/** The mount namespace of a process; undefined when it may not be asked. */
export function namespaceOf(process: number | 'self'): Promise<string | undefined> {
  return readlink(`/proc/${process}/ns/mnt`).catch(() => undefined);
}

async function processes(): Promise<number[]> {
  return (await readdir('/proc')).filter((name) => /^[1-9]\d*$/.test(name)).map(Number);
}

async function serverOf(pid: number, user: number): Promise<MountServer | undefined> {
  try {
    const log = /^(.*)\/([0-9a-f]{16})\.log(?: \(deleted\))?$/.exec(await readlink(`/proc/${pid}/fd/2`));
    if (!log || (await readlink(`/proc/${pid}/fd/${deviceFd}`)) !== '/dev/fuse') return undefined;
    if ((await stat(`/proc/${pid}`)).uid !== user) return undefined;
    const identity = identityOf(pid);
    return identity && { ...identity, folder: log[1] as string, name: log[2] as string };
  } catch {
    return undefined; // it has ended, or is another user's
  }
}
