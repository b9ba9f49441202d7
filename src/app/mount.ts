/**
 * Mounting as the command does it: check, mount, start the server, wait until it answers.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readlinkSync } from 'node:fs';
import { lstat, mkdir, readdir, readlink, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { timeoutMsDefault } from '../base/deadline.ts';
import { PachError } from '../base/errors.ts';
import { shellWord } from '../base/shell.ts';
import { utf8Path } from '../base/utf8-path.ts';
import { kernelMounts } from '../local/kernel-mounts.ts';
import { endDatum, showDatum, type MountedDatum } from '../local/mounted-datum.ts';
import { askMount, keepShownHead, listMounts, mountLogPath } from '../local/mounts.ts';
import { parseAddress } from '../model/address.ts';
import { encodeHead } from '../model/records/head.ts';
import { closeKernel, mountKernel, openKernel, unmountKernel, type KernelConnection } from '../mount/kernel-mount.ts';
import type { MountOptions } from '../mount/fuse-addon.ts';
import { ProjectView } from '../mount/project-view.ts';
import { isS3 } from '../store/s3/url.ts';
import { datumToMount, type DatumChoice } from './datum-mount.ts';
import { mountSources, type MountPlan } from './mount-plan.ts';
import { openProject } from './open.ts';
import type { ServeMessage } from './serve-mount.ts';
import type { Settings } from './settings.ts';

/** The kernel takes no more than a page. */
const sourceBytesMax = 4000;
/** As many links as the kernel follows. */
const linksMax = 40;

export interface Mounted {
  /** The server's supervisor; it outlives this process unless it is waited for. */
  readonly server: ChildProcess;
  /** Resolves to the server's exit code. */
  readonly ended: Promise<number>;
  readonly datum?: MountedDatum | undefined;
}

export interface MountManner extends Pick<MountOptions, 'allowOther' | 'noExec'> {
  readonly signal: AbortSignal;
  /** The mountpoint as the user typed it, where it might as well be meant for a repo. */
  readonly typed?: string | undefined;
  /** Shows this datum instead of repos. */
  readonly datum?: DatumChoice | undefined;
}

/** What is to be shown. */
interface Prepared {
  readonly head: string;
  readonly datum: MountedDatum | undefined;
}

/** Mounts, and resolves when the mount answers. Nothing is left behind when it fails. */
export async function mountProject(
  settings: Settings,
  asked: Omit<MountPlan, 'head' | 'showsDatum'>,
  { signal, typed, datum: choice, ...access }: MountManner,
): Promise<Mounted> {
  const { mountpoint } = asked;
  const connection = openKernel();
  try {
    // The server comes up while we look whether all is well; it waits for its plan.
    const mounted = startServer(connection, asked.storeUrl, await mountLogPath(settings.home, mountpoint));
    try {
      const { head, datum } = await prepare(settings, asked, { typed, choice });
      const plan = { ...asked, showsDatum: datum !== undefined, head };
      await checkMountpoint(settings, mountpoint);
      signal.throwIfAborted();
      if (datum) await showDatum(settings.home, mountpoint, datum);
      // What a mount left there whose server was killed.
      if (plan.follows) await keepShownHead(settings.home, mountpoint, undefined);
      try {
        mountKernel(connection, mountpoint, { source: sourceName(plan.sources), ...access });
        try {
          await serving(mounted, plan);
          signal.throwIfAborted();
          return { ...mounted, datum };
        } catch (error) {
          unmountKernel(mountpoint, true);
          throw error;
        }
      } catch (error) {
        if (datum) await endDatum(settings.home, mountpoint, datum.out);
        throw error;
      }
    } finally {
      mounted.server.stdin?.end();
    }
  } finally {
    closeKernel(connection);
  }
}

/** The absolute path of a mountpoint, with links followed, without touching what may be mounted there. */
export async function mountpointPath(text: string): Promise<string> {
  let path = resolve(utf8Path(text));
  for (let links = 0; links < linksMax; links += 1) {
    if (path === '/') throw new PachError('usage', { what: path, why: "it can't be a mountpoint" });
    const parent = await realpath(dirname(path)).catch((error: NodeJS.ErrnoException) => error);
    if (parent instanceof Error) throw noFolder(text, path, links, parent);
    path = join(parent, basename(path));
    // This asks the folder that holds the name, and no file system that is mounted under it.
    const target = await readlink(path).catch((error: NodeJS.ErrnoException) => error);
    if (target instanceof Error) {
      if (links > 0 && target.code === 'ENOENT') throw noFolder(text, path, links, target);
      return path;
    }
    path = resolve(parent, target);
  }
  throw new PachError('usage', { what: text, why: 'its symbolic links form a loop' });
}

/**
 * The last word of a command line, which may be a repo when the mountpoint was forgotten: the name of that
 * repo, or undefined when the word is a path. Throws `usage` for the address of a version.
 */
export function maybeRepoName(word: string, sources: readonly string[]): string | undefined {
  const repoIn = (text: string): string => text.split(/[@:]/)[0] as string;
  const name = repoIn(word);
  if (/^\.{0,2}\//.test(word) || (name.includes('/') && isThere(dirname(name))) || isThere(word)) return undefined;
  if (name === word) {
    // The repo itself may be shown in a folder of its name.
    return /^[\w-]+$/.test(word) && !sources.some((source) => repoIn(source) === word) ? word : undefined;
  }
  try {
    parseAddress(word.replace(/\+[rw]$/, ''));
  } catch {
    return undefined;
  }
  throw noMountpoint(word, sources);
}

/** True when the name exists. Does not stat what is mounted there: a server that hangs would not answer. */
function isThere(path: string): boolean {
  try {
    readlinkSync(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}

function noMountpoint(word: string, sources: readonly string[]): PachError {
  return new PachError('usage', {
    what: word,
    why: `the mountpoint is missing: the last word must be the folder to mount at${word.includes('/') ? '' : `. For a new folder of this name write ./${word}`}`,
    next: `${['pachmount', ...sources, word].map(shellWord).join(' ')} ~/pfs`,
  });
}

/** Why a path can't be a mountpoint: what it lies in is not there, or what it leads to as a link. */
function noFolder(text: string, path: string, links: number, cause: NodeJS.ErrnoException): PachError {
  const what = { what: text, cause };
  if (cause.code !== 'ENOENT') {
    return new PachError('not-found', { ...what, why: `its parent folder can't be used (${cause.code})` });
  }
  const why = links > 0 ? `it is a symbolic link to ${path}, which does not exist` : 'its parent folder does not exist';
  return new PachError('not-found', { ...what, why, next: `mkdir -p ${shellWord(links > 0 ? path : text)}` });
}

/** Everything that can be wrong with what is to be shown is said before anything is mounted. */
async function prepare(
  settings: Settings,
  plan: Omit<MountPlan, 'head' | 'showsDatum'>,
  { typed, choice }: { readonly typed: string | undefined; readonly choice: DatumChoice | undefined },
): Promise<Prepared> {
  await using opened = await openProject(settings, {
    cacheDir: plan.cacheDir,
    timeoutMs: Math.min(plan.timeoutMs, timeoutMsDefault),
  });
  const snapshot = await opened.project.snapshot();
  const datum = choice && (await datumToMount(settings, choice, snapshot));
  if (!datum) {
    if (typed !== undefined && (await snapshot.maybeRepo(typed))) throw noMountpoint(typed, plan.sources);
    await ProjectView.open(snapshot, opened.project.reader, await mountSources(snapshot, plan.sources), {
      readaheadBytesMax: 0,
    });
  }
  return { head: encodeHead(snapshot.head).toString('base64'), datum };
}

async function checkMountpoint(settings: Settings, mountpoint: string): Promise<void> {
  if ((await kernelMounts()).some((mount) => mount.mountpoint === mountpoint)) {
    const ours = (await listMounts(settings.home)).mounts.some((mount) => mount.mountpoint === mountpoint);
    if (!ours || (await askMount(settings.home, mountpoint)) !== undefined) {
      throw new PachError('conflict', {
        what: mountpoint,
        why: 'something is already mounted there',
        next: `pach unmount ${shellWord(mountpoint)}`,
      });
    }
    unmountKernel(mountpoint, true); // its server is gone, and nobody can use it any more
  }
  const info = await lstat(mountpoint).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new PachError('failed', {
      what: mountpoint,
      why: `it can't be used (${error.code})`,
      next: `umount -l ${shellWord(mountpoint)}`,
      cause: error,
    });
  });
  if (!info) {
    await mkdir(mountpoint).catch((error: NodeJS.ErrnoException) => {
      throw new PachError('denied', { what: mountpoint, why: `pach can't make it (${error.code})`, cause: error });
    });
    return;
  }
  if (!info.isDirectory()) throw new PachError('usage', { what: mountpoint, why: 'it is not a folder' });
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
  // Node reads these authorities as it starts, which takes 80 ms. A folder store needs none.
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
    ended.then((code): ServeMessage => ({ failed: `its server ended with exit code ${code}` })),
  ]);
  if ('failed' in message) {
    throw new PachError('failed', { what: plan.mountpoint, why: `the server could not start: ${message.failed}` });
  }
}
