/**
 * A step of a bisect: a commit is mounted, and a command says what it thinks of it.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { isPachError, PachError } from '../base/errors.ts';
import { kernelMounts } from '../local/kernel-mounts.ts';
import { unmountAll } from '../mount/kernel-mount.ts';
import { whereOf } from './mount-plan.ts';
import { mountProject } from './mount.ts';
import { stopTree } from './process-tree.ts';
import { mountAt, unmount } from './unmount.ts';
import type { Settings } from './settings.ts';

const mountMemoryBytes = 256e6;
const mountTimeoutMs = 60_000;

export interface Judged {
  readonly repo: string;
  readonly commit: string;
  readonly mountpoint: string;
  readonly command: readonly string[];
  readonly signal: AbortSignal;
  readonly note: (line: string) => void;
}

/** Runs the command on a commit; resolves to its exit code. Nothing stays mounted. Throws `failed` where it is ended by a signal. */
export async function judge(settings: Settings, judged: Judged): Promise<number> {
  const { repo, commit, mountpoint, signal, note } = judged;
  // Of a run that was killed, or of one whose mount was in use.
  await clearMounts(mountpoint);
  const plan = {
    ...whereOf(settings),
    mountpoint,
    sources: [`${repo}@${commit}`],
    memoryBytesMax: mountMemoryBytes,
    timeoutMs: mountTimeoutMs,
  };
  const { server } = await mountProject(settings, plan, { allowOther: false, noExec: false, signal });
  server.unref();
  try {
    return await run(judged, join(mountpoint, repo));
  } finally {
    await release(settings, mountpoint, note);
  }
}

/** Ends all mounts at a place, also while they are in use. */
export async function clearMounts(mountpoint: string): Promise<void> {
  const there = (await kernelMounts()).filter((mount) => mount.mountpoint === mountpoint);
  unmountAll(there.map((mount) => mount.mountpoint));
}

/** Unmounts. The command may have done so itself, or left a program running that uses the folder. */
async function release(settings: Settings, mountpoint: string, note: Judged['note']): Promise<void> {
  try {
    const { note: line } = await unmount(await mountAt(settings.home, mountpoint), false);
    if (line !== undefined) note(line);
  } catch (error) {
    if (isPachError(error, 'not-found')) return note('the command has unmounted PACH_BISECT_DIR');
    if (!isPachError(error, 'conflict')) throw error;
    note('a program that the command has started still uses PACH_BISECT_DIR: it keeps what it has open');
    await clearMounts(mountpoint);
  }
}

/** Its output goes where messages go: standard output has the result. */
async function run({ command, commit, signal }: Judged, folder: string): Promise<number> {
  const [program = '', ...words] = command;
  const env = { ...process.env, PACH_BISECT_DIR: folder, PACH_BISECT_COMMIT: commit };
  signal.throwIfAborted();
  const child = spawn(program, words, { stdio: ['inherit', 2, 2], env });
  const ended = new Promise<{ code: number | null; by: NodeJS.Signals | null }>((resolve, reject) => {
    child.once('error', (cause: NodeJS.ErrnoException) => {
      const missing = cause.code === 'ENOENT';
      const why = missing ? 'there is no such program' : `it can't be run (${cause.code})`;
      reject(new PachError(missing ? 'not-found' : 'denied', { what: program, why, cause }));
    });
    child.once('exit', (code, by) => resolve({ code, by }));
  });
  const stop = (): void => void stopTree(child.pid, ended);
  signal.addEventListener('abort', stop);
  try {
    const { code, by } = await ended;
    signal.throwIfAborted();
    if (code !== null) return code;
    throw new PachError('failed', { what: program, why: `it was ended by ${by}`, next: goOn });
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** For people, where a search has stopped. */
export const goOn = 'run the same command again to go on where this search has stopped';
