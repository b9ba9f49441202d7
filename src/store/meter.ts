/**
 * Counts requests and bytes to a store by who asks, as long as a process lives.
 */
import type { StoreObserver, StoreVerb } from './observe.ts';

export interface Metered {
  readonly requests: Map<StoreVerb, number>;
  bytesRead: number;
  bytesWritten: number;
}

const writes: ReadonlySet<StoreVerb> = new Set(['writeIfAbsent', 'writeIfUnchanged']);
const hasNoBytes: ReadonlySet<StoreVerb> = new Set(['list', 'delete']);

export class Meter implements StoreObserver {
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

  private begin(verb: StoreVerb): Metered {
    const who = this.asking();
    const counts = this.counts.get(who) ?? { requests: new Map(), bytesRead: 0, bytesWritten: 0 };
    this.counts.set(who, counts);
    counts.requests.set(verb, (counts.requests.get(verb) ?? 0) + 1);
    return counts;
  }
}
