/**
 * Mounting and unmounting: as root by mount(2), for everybody else through fusermount3.
 */
import { closeSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { PachError } from '../base/errors.ts';
import { shellWord } from '../base/shell.ts';
import { fuseAddon, type MountOptions } from './fuse-addon.ts';

/** Descriptors that a server needs, and that any process may hand to its successor. */
export interface KernelConnection {
  readonly device: number;
  readonly table: number;
}

const isRoot = (): boolean => process.geteuid?.() === 0;
/** KiB that the kernel may read ahead of a sequential reader, where it lets us say so. */
const readAheadKib = 4096;

/** Descriptors for a mount that is to be made. Throws `denied` when this user may not mount, with what to do about it. */
export function openKernel(): KernelConnection {
  const table = fuseAddon().createTable();
  try {
    return { device: fuseAddon().openDevice(), table };
  } catch (error) {
    closeSync(table);
    const absent = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new PachError('denied', {
      what: '/dev/fuse',
      why: absent ? 'it does not exist: this machine or container has no FUSE' : 'you have no permission to open it',
      next: absent
        ? 'load it with modprobe fuse as root, or start the container with --device /dev/fuse'
        : 'sudo chmod 666 /dev/fuse',
      cause: error,
    });
  }
}

/** Mounts, to be served through this connection. Throws `denied` when this user may not. */
export function mountKernel({ device }: KernelConnection, mountpoint: string, options: MountOptions): void {
  try {
    fuseAddon().mount(device, mountpoint, options, !isRoot());
  } catch (error) {
    throw refused(mountpoint, error as NodeJS.ErrnoException, 'mounted');
  }
}

export function closeKernel({ device, table }: KernelConnection): void {
  closeSync(device);
  closeSync(table);
}

/** Throws `conflict` when it is in use and `lazy` is not set. */
export function unmountKernel(mountpoint: string, lazy: boolean): void {
  try {
    fuseAddon().unmount(mountpoint, lazy, !isRoot());
  } catch (error) {
    throw refused(mountpoint, error as NodeJS.ErrnoException, 'unmounted');
  }
}

/**
 * Raises how far the kernel reads ahead; does nothing where we may not. `device` is `major:minor`.
 * Resolves to the KiB that it reads ahead now, undefined where it does not say.
 */
export async function raiseReadahead(device: string): Promise<number | undefined> {
  const path = `/sys/class/bdi/${device}/read_ahead_kb`;
  await writeFile(path, String(readAheadKib)).catch(() => undefined);
  const now = await readFile(path, 'utf8').catch(() => '');
  return now === '' ? undefined : Number(now);
}

function refused(mountpoint: string, error: NodeJS.ErrnoException, done: string): PachError {
  const options = { what: mountpoint, cause: error };
  const { code } = error;
  // fusermount3 tells the reason in words only. While it mounts it also complains about /etc/mtab, harmlessly.
  const message = done === 'mounted' ? error.message.replaceAll(/^.*\/etc\/mtab.*\n?/gm, '') : error.message;
  if (code === 'EBUSY') {
    return new PachError('conflict', { ...options, why: 'it is in use', next: `lsof +f -- ${shellWord(mountpoint)}` });
  }
  if (done === 'unmounted' && (code === 'EINVAL' || message.includes('not mounted'))) {
    return new PachError('not-found', { ...options, why: 'nothing is mounted there' });
  }
  if (message.includes('/etc/mtab')) {
    const why = "it can't be unmounted without a correct /etc/mtab, which fusermount3 reads";
    return new PachError('denied', { ...options, why, next: 'sudo ln -sf /proc/self/mounts /etc/mtab' });
  }
  if (code === 'ENOENT' || message.includes('No such file')) {
    return new PachError('not-found', { ...options, why: 'there is no such folder' });
  }
  if (message.includes('user_allow_other')) {
    const next = 'sudo sh -c "echo user_allow_other >> /etc/fuse.conf"';
    return new PachError('denied', { ...options, why: "it can't be shown to other users", next });
  }
  if (code === 'EPERM' || code === 'EACCES') {
    const why = `it can't be ${done}: not enough rights (mounting needs CAP_SYS_ADMIN or fusermount3)`;
    return new PachError('denied', { ...options, why });
  }
  if (message.includes('not installed')) {
    const next = 'sudo apt-get install fuse3';
    return new PachError('denied', { ...options, why: 'mounting needs fusermount3, which is not installed', next });
  }
  const denied = /no write access|[Pp]ermission denied|not permitted|forbidden/.test(message);
  return new PachError(denied ? 'denied' : 'failed', { ...options, why: `it can't be ${done}: ${message}` });
}

/** Unmounts what it may of these, in this order, whatever it is, also while it is in use. */
export function unmountAll(mountpoints: readonly string[]): void {
  for (const mountpoint of mountpoints) {
    try {
      fuseAddon().unmount(mountpoint, true, !isRoot());
    } catch {
      // What is still there keeps its folder from being removed, and is tried again the next time.
    }
  }
}
