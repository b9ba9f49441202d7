/**
 * The projects of a store.
 */
import { mapOrdered } from '../base/async.ts';
import { headKey, projectPrefix } from '../model/keys.ts';
import type { Store } from '../store/store.ts';
import { noHead } from './no-head.ts';
import type { Project } from './project.ts';

const deletesMax = 16;

/** Names of all projects, sorted. */
export async function listProjects(store: Store): Promise<string[]> {
  const names = new Set<string>();
  for await (const { key } of store.list('projects/')) {
    const name = key.split('/')[1];
    if (name !== undefined && key === headKey(name)) names.add(name);
  }
  return [...names].sort();
}

/**
 * Deletes a project, also one that is damaged or half deleted: its head first, so that whoever writes to
 * it meanwhile finds none; then the objects that were there before, and none of another project of the
 * same name. Throws `not-found` where there is nothing of it.
 */
export async function deleteProject(
  { options: { store, name } }: Project,
  signal: AbortSignal,
): Promise<{ readonly objects: number; readonly bytes: number }> {
  const objects: { readonly key: string; readonly size: number }[] = [];
  for await (const object of store.list(projectPrefix(name), signal)) objects.push(object);
  if (objects.length === 0) throw noHead(store, name, false);
  await store.delete(headKey(name));
  const deletes = mapOrdered(objects, deletesMax, ({ key }) => store.delete(key));
  for await (const _ of deletes) signal.throwIfAborted();
  return { objects: objects.length, bytes: objects.reduce((sum, { size }) => sum + size, 0) };
}
