/**
 * Removing what other programs have left: also where they took rights away, or made folders so deep
 * that no path leads to their end.
 */
import { randomUUID } from 'node:crypto';
import { chmodSync, lstatSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';

/** Longer paths are not used; the system takes some more. */
const pathBytesMax = 2000;
const slash = Buffer.from('/');

/** Removes a file or a folder with all in it. Throws the error of the system for what can't be removed. */
export function removeTree(path: Buffer): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    const beside = Buffer.from(`${dirname(path.toString('latin1'))}/`, 'latin1');
    const waiting = [path];
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      giveRights(next, (deep) => {
        const moved = Buffer.concat([beside, Buffer.from(randomUUID())]);
        renameSync(deep, moved);
        waiting.push(moved);
      });
      rmSync(next, { recursive: true, force: true });
    }
  }
}

/** Opens folders to their owner; hands those to `tooDeep` that lie too deep to be removed from here. */
function giveRights(path: Buffer, tooDeep: (folder: Buffer) => void): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return;
  chmodSync(path, 0o700);
  for (const name of readdirSync(path, { encoding: 'buffer' })) {
    const below = Buffer.concat([path, slash, name]);
    if (below.length <= pathBytesMax) giveRights(below, tooDeep);
    else if (lstatSync(below).isDirectory()) tooDeep(below);
  }
}
