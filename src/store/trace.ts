/**
 * Notes each request to a store, for tests and benchmarks. Failed requests count too.
 */
import { observeStore, type StoreObserver, type StoreVerb } from './observe.ts';
import type { Store } from './store.ts';

interface TracedRequest {
  readonly verb: StoreVerb;
  /** The prefix, for `list`. */
  readonly key: string;
  /** Of the object's bytes, those that went over the seam in either direction; entries of a list. */
  amount: number;
}

export class Trace implements StoreObserver {
  readonly seesAll = true;
  /** In the order in which they began. */
  readonly requests: TracedRequest[] = [];

  /** How many requests of these verbs (of all when none is named). */
  count(...verbs: readonly StoreVerb[]): number {
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
  async note<T>(verb: StoreVerb, key: string, request: () => Promise<T>, amount: (result: T) => number): Promise<T> {
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

  private sum(...verbs: readonly StoreVerb[]): number {
    return this.select(verbs).reduce((total, request) => total + request.amount, 0);
  }

  private select(verbs: readonly StoreVerb[]): TracedRequest[] {
    return this.requests.filter(({ verb }) => verbs.length === 0 || verbs.includes(verb));
  }
}

/** The same store, and the counts of what is asked of it from now on. */
export function traceStore(store: Store): { store: Store; counts: Trace } {
  const counts = new Trace();
  return { store: observeStore(store, counts), counts };
}
