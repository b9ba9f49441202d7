/**
 * The folder of an engine that runs jobs on this machine: slots, code, a mount. The next engine clears
 * away the folder of one that was killed. Logs are kept for a while.
 */
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { removeTreeAsync } from '../base/remove.ts';
import { isAlive, localText, ownIdentity, parseLocal } from '../base/processes.ts';
import { unmountAll } from '../mount/kernel-mount.ts';
import type { Home } from '../local/home.ts';
import { mountTable } from '../local/kernel-mounts.ts';

/** How long the logs of a job that was broken off are kept. */
const logsKeptMs = 7 * 24 * 60 * 60 * 1000;

export interface RunFolder extends AsyncDisposable {
  readonly dir: string;
}

export async function openRunFolder(home: Home): Promise<RunFolder> {
  const all = await home.make(home.run);
  for (const name of await readdir(all)) {
    const engine = parseLocal(name);
    if (engine && isAlive(engine) === false) await clear(join(all, name));
  }
  await clearLogs(home);
  const dir = await home.make(join(all, localText(ownIdentity())));
  return { dir, [Symbol.asyncDispose]: () => clear(dir) };
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
