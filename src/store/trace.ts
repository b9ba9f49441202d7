/**
 * Decorator: counts what is asked of a store, for tests and benchmarks. Failed requests count too.
 */
import type { Store } from './store.ts';

type Verb =
  | 'read'
  | 'readTail'
  | 'readWithToken'
  | 'readIfChanged'
  | 'writeIfAbsent'
  | 'writeIfUnchanged'
  | 'list'
  | 'delete';

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
    return this.sum('read', 'readTail', 'readWithToken', 'readIfChanged');
  }

  get bytesWritten(): number {
    return this.sum('writeIfAbsent', 'writeIfUnchanged');
  }

  reset(): void {
    this.requests.length = 0;
    this.rounds = 0;
  }

  /**
   * Round trips one after another: requests that began while another was under way go with it.
   */
  rounds = 0;
  private underWay = 0;

  /** Carries out a request and notes it; `amount` says how much went over the seam. */
  async note<T>(verb: Verb, key: string, request: () => Promise<T>, amount: (result: T) => number): Promise<T> {
    const noted = { verb, key, amount: 0 };
    this.requests.push(noted);
    if (this.underWay === 0) this.rounds += 1;
    this.underWay += 1;
    try {
      const result = await request();
      noted.amount = amount(result);
      return result;
    } finally {
      this.underWay -= 1;
    }
  }

  /** Notes a listing, whose entries are counted as they come. */
  noteList(prefix: string): TracedRequest {
    const noted: TracedRequest = { verb: 'list', key: prefix, amount: 0 };
    this.requests.push(noted);
    if (this.underWay === 0) this.rounds += 1;
    return noted;
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
    isLocal: store.isLocal,
    read: (key, offset, length) => counts.note('read', key, () => store.read(key, offset, length), lengthOf),
    readTail: (key, length) =>
      counts.note(
        'readTail',
        key,
        () => store.readTail(key, length),
        ({ bytes }) => bytes.length,
      ),
    readWithToken: (key) =>
      counts.note(
        'readWithToken',
        key,
        () => store.readWithToken(key),
        (found) => found?.bytes.length ?? 0,
      ),
    readIfChanged: (key, token, deadline) =>
      counts.note(
        'readIfChanged',
        key,
        () => store.readIfChanged(key, token, deadline),
        (found) => (found === undefined || found === 'unchanged' ? 0 : found.bytes.length),
      ),
    writeIfAbsent: (key, parts, signal) =>
      counts.note(
        'writeIfAbsent',
        key,
        () => store.writeIfAbsent(key, parts, signal),
        () => parts.reduce((total, part) => total + part.length, 0),
      ),
    writeIfUnchanged: (key, bytes, token) =>
      counts.note(
        'writeIfUnchanged',
        key,
        () => store.writeIfUnchanged(key, bytes, token),
        () => bytes.length,
      ),
    async *list(prefix, signal) {
      const noted = counts.noteList(prefix);
      for await (const info of store.list(prefix, signal)) {
        noted.amount += 1;
        yield info;
      }
    },
    delete: (key) =>
      counts.note(
        'delete',
        key,
        () => store.delete(key),
        () => 0,
      ),
    localPath: (key) => store.localPath(key),
    ...(store.leftovers && { leftovers: store.leftovers.bind(store) }),
    close: () => store.close(),
  };
  return { store: traced, counts };
}

const lengthOf = (bytes: Uint8Array): number => bytes.length;
