/**
 * The mounts of this user on this machine: one JSON file each, written by the server that holds
 * it. A file whose mount is gone is cleared away by whoever lists.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text as readText } from 'node:stream/consumers';
import type { Home } from './home.ts';

export interface MountRecord {
  /** Absolute path. */
  readonly mountpoint: string;
  /** The kernel's device number of the mount, `major:minor`. */
  readonly device: string;
  /** Process id of the server. */
  readonly pid: number;
  readonly store: string;
  readonly project: string;
  /** What is shown: `images@master`. */
  readonly sources: readonly string[];
  /** RFC 3339. */
  readonly since: string;
}

/** Where the kernel says that a file system of ours is mounted, by `/proc/self/mountinfo`. */
export interface KernelMount {
  readonly device: string;
  readonly mountpoint: string;
}

const answerMsMax = 5000;

export async function writeMountRecord(home: Home, record: MountRecord): Promise<void> {
  const path = await recordPath(home, record.mountpoint);
  await writeFile(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

export async function removeMountRecord(home: Home, mountpoint: string): Promise<void> {
  await rm(await recordPath(home, mountpoint), { force: true });
}

/** Path of the log that the server of a mount writes. */
export async function mountLogPath(home: Home, mountpoint: string): Promise<string> {
  return `${(await recordPath(home, mountpoint)).slice(0, -'.json'.length)}.log`;
}

/** Where the server of a mount answers with its counters. */
export async function mountSocketPath(home: Home, mountpoint: string): Promise<string> {
  return `${(await recordPath(home, mountpoint)).slice(0, -'.json'.length)}.sock`;
}

/** What the server of a mount says of itself, as JSON; undefined when there is none any more. */
export async function askMount(home: Home, mountpoint: string): Promise<string | undefined> {
  const connection = connect(await mountSocketPath(home, mountpoint));
  connection.setTimeout(answerMsMax, () => connection.destroy(new Error('no answer')));
  return readText(connection).catch(() => undefined);
}

/** The mounts that the kernel still has, by mountpoint. */
export async function listMountRecords(home: Home): Promise<MountRecord[]> {
  const mounted = await kernelMounts();
  const records: MountRecord[] = [];
  for (const name of (await home.has(home.mounts)) ? await readdir(home.mounts) : []) {
    if (!/^[0-9a-f]{16}\.json$/.test(name)) continue;
    const path = join(home.mounts, name);
    const record = await readFile(path, 'utf8').then(
      (text) => JSON.parse(text) as MountRecord,
      () => undefined,
    );
    const there =
      record && mounted.some((each) => each.mountpoint === record.mountpoint && each.device === record.device);
    if (there) records.push(record);
    else await rm(path, { force: true });
  }
  return records.sort((a, b) => (a.mountpoint < b.mountpoint ? -1 : 1));
}

/** Every FUSE mount of pachmount that this process can see. Never touches the mounts themselves. */
export async function kernelMounts(): Promise<KernelMount[]> {
  const table = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
  return table.split('\n').flatMap((line) => {
    const [left = '', right = ''] = line.split(' - ');
    const [, , device, , mountpoint] = left.split(' ');
    if (!right.startsWith('fuse.pachmount ') || device === undefined || mountpoint === undefined) return [];
    return [{ device, mountpoint: unescapePath(mountpoint) }];
  });
}

/** The kernel writes blanks, tabs, line ends and backslashes as octal. */
function unescapePath(path: string): string {
  const bytes = path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
  return bytes === path ? path : Buffer.from(bytes, 'latin1').toString();
}

async function recordPath(home: Home, mountpoint: string): Promise<string> {
  const name = createHash('sha256').update(mountpoint).digest('hex').slice(0, 16);
  return join(await home.make(home.mounts), `${name}.json`);
}
