/**
 * Decorator: at most so many requests of one store at a time; others wait in order. Pages of a
 * listing are not counted, as its consumer may make requests between them.
 */
import { Semaphore } from '../base/async.ts';
import type { Store } from './store.ts';

export function limitStore(store: Store, requestsMax: number): Store {
  const limit = new Semaphore(requestsMax);
  return {
    url: store.url,
    read: (key, offset, length) => limit.run(() => store.read(key, offset, length)),
    readTail: (key, length) => limit.run(() => store.readTail(key, length)),
    readWithToken: (key) => limit.run(() => store.readWithToken(key)),
    writeIfAbsent: (key, parts) => limit.run(() => store.writeIfAbsent(key, parts)),
    writeIfUnchanged: (key, bytes, token) => limit.run(() => store.writeIfUnchanged(key, bytes, token)),
    list: (prefix) => store.list(prefix),
    delete: (key) => limit.run(() => store.delete(key)),
    localPath: (key) => store.localPath(key),
    direct: async (key) => store.direct?.(key),
    close: () => store.close(),
  };
}
