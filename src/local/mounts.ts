/**
 * The mounts of a PACH_HOME. What is mounted is what the kernel says; the server of a mount adds a record
 * of what it shows, a JSON file. Listing removes the records of mounts that are gone.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, open, readdir, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text as readText } from 'node:stream/consumers';
import { removeTreeAsync } from '../base/remove.ts';
import { connectTo } from '../base/unix-socket.ts';
import type { Home } from './home.ts';
import { kernelMounts, type KernelMount } from './kernel-mounts.ts';
import { mountServers, namespaceOf, seesMount, type MountServer } from './mount-servers.ts';

export interface MountRecord {
  /** Absolute path. */
  readonly mountpoint: string;
  /** The kernel's device number of the mount, `major:minor`. */
  readonly device: string;
  /** Process id of the server. For people: nothing is done to a process because a file names it. */
  readonly pid: number;
  readonly store: string;
  readonly project: string;
  /** What is shown: `images@master`. */
  readonly sources: readonly string[];
  /** RFC 3339. */
  readonly since: string;
  /** Of a mount that shows one datum (mounted-datum.ts): the folder of its results. */
  readonly datum?: string | undefined;
}

export interface Mount extends KernelMount {
  /** Undefined when neither the file nor the server gives it. */
  readonly record: MountRecord | undefined;
}

export interface Mounts {
  /** By mountpoint. */
  readonly mounts: readonly Mount[];
  /** Paths of files that have the name of a record and hold none. */
  readonly broken: readonly string[];
}

/** What a server says of itself, beside counters. */
export interface MountAnswer {
  readonly record?: unknown;
  /** What it has asked of the store. */
  readonly store?: { readonly requests: number; readonly bytes: number };
}

const answerMsMax = 5000;
const recordBytesMax = 1024 * 1024;

export async function writeMountRecord(home: Home, record: MountRecord): Promise<void> {
  const path = await pathOf(home, record.mountpoint, 'json');
  await removeTreeAsync(path);
  await replaceFile(path, JSON.stringify(record));
}

async function replaceFile(path: string, content: string | Buffer): Promise<void> {
  await removeTreeAsync(`${path}.new`);
  await writeFile(`${path}.new`, content, { mode: 0o600, flag: 'wx' });
  await rename(`${path}.new`, path);
}

/** Removes a record, unless a later mount has written one in its place. */
export async function removeMountRecord(home: Home, { mountpoint, device }: MountRecord): Promise<void> {
  const path = await pathOf(home, mountpoint, 'json');
  const now = recordFrom(await readJson(path));
  if (now === undefined || now.device === device) await removeTreeAsync(path);
}

/** Path of the log that the server of a mount writes. */
export function mountLogPath(home: Home, mountpoint: string): Promise<string> {
  return pathOf(home, mountpoint, 'log');
}

/** Where the server of a mount answers with its counters. */
export function mountSocketPath(home: Home, mountpoint: string): Promise<string> {
  return pathOf(home, mountpoint, 'sock');
}

/** Where it stands which datum a mount shows. */
export function mountDatumPath(home: Home, mountpoint: string): Promise<string> {
  return pathOf(home, mountpoint, 'datum');
}

/** The head that a mount which follows has come to, for a later server of it; undefined where none is kept. */
export async function shownHead(home: Home, mountpoint: string): Promise<Buffer | undefined> {
  return readFile(await pathOf(home, mountpoint, 'head')).catch(() => undefined);
}

/** Keeps it; undefined: no more. */
export async function keepShownHead(home: Home, mountpoint: string, head: Buffer | undefined): Promise<void> {
  const path = await pathOf(home, mountpoint, 'head');
  if (head) await replaceFile(path, head);
  else await removeTreeAsync(path);
}

/** What the server of a mount says of itself; undefined when there is none any more. */
export async function askMount(home: Home, mountpoint: string): Promise<MountAnswer | undefined> {
  try {
    const connection = await connectTo(await mountSocketPath(home, mountpoint));
    connection.setTimeout(answerMsMax, () => connection.destroy(new Error('no answer')));
    return JSON.parse(await readText(connection)) as MountAnswer;
  } catch {
    return undefined;
  }
}

/**
 * The mounts of this PACH_HOME that the kernel has: those with a record, those whose server writes its log
 * here, and those without a server that have any file here.
 */
export async function listMounts(home: Home): Promise<Mounts> {
  const files = (await home.has(home.mounts)) ? await readdir(home.mounts) : [];
  const { records, broken } = await readRecords(home, files);
  const listed: Mount[] = [];
  const others: KernelMount[] = [];
  for (const mount of await kernelMounts()) {
    const record = records.get(nameOf(mount.mountpoint));
    if (record?.device === mount.device) listed.push({ ...mount, record });
    else if (mount.user === ownUser()) others.push(mount);
  }
  const stale = [...records].filter(([, { device }]) => !listed.some((mount) => mount.device === device));
  if (others.length > 0 || stale.length > 0) {
    const servers = await mountServers(ownUser());
    const folder = await realpath(home.mounts).catch(() => home.mounts);
    for (const mount of others) {
      const [server] = await among(servers, mount);
      const here = server ? server.folder === folder : files.some((file) => file.startsWith(nameOf(mount.mountpoint)));
      if (here) listed.push({ ...mount, record: await toldRecord(home, mount) });
    }
    for (const [name] of stale) {
      // Another mount namespace may have the mount: then its server lives.
      const served = servers.some((server) => server.folder === folder && server.name === name);
      if (!served) await rm(join(home.mounts, `${name}.json`), { force: true });
    }
  }
  return { mounts: listed.sort((a, b) => (a.mountpoint < b.mountpoint ? -1 : 1)), broken };
}

/** The server of a mount and its supervisor, whatever PACH_HOME they have. */
export async function serversOf(mount: KernelMount): Promise<MountServer[]> {
  return among(await mountServers(mount.user), mount);
}

/** A server of this PACH_HOME and mount namespace that still runs though nothing is mounted there any more. */
export async function leftServer(home: Home, mountpoint: string): Promise<MountServer | undefined> {
  const folder = await realpath(home.mounts).catch(() => home.mounts);
  const namespace = await namespaceOf('self');
  for (const server of await mountServers(ownUser())) {
    if (server.folder !== folder || server.name !== nameOf(mountpoint)) continue;
    if ((await namespaceOf(server.pid)) === namespace) return server;
  }
  return undefined;
}

async function among(servers: readonly MountServer[], mount: KernelMount): Promise<MountServer[]> {
  const named = servers.filter(({ name }) => name === nameOf(mount.mountpoint));
  const sees = await Promise.all(named.map(({ pid }) => seesMount(pid, mount.device)));
  return named.filter((_, index) => sees[index]);
}

function ownUser(): number {
  return process.geteuid?.() ?? 0;
}

/** The records, by name, and the paths of files that are none. */
async function readRecords(
  home: Home,
  files: readonly string[],
): Promise<{ records: Map<string, MountRecord>; broken: string[] }> {
  const records = new Map<string, MountRecord>();
  const broken: string[] = [];
  for (const file of files) {
    const name = /^([0-9a-f]{16})\.json$/.exec(file)?.[1];
    if (name === undefined) continue;
    const path = join(home.mounts, file);
    const record = recordFrom(await readJson(path));
    if (record && nameOf(record.mountpoint) === name) records.set(name, record);
    else if (await lstat(path).catch(() => undefined)) broken.push(path);
  }
  return { records, broken };
}

/** A small file's JSON; undefined where there is something else, a FIFO for instance. */
async function readJson(path: string): Promise<unknown> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const info = await file.stat();
    return info.isFile() && info.size <= recordBytesMax ? JSON.parse(await file.readFile('utf8')) : undefined;
  } catch {
    return undefined;
  }
}

/** The record as the server of a mount tells it, for when its file is gone. */
async function toldRecord(home: Home, mount: KernelMount): Promise<MountRecord | undefined> {
  const record = recordFrom((await askMount(home, mount.mountpoint))?.record);
  return record?.device === mount.device && record.mountpoint === mount.mountpoint ? record : undefined;
}

function recordFrom(value: unknown): MountRecord | undefined {
  const { mountpoint, device, pid, store, project, sources, since, datum } = (value ?? {}) as Record<string, unknown>;
  const texts = [
    mountpoint,
    device,
    store,
    project,
    since,
    datum ?? '',
    ...(Array.isArray(sources) ? sources : [undefined]),
  ];
  const isRecord = Number.isSafeInteger(pid) && texts.every((text) => typeof text === 'string');
  return isRecord ? ({ mountpoint, device, pid, store, project, sources, since, datum } as MountRecord) : undefined;
}

function nameOf(mountpoint: string): string {
  return createHash('sha256').update(mountpoint).digest('hex').slice(0, 16);
}

async function pathOf(
  home: Home,
  mountpoint: string,
  kind: 'json' | 'log' | 'sock' | 'datum' | 'head',
): Promise<string> {
  return join(await home.make(home.mounts), `${nameOf(mountpoint)}.${kind}`);
}
