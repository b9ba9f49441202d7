/**
 * Decorator: tells an observer of each request to a store, with what went over the seam. Failed
 * requests count too.
 */
import type { Store } from './store.ts';

export type StoreVerb =
  | 'read'
  | 'readTail'
  | 'readWithToken'
  | 'readIfChanged'
  | 'writeIfAbsent'
  | 'writeIfUnchanged'
  | 'list'
  | 'delete';

export interface StoreObserver {
  /** Native code may not read past it. Who lets it does so because that is counted elsewhere. */
  readonly seesAll: boolean;
  /** Carries out a request; `amount` says how many of the object's bytes went over the seam, in either direction. */
  note<T>(verb: StoreVerb, key: string, request: () => Promise<T>, amount: (result: T) => number): Promise<T>;
  /** A listing begins: its entries are added to `amount` as they come. */
  noteList(prefix: string): { amount: number };
}

/** The same store; the observer is told what is asked of it from now on. */
export function observeStore(store: Store, observer: StoreObserver): Store {
  return {
    url: store.url,
    isLocal: store.isLocal,
    read: (key, offset, length, deadline) =>
      observer.note('read', key, () => store.read(key, offset, length, deadline), lengthOf),
    readTail: (key, length, deadline) =>
      observer.note(
        'readTail',
        key,
        () => store.readTail(key, length, deadline),
        ({ bytes }) => bytes.length,
      ),
    readWithToken: (key, deadline) =>
      observer.note(
        'readWithToken',
        key,
        () => store.readWithToken(key, deadline),
        (found) => found?.bytes.length ?? 0,
      ),
    readIfChanged: (key, token, deadline) =>
      observer.note(
        'readIfChanged',
        key,
        () => store.readIfChanged(key, token, deadline),
        (found) => (found === undefined || found === 'unchanged' ? 0 : found.bytes.length),
      ),
    writeIfAbsent: (key, parts, signal) =>
      observer.note(
        'writeIfAbsent',
        key,
        () => store.writeIfAbsent(key, parts, signal),
        () => parts.reduce((total, part) => total + part.length, 0),
      ),
    writeIfUnchanged: (key, bytes, token) =>
      observer.note(
        'writeIfUnchanged',
        key,
        () => store.writeIfUnchanged(key, bytes, token),
        () => bytes.length,
      ),
    async *list(prefix, signal) {
      const noted = observer.noteList(prefix);
      for await (const info of store.list(prefix, signal)) {
        noted.amount += 1;
        yield info;
      }
    },
    delete: (key) =>
      observer.note(
        'delete',
        key,
        () => store.delete(key),
        () => 0,
      ),
    localPath: (key) => store.localPath(key),
    ...(store.direct && !observer.seesAll && { direct: store.direct.bind(store) }),
    ...(store.leftovers && { leftovers: store.leftovers.bind(store) }),
    close: () => store.close(),
  };
}

const lengthOf = (bytes: Uint8Array): number => bytes.length;
