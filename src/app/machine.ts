/**
 * What this machine offers: what mounts need, and room for the cache.
 */
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, mkdtemp, rmdir, stat, statfs } from 'node:fs/promises';
import { release } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { checked, warned, type Check } from '../store/check.ts';

const run = promisify(execFile);

/** The first kernel with all of the protocol that mounts use. */
const kernelMin = [5, 4] as const;
const freeBytesMin = 5e9;

/** The checks of this machine; `cacheDir` need not exist. */
export async function* examineMachine(cacheDir: string): AsyncGenerator<Check> {
  yield await checked('kernel', kernel);
  yield await checked('/dev/fuse', fuse);
  yield await checked('fusermount3', fusermount);
  yield await checked('cache folder', () => writable(cacheDir));
  yield await checked('free space', () => freeSpace(cacheDir));
}

/** The folder itself when it exists, or the nearest one above it that does. */
export async function nearestFolder(path: string): Promise<string> {
  const there = await stat(path).then(
    (info) => info.isDirectory(),
    () => false,
  );
  return there || dirname(path) === path ? path : nearestFolder(dirname(path));
}

async function kernel(): Promise<Omit<Check, 'check'> | string> {
  const value = `${process.platform} ${release()}`;
  if (process.platform !== 'linux') return warned(value, 'mounts need Linux; everything else works');
  const [major = 0, minor = 0] = release()
    .split('.')
    .map((part) => Number.parseInt(part, 10));
  const old = major < kernelMin[0] || (major === kernelMin[0] && minor < kernelMin[1]);
  return old ? warned(value, `mounts need Linux ${kernelMin.join('.')} or newer; everything else works`) : value;
}

async function fuse(): Promise<Omit<Check, 'check'> | string> {
  try {
    await access('/dev/fuse', constants.R_OK | constants.W_OK);
    return 'can be opened';
  } catch (error) {
    const absent = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return absent
      ? warned('it is not there', 'for mounts: modprobe fuse; in a container: --device /dev/fuse')
      : warned('this user has no permission to open it', 'for mounts: ask an administrator for access to /dev/fuse');
  }
}

async function fusermount(): Promise<Omit<Check, 'check'> | string> {
  const found = await run('fusermount3', ['--version']).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  );
  if (found !== undefined) return found;
  if (process.getuid?.() === 0) return 'not installed; root mounts without it';
  return warned('not installed', 'for mounts: apt-get install fuse3');
}

async function writable(cacheDir: string): Promise<Omit<Check, 'check'> | string> {
  const folder = await nearestFolder(cacheDir);
  try {
    await rmdir(await mkdtemp(join(folder, '.pach-')));
    return cacheDir;
  } catch (error) {
    const why = `${folder} can't be written (${(error as NodeJS.ErrnoException).code})`;
    return warned(why, "pach can't keep a cache or state on this machine; set PACH_HOME to another folder");
  }
}

async function freeSpace(cacheDir: string): Promise<Omit<Check, 'check'> | string> {
  const { bavail, bsize } = await statfs(await nearestFolder(cacheDir));
  const free = bavail * bsize;
  const value = `${(free / 1e9).toFixed(1)} GB for the cache`;
  return free < freeBytesMin ? warned(value, 'free some space, or mount with a smaller --cache-size') : value;
}
