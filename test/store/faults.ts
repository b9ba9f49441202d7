/**
 * Decorator for tests: requests fail, before or after they were carried out, as a sequence of
 * outcomes says.
 */
import { PachError } from '../../src/base/errors.ts';
import type { Store } from '../../src/store/store.ts';

/** `refused`: not done, and an answer says so. `lost`: not done. `done`: done, the answer lost. */
export type Outcome = 'works' | 'refused' | 'lost' | 'done';

export const refused = (error: PachError) => error.why === 'refused';

/** `next` is asked once a request; a listing fails at an entry. */
export function faultyStore(store: Store, next: () => Outcome): Store {
  const fail = (why: string) => new PachError('unreachable', { what: store.url, why });
  const call = async <T>(work: () => Promise<T>): Promise<T> => {
    const outcome = next();
    if (outcome === 'refused' || outcome === 'lost') throw fail(outcome);
    const result = await work();
    if (outcome === 'done') throw fail('done');
    return result;
  };
  return {
    url: store.url,
    read: (key, offset, length) => call(() => store.read(key, offset, length)),
    readTail: (key, length) => call(() => store.readTail(key, length)),
    readWithToken: (key) => call(() => store.readWithToken(key)),
    writeIfAbsent: (key, parts) => call(() => store.writeIfAbsent(key, parts)),
    writeIfUnchanged: (key, bytes, token) => call(() => store.writeIfUnchanged(key, bytes, token)),
    async *list(prefix) {
      for await (const info of store.list(prefix)) {
        if (next() !== 'works') throw fail('lost');
        yield info;
      }
    },
    delete: (key) => call(() => store.delete(key)),
    localPath: (key) => store.localPath(key),
    close: () => store.close(),
  };
}
