/**
 * What the kernel says of mounts, by `/proc/PID/mountinfo`. The mounts themselves are never touched.
 */
import { readFile } from 'node:fs/promises';

/** A line of a process's table of mounts. */
export interface MountEntry {
  /** The kernel's device number of the mount, `major:minor`. */
  readonly device: string;
  /** Absolute path. */
  readonly mountpoint: string;
  /** Such as `shared:4` and `master:2`: which mounts it passes on, and which it gets. */
  readonly propagation: readonly string[];
  readonly type: string;
  /** Of the file system, between commas. */
  readonly options: string;
}

/** Where a file system of ours is mounted. */
export interface KernelMount extends Pick<MountEntry, 'device' | 'mountpoint'> {
  /** Who mounted it. */
  readonly user: number;
}

/** All mounts that a process can see, this one when none is named, the newest last; none for one that may not be asked. */
export async function mountTable(process: number | 'self' = 'self'): Promise<MountEntry[]> {
  const table = await readFile(`/proc/${process}/mountinfo`, 'utf8').catch(() => '');
  return table.split('\n').flatMap((line) => {
    const [left = '', right = ''] = line.split(' - ');
    const [, , device, , mountpoint, , ...propagation] = left.split(' ');
    const [type = '', , options = ''] = right.split(' ');
    if (device === undefined || mountpoint === undefined) return [];
    return [{ device, mountpoint: unescapePath(mountpoint), propagation, type, options }];
  });
}

/** Every FUSE mount of pachmount that a process can see. */
export async function kernelMounts(process?: number | 'self'): Promise<KernelMount[]> {
  const ours = (await mountTable(process)).filter(({ type }) => type === 'fuse.pachmount');
  return ours.map(({ device, mountpoint, options }) => {
    const user = /(?:^|,)user_id=(\d+)/.exec(options)?.[1];
    return { device, mountpoint, user: Number(user) };
  });
}

/** The kernel writes blanks, tabs, line ends, backslashes and # as octal numbers, and everything else as it is. */
function unescapePath(path: string): string {
  return path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
