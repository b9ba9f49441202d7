/**
 * A copy of a store, object by object.
 */
import { MemoryStore } from '../../src/store/memory.ts';
import type { Store } from '../../src/store/store.ts';
import { bytesAt } from './fsck-store.ts';

export async function copyOf(store: Store): Promise<Store> {
  const copy = new MemoryStore();
  for await (const { key } of store.list('')) await copy.writeIfAbsent(key, [await bytesAt(store, key)]);
  return copy;
}
