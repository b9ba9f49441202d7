/**
 * Mounting as the command does it: check, mount, start the server, wait until it answers.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { lstat, mkdir, readdir, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PachError } from '../base/errors.ts';
import { askMount, kernelMounts, listMountRecords, mountLogPath } from '../local/mounts.ts';
import { encodeHead } from '../model/records/head.ts';
import { closeKernel, mountKernel, openKernel, unmountKernel, type KernelConnection } from '../mount/kernel-mount.ts';
import type { MountOptions } from '../mount/fuse-native.ts';
import { ProjectView } from '../mount/project-view.ts';
import { isS3 } from '../store/s3-url.ts';
import { mountSources, type MountPlan } from './mount-plan.ts';
import { openProject } from './open.ts';
import type { ServeMessage } from './serve-mount.ts';
import type { Settings } from './settings.ts';

/** The kernel takes no more than a page. */
const sourceBytesMax = 4000;

export interface Mounted {
  /** The server's supervisor; it outlives this process unless it is waited for. */
  readonly server: ChildProcess;
  /** Resolves to the server's exit code. */
  readonly ended: Promise<number>;
}

/** Who may do what with the files of a mount. */
export type MountAccess = Pick<MountOptions, 'allowOther' | 'noExec'>;

/** Mounts, and resolves when the mount answers. Nothing is left behind when it fails. */
export async function mountProject(
  settings: Settings,
  asked: Omit<MountPlan, 'head'>,
  access: MountAccess,
  signal: AbortSignal,
): Promise<Mounted> {
  const { mountpoint } = asked;
  const connection = openKernel();
  try {
    // The server comes up while we look whether all is well; it waits for its plan.
    const mounted = startServer(connection, asked.storeUrl, await mountLogPath(settings.home, mountpoint));
    try {
      const plan = { ...asked, head: await pinHead(settings, asked) };
      await checkMountpoint(settings, mountpoint);
      signal.throwIfAborted();
      mountKernel(connection, mountpoint, { source: sourceName(plan.sources), ...access });
      try {
        await serving(mounted, plan);
        signal.throwIfAborted();
        return mounted;
      } catch (error) {
        unmountKernel(mountpoint, true);
        throw error;
      }
    } finally {
      mounted.server.stdin?.end();
    }
  } finally {
    closeKernel(connection);
  }
}

/** The absolute path of a mountpoint, without touching what may be mounted there. */
export async function mountpointPath(text: string): Promise<string> {
  const path = resolve(text);
  if (path === '/') throw new PachError('usage', { what: path, why: 'it can not be a mountpoint' });
  const parent = await realpath(dirname(path)).catch((error: NodeJS.ErrnoException) => {
    const why =
      error.code === 'ENOENT' ? 'its parent folder does not exist' : `its parent folder can't be used (${error.code})`;
    throw new PachError('not-found', { what: text, why, next: `mkdir -p ${text}`, cause: error });
  });
  return join(parent, basename(path));
}

/** The head to show. Everything that can be wrong with the sources is said before anything is mounted. */
async function pinHead(settings: Settings, plan: Omit<MountPlan, 'head'>): Promise<string> {
  await using opened = await openProject(settings, { cacheDir: plan.cacheDir });
  const snapshot = await opened.project.snapshot();
  await ProjectView.open(snapshot, opened.project.reader, await mountSources(snapshot, plan.sources), {
    readaheadBytesMax: 0,
  });
  return encodeHead(snapshot.head).toString('base64');
}

async function checkMountpoint(settings: Settings, mountpoint: string): Promise<void> {
  if ((await kernelMounts()).some((mount) => mount.mountpoint === mountpoint)) {
    const ours = (await listMountRecords(settings.home)).some((record) => record.mountpoint === mountpoint);
    if (!ours || (await askMount(settings.home, mountpoint)) !== undefined) {
      throw new PachError('conflict', {
        what: mountpoint,
        why: 'something is mounted there already',
        next: `pach unmount ${mountpoint}`,
      });
    }
    unmountKernel(mountpoint, true); // its server is gone, and nobody can use it any more
  }
  const info = await lstat(mountpoint).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new PachError('failed', {
      what: mountpoint,
      why: `it can't be used (${error.code})`,
      next: `umount -l ${mountpoint}`,
      cause: error,
    });
  });
  if (!info) {
    await mkdir(mountpoint).catch((error: NodeJS.ErrnoException) => {
      throw new PachError('denied', { what: mountpoint, why: `it can't be made (${error.code})`, cause: error });
    });
    return;
  }
  if (!info.isDirectory()) throw new PachError('usage', { what: mountpoint, why: 'it is no folder' });
  const names = await readdir(mountpoint).catch((error: NodeJS.ErrnoException) => {
    throw new PachError('denied', { what: mountpoint, why: `it can't be read (${error.code})`, cause: error });
  });
  if (names.length > 0) {
    throw new PachError('conflict', {
      what: mountpoint,
      why: 'it is in use: there are files in it, which a mount would hide',
      next: 'choose an empty folder',
    });
  }
}

/**
 * What the system shows as the source of a mount, as a line in /etc/fstab says it: `mount -a` leaves
 * alone what is mounted from there already.
 */
function sourceName(sources: readonly string[]): string {
  const name = sources.map((source) => source.replaceAll(',', String.raw`\,`)).join(',');
  return name === '' || Buffer.byteLength(name) > sourceBytesMax ? 'pachmount' : name;
}

function startServer({ device, table }: KernelConnection, storeUrl: string, logPath: string): Mounted {
  const entry = fileURLToPath(new URL('../bundle/serve-main.cjs', import.meta.url));
  const supervisor = fileURLToPath(new URL('../../native/build/supervisor', import.meta.url));
  // Node reads further authorities as it starts, 80 ms for a system's whole list, of no use to a folder.
  const { NODE_EXTRA_CA_CERTS: _authorities, ...environment } = process.env;
  const log = openSync(logPath, 'a', 0o600);
  try {
    const server = spawn(supervisor, [process.execPath, '--max-semi-space-size=4', entry], {
      stdio: ['pipe', log, log, 'ipc', device, table],
      env: isS3(storeUrl) ? process.env : environment,
      cwd: '/',
      detached: true,
    });
    server.stdin?.on('error', () => undefined);
    const ended = new Promise<number>((done) =>
      server.once('exit', (code) => done(code ?? 1)).once('error', () => done(1)),
    );
    return { server, ended };
  } finally {
    closeSync(log);
  }
}

/** Gives the server its plan, and resolves when it serves. */
async function serving({ server, ended }: Mounted, plan: MountPlan): Promise<void> {
  server.stdin?.end(JSON.stringify(plan));
  const answer = new Promise<ServeMessage>((done) =>
    server.once('message', (message) => done(message as ServeMessage)),
  );
  const message = await Promise.race([
    answer,
    ended.then((code): ServeMessage => ({ failed: `its server ended with ${code}` })),
  ]);
  if ('failed' in message) {
    throw new PachError('failed', { what: plan.mountpoint, why: `it could not be served: ${message.failed}` });
  }
}
