/**
 * What writers to a folder store leave behind when they are killed: files in `.tmp` that never got the
 * name of an object. A writer locks its file (flock) before the first byte, until the file has its name.
 * So what has bytes and no lock has no writer, whichever container or machine that ran in.
 */
import { randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { lstat, open, readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { native } from '../base/native.ts';
import { removeOne } from '../base/remove.ts';
import type { Leftovers } from './store.ts';

/** Longer than any write lasts. Beyond this age, empty files and files whose lock can't be checked are abandoned too. */
export const staleMs = 24 * 3600 * 1000;

const shape = /^\d+-[0-9a-f]{16}$/;

/** A name in `.tmp` that nobody else has or knows. */
export function temporaryName(): string {
  return `${process.pid}-${randomBytes(8).toString('hex')}`;
}

/**
 * What dead writers left in the folder `.tmp` and nobody touched for `untouchedMs`. With 0 times are not
 * looked at, since clocks jump. With `remove` it is removed, and what can't be removed is not counted.
 */
export async function leftovers(temporary: string, untouchedMs: number, remove: boolean): Promise<Leftovers> {
  let files = 0;
  let bytes = 0;
  const root = `${dirname(temporary)}/`;
  // A link in its place is not followed.
  const folder = await lstat(temporary).catch(() => undefined);
  for (const name of folder?.isDirectory() ? await readdir(temporary) : []) {
    if (!shape.test(name)) continue;
    const path = join(temporary, name);
    // Others may clean up at the same time.
    const found = await lstat(path).catch(() => undefined);
    const ageMs = Date.now() - (found?.mtimeMs ?? 0);
    if (!found || (untouchedMs > 0 && ageMs < untouchedMs) || !(await isDead(path, found, ageMs >= staleMs))) continue;
    const gone = !remove || (await removed(root, join(basename(temporary), name)));
    if (!gone || !found.isFile()) continue;
    files += 1;
    // Killed after link(2): then the bytes belong to an object.
    if (found.nlink === 1) bytes += found.size;
  }
  return { files, bytes };
}

/** False when the user has no right to remove it. */
function removed(root: string, path: string): Promise<boolean> {
  return removeOne(root, path).then(
    () => true,
    () => false,
  );
}

async function isDead(path: string, found: Stats, stale: boolean): Promise<boolean> {
  if (!found.isFile()) return stale && found.isDirectory();
  // Its writer may be about to lock it.
  if (found.size === 0) return stale;
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    return native().tryLock(file.fd);
  } catch {
    return stale;
  }
}
