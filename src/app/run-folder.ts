/**
 * The folder of an engine that runs jobs on this machine: slots, code, a mount. The next engine clears
 * away the folder of one that was killed. Logs are kept for a while.
 */
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { removeTreeAsync } from '../base/remove.ts';
import { isAlive, isOwn, localText, ownIdentity, parseLocal } from '../base/processes.ts';
import { unmountAll } from '../mount/kernel-mount.ts';
import type { Home } from '../local/home.ts';
import { mountTable } from '../local/kernel-mounts.ts';

/** How long the logs of a job that was broken off are kept. */
const logsKeptMs = 7 * 24 * 60 * 60 * 1000;

export interface RunFolder extends AsyncDisposable {
  readonly dir: string;
}

/** Names of the folders of this process's engines. One that is none of these was left by an engine that has ended. */
const inUse = new Set<string>();
let engines = 0;

export async function openRunFolder(home: Home): Promise<RunFolder> {
  const all = await home.make(home.run);
  for (const name of await readdir(all)) if (isLeft(name)) await clear(join(all, name));
  await clearLogs(home);
  const name = `${localText(ownIdentity())}-${(engines += 1)}`;
  // Before it is there: another engine of this process may look at any time.
  inUse.add(name);
  const dir = await home.make(join(all, name));
  return {
    dir,
    async [Symbol.asyncDispose]() {
      await clear(dir);
      inUse.delete(name);
    },
  };
}

function isLeft(name: string): boolean {
  // Older programs had one engine a process, and no number.
  const engine = parseLocal(name.replace(/-\d+$/, ''));
  if (!engine || inUse.has(name)) return false;
  return isAlive(engine) === false || isOwn(engine);
}

/** Ids of the jobs that have logs on this machine. */
export async function jobsWithLogs(home: Home): Promise<string[]> {
  const names = (await home.has(home.logs)) ? await readdir(home.logs) : [];
  return names.filter((name) => /^[0-9a-f]{32}$/.test(name));
}

async function clearLogs(home: Home): Promise<void> {
  for (const name of await jobsWithLogs(home)) {
    const path = join(home.logs, name);
    const info = await lstat(path).catch(() => undefined);
    if (info?.isDirectory() === true && info.mtimeMs < Date.now() - logsKeptMs) await removeTreeAsync(path);
  }
}

/** Unmounts what is mounted below first, innermost first, so that nothing is removed through a mount. */
async function clear(dir: string): Promise<void> {
  const places = (await mountTable()).map(({ mountpoint }) => mountpoint);
  unmountAll(places.filter((place) => place.startsWith(`${dir}/`)).toReversed());
  try {
    await removeTreeAsync(dir);
  } catch {
    // The next engine tries again.
  }
}
