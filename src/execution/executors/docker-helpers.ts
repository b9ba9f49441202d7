/**
 * The folder that a container has as /pach-bin, read-only: the launcher under its names, the socket
 * to which it connects, and the place where it sees what was written to the container's root.
 */
import { chmod, mkdir, rmdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type Docker from 'dockerode';
import { removeTreeAsync } from '../../base/remove.ts';

export interface Helpers {
  readonly dir: string;
  /** In `dir`; the engine listens there. */
  readonly socket: string;
  /** Beside `dir`; an empty folder until `showChanges`. */
  readonly changes: string;
}

/** Makes it anew below `folder`, for a container that is to be made. */
export async function makeHelpers(folder: string): Promise<Helpers> {
  const helpers = { dir: join(folder, 'bin'), socket: join(folder, 'bin/engine'), changes: join(folder, 'changes') };
  // A worker that was killed may have left them, or the container before this one.
  for (const path of [helpers.dir, helpers.changes]) await removeTreeAsync(path);
  await mkdir(join(helpers.dir, 'changes'), { recursive: true });
  await mkdir(helpers.changes);
  await writeFile(join(helpers.dir, 'launcher'), '');
  for (const name of ['next', 'pachctl']) await symlink('launcher', join(helpers.dir, name));
  // Commands may be any user.
  await chmod(helpers.dir, 0o755);
  return helpers;
}

/**
 * Before the container's start: where its root is an overlay, has its upper folder at `changes`, which Docker mounts
 * only then. It need not be a folder that this process may read.
 */
export async function showChanges({ changes }: Helpers, container: Docker.ContainerInspectInfo): Promise<void> {
  const upper = (container.GraphDriver?.Data as { UpperDir?: unknown } | null | undefined)?.UpperDir;
  if (typeof upper !== 'string') return;
  await rmdir(changes);
  await symlink(upper, changes);
}
