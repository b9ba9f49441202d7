/**
 * The store of a process in a pod, which must be the one that whoever made the pod uses.
 */
import { PachError } from '../base/errors.ts';
import { probeKey } from '../store/probe.ts';
import type { OpenProject, OpenStore } from './open.ts';
import type { Settings } from './settings.ts';

/** What was done where an engine of promoted pipelines comes from. */
export const promoted = 'the pipelines were promoted';

/** `made`: what was done by whoever made the pod. An address may lead elsewhere from within a cluster. */
export function checkStore({ pod, storeUrl }: Settings, { storeId }: Pick<OpenStore, 'storeId'>, made: string): void {
  if (pod?.storeId === undefined || pod.storeId === storeId) return;
  throw new PachError('conflict', {
    what: storeUrl,
    why: `it is another store here (${storeId}) than where ${made} (${pod.storeId})`,
    next: 'give an address that leads to the same store from everywhere: --store-in-cluster URL',
  });
}

/** Whether the engine of promoted pipelines can work here: it reaches that store, and may write to it. */
export async function tryStore(settings: Settings, opened: OpenProject): Promise<void> {
  checkStore(settings, opened, promoted);
  await opened.project.snapshot();
  // The first write of a process, whatever it is, is preceded by a look at what the store promises.
  await opened.store.delete(probeKey());
}
