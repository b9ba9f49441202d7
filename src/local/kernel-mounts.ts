/**
 * What the kernel says of mounts, by `/proc/PID/mountinfo`. The mounts themselves are never touched.
 */
import { readFile } from 'node:fs/promises';

/** Where a file system of ours is mounted. */
export interface KernelMount {
  /** The kernel's device number of the mount, `major:minor`. */
  readonly device: string;
  /** Absolute path. */
  readonly mountpoint: string;
  /** Who mounted it. */
  readonly user: number;
}

/** Every FUSE mount of pachmount that a process can see, this one when none is named; none for one that may not be asked. */
export async function kernelMounts(process: number | 'self' = 'self'): Promise<KernelMount[]> {
  const table = await readFile(`/proc/${process}/mountinfo`, 'utf8').catch(() => '');
  return table.split('\n').flatMap((line) => {
    const [left = '', right = ''] = line.split(' - ');
    const [, , device, , mountpoint] = left.split(' ');
    const [type, , options = ''] = right.split(' ');
    if (type !== 'fuse.pachmount' || device === undefined || mountpoint === undefined) return [];
    const user = /(?:^|,)user_id=(\d+)/.exec(options)?.[1];
    return [{ device, mountpoint: unescapePath(mountpoint), user: Number(user) }];
  });
}

/** The kernel writes blanks, tabs, line ends and backslashes as octal. */
function unescapePath(path: string): string {
  const bytes = path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
  return bytes === path ? path : Buffer.from(bytes, 'latin1').toString();
}
