/**
 * A head that the store does not have: of a project that was never made, or one that is not shown.
 */
import { lstat } from 'node:fs/promises';
import { PachError } from '../base/errors.ts';
import { headKey, projectPrefix } from '../model/keys.ts';
import type { Store } from '../store/store.ts';

/** True when the store has no head of a project, but other objects. Throws `damaged` for a folder in its place. */
export async function missesHead(store: Store, name: string): Promise<boolean> {
  await checkNoFolder(store, headKey(name));
  try {
    for await (const { key } of store.list(projectPrefix(name))) if (key !== headKey(name)) return true;
  } catch {
    // Who may not list is told that there is no project.
  }
  return false;
}

/** What to say of it. `isKnown`: the store has other objects of the project. */
export function noHead(store: Store, name: string, isKnown: boolean): PachError {
  const what = `project ${name}`;
  if (!isKnown) {
    const why = `there is no such project in ${store.url}`;
    return new PachError('not-found', { what, why, next: `pach create project ${name}` });
  }
  return new PachError('not-found', {
    what,
    why: `${store.url} has objects of this project, but does not show its head (${headKey(name)})`,
    next: 'run the command again; if this goes on, restore the head from a copy of the store',
  });
}

/** For a store, a folder is no object, and so not there. */
async function checkNoFolder(store: Store, key: string): Promise<void> {
  const path = store.localPath(key);
  if (path === undefined || !(await lstat(path).catch(() => undefined))?.isDirectory()) return;
  throw new PachError('damaged', {
    what: path,
    why: 'it is a folder, where the store has a file',
    next: 'find out who put it there, and restore the file from a copy of the store',
  });
}
