/**
 * Where native threads read objects past JavaScript: addresses that were signed for a while.
 */
import type { DirectSource, Store } from '../store/store.ts';

/** A URL is used for half of the time for which it is signed. */
const sourceMs = 30 * 60 * 1000;
const sourcesMax = 1024;

export class Addresses {
  private readonly store: Store;
  private readonly sources = new Map<string, { at: number; source: Promise<DirectSource | undefined> }>();

  constructor(store: Store) {
    this.store = store;
  }

  /** Undefined where only the store itself reads. */
  of(key: string): Promise<DirectSource | undefined> | undefined {
    const now = Date.now();
    if (!this.store.direct) return undefined;
    const known = this.sources.get(key);
    // A clock that was set back or forward since may have signed for another time.
    if (known && Math.abs(now - known.at) < sourceMs) return known.source;
    const source = this.store.direct(key);
    source.catch(() => this.sources.delete(key));
    this.sources.delete(key);
    this.sources.set(key, { at: now, source });
    const [oldest] = this.sources.keys();
    if (this.sources.size > sourcesMax && oldest !== undefined) this.sources.delete(oldest);
    return source;
  }

  /** Another one, if there is any, after the server refused `source`. */
  async again(key: string, source: DirectSource): Promise<DirectSource | undefined> {
    if (!(await source.refused?.())) return undefined;
    // The other addresses were signed with the same keys.
    this.sources.clear();
    return this.of(key);
  }
}
