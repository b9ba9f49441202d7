/**
 * The store of a process in a pod, which must be the one that whoever made the pod uses.
 */
import { PachError } from '../base/errors.ts';
import type { OpenStore } from './open.ts';
import type { Settings } from './settings.ts';

/** `made`: what was done by whoever made the pod. An address may lead elsewhere from within a cluster. */
export function checkStore({ pod, storeUrl }: Settings, { storeId }: Pick<OpenStore, 'storeId'>, made: string): void {
  if (pod?.storeId === undefined || pod.storeId === storeId) return;
  throw new PachError('conflict', {
    what: storeUrl,
    why: `it is another store here (${storeId}) than where ${made} (${pod.storeId})`,
    next: 'give an address that leads to the same store from everywhere: --store-in-cluster URL',
  });
}
