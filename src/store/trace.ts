/**
 * Decorator: counts what is asked of a store, for tests and benchmarks. Failed requests count too.
 */
import type { Store } from './store.ts';

type Verb = 'read' | 'readTail' | 'readWithToken' | 'writeIfAbsent' | 'writeIfUnchanged' | 'list' | 'delete';

interface TracedRequest {
  readonly verb: Verb;
  /** The prefix, for `list`. */
  readonly key: string;
  /** Of the object's bytes, those that went over the seam in either direction; entries of a list. */
  amount: number;
}

export class Trace {
  /** In the order in which they began. */
  readonly requests: TracedRequest[] = [];

  /** How many requests of these verbs (of all when none is named). */
  count(...verbs: readonly Verb[]): number {
    return this.select(verbs).length;
  }

  get bytesRead(): number {
    return this.sum('read', 'readTail', 'readWithToken');
  }

  get bytesWritten(): number {
    return this.sum('writeIfAbsent', 'writeIfUnchanged');
  }

  reset(): void {
    this.requests.length = 0;
  }

  /** Notes that a request begins. */
  begin(verb: Verb, key: string): TracedRequest {
    const request = { verb, key, amount: 0 };
    this.requests.push(request);
    return request;
  }

  private sum(...verbs: readonly Verb[]): number {
    return this.select(verbs).reduce((total, request) => total + request.amount, 0);
  }

  private select(verbs: readonly Verb[]): TracedRequest[] {
    return this.requests.filter(({ verb }) => verbs.length === 0 || verbs.includes(verb));
  }
}

/** The same store, and the counts of what is asked of it from now on. */
export function traceStore(store: Store): { store: Store; counts: Trace } {
  const counts = new Trace();
  const traced: Store = {
    url: store.url,
    async read(key, offset, length) {
      const request = counts.begin('read', key);
      const bytes = await store.read(key, offset, length);
      request.amount = bytes.length;
      return bytes;
    },
    async readTail(key, length) {
      const request = counts.begin('readTail', key);
      const tail = await store.readTail(key, length);
      request.amount = tail.bytes.length;
      return tail;
    },
    async readWithToken(key) {
      const request = counts.begin('readWithToken', key);
      const found = await store.readWithToken(key);
      request.amount = found?.bytes.length ?? 0;
      return found;
    },
    async writeIfAbsent(key, parts) {
      const request = counts.begin('writeIfAbsent', key);
      const written = await store.writeIfAbsent(key, parts);
      request.amount = parts.reduce((total, part) => total + part.length, 0);
      return written;
    },
    async writeIfUnchanged(key, bytes, token) {
      const request = counts.begin('writeIfUnchanged', key);
      const written = await store.writeIfUnchanged(key, bytes, token);
      request.amount = bytes.length;
      return written;
    },
    async *list(prefix) {
      const request = counts.begin('list', prefix);
      for await (const info of store.list(prefix)) {
        request.amount += 1;
        yield info;
      }
    },
    async delete(key) {
      counts.begin('delete', key);
      await store.delete(key);
    },
    localPath: (key) => store.localPath(key),
    close: () => store.close(),
  };
  return { store: traced, counts };
}
