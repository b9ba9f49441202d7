/**
 * Decorator: before the first write it is asked which store writes go to; reads never ask.
 */
import type { Store } from './store.ts';

/**
 * `writable` resolves to the store that writes go through (the given one as a rule), or throws why
 * nothing may be written. It is asked once, by the first write, and again only after it threw.
 */
export function guardWrites(store: Store, writable: () => Promise<Store>): Store {
  let asked: Promise<Store> | undefined;
  const target = (): Promise<Store> => {
    asked ??= writable().catch((error: unknown) => {
      asked = undefined;
      throw error;
    });
    return asked;
  };
  return {
    url: store.url,
    isLocal: store.isLocal,
    read: (...of) => store.read(...of),
    readTail: (...of) => store.readTail(...of),
    readWithToken: (...of) => store.readWithToken(...of),
    readIfChanged: (...of) => store.readIfChanged(...of),
    writeIfAbsent: async (key, parts, signal) => (await target()).writeIfAbsent(key, parts, signal),
    writeIfUnchanged: async (key, bytes, token) => (await target()).writeIfUnchanged(key, bytes, token),
    list: (prefix, signal) => store.list(prefix, signal),
    delete: async (key) => (await target()).delete(key),
    localPath: (key) => store.localPath(key),
    direct: async (key) => store.direct?.(key),
    // What is no object can't be lost to another writer.
    ...(store.leftovers && { leftovers: store.leftovers.bind(store) }),
    async close() {
      await store.close();
      const other = await asked?.catch(() => undefined);
      if (other && other !== store) await other.close();
    },
  };
}
