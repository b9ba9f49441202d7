/**
 * The projects of a store.
 */
import { headKey } from '../model/keys.ts';
import type { Store } from '../store/store.ts';

/** Names of all projects, sorted. */
export async function listProjects(store: Store): Promise<string[]> {
  const names = new Set<string>();
  for await (const { key } of store.list('projects/')) {
    const name = key.split('/')[1];
    if (name !== undefined && key === headKey(name)) names.add(name);
  }
  return [...names].sort();
}
