/**
 * Counts requests and bytes to a store by who asks, as long as a process lives.
 */
import type { StoreObserver, StoreVerb } from './observe.ts';

export interface Metered {
  /** `mounted`: by mounts of inputs, which are processes of their own. */
  readonly requests: Map<StoreVerb | 'mounted', number>;
  bytesRead: number;
  bytesWritten: number;
}

/** Bytes read. */
export interface Totals {
  readonly requests: number;
  readonly bytes: number;
}

const writes: ReadonlySet<StoreVerb> = new Set(['writeIfAbsent', 'writeIfUnchanged']);
const hasNoBytes: ReadonlySet<StoreVerb> = new Set(['list', 'delete']);

export class Meter implements StoreObserver {
  /** What native threads read past it, the transfers count (cache/transfers). */
  readonly seesAll = false;
  /** By who asked. */
  readonly counts = new Map<string, Metered>();
  private readonly asking: () => string;

  /** `asking` says who asks now. */
  constructor(asking: () => string) {
    this.asking = asking;
  }

  async note<T>(verb: StoreVerb, _key: string, request: () => Promise<T>, amount: (result: T) => number): Promise<T> {
    const counts = this.begin(verb);
    const result = await request();
    if (hasNoBytes.has(verb)) return result;
    if (writes.has(verb)) counts.bytesWritten += amount(result);
    else counts.bytesRead += amount(result);
    return result;
  }

  noteList(): { amount: number } {
    this.begin('list');
    return { amount: 0 };
  }

  /** Adds what another process has asked for somebody. */
  add(who: string, { requests, bytes }: Totals): void {
    const counts = this.of(who);
    counts.requests.set('mounted', (counts.requests.get('mounted') ?? 0) + requests);
    counts.bytesRead += bytes;
  }

  /** Of all who asked. */
  get totals(): Totals {
    const all = [...this.counts.values()];
    const requests = all.flatMap((each) => [...each.requests.values()]).reduce((sum, n) => sum + n, 0);
    return { requests, bytes: all.reduce((sum, each) => sum + each.bytesRead, 0) };
  }

  private begin(verb: StoreVerb): Metered {
    const counts = this.of(this.asking());
    counts.requests.set(verb, (counts.requests.get(verb) ?? 0) + 1);
    return counts;
  }

  private of(who: string): Metered {
    const counts = this.counts.get(who) ?? { requests: new Map(), bytesRead: 0, bytesWritten: 0 };
    this.counts.set(who, counts);
    return counts;
  }
}
