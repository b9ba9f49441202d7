/**
 * A map that holds at most `bytesMax` bytes of values and drops the least recently used.
 */
export class Lru<V> {
  private readonly entries = new Map<string, { value: V; bytes: number }>();
  private readonly bytesMax: number;
  private readonly dropped: ((value: V) => void) | undefined;
  private total = 0;

  /** `dropped` is told of every value that leaves to make room. */
  constructor(bytesMax: number, dropped?: (value: V) => void) {
    this.bytesMax = bytesMax;
    this.dropped = dropped;
  }

  get bytes(): number {
    return this.total;
  }

  get(key: string): V | undefined {
    const entry = this.entries.get(key);
    if (!entry) return undefined;
    this.entries.delete(key);
    this.entries.set(key, entry);
    return entry.value;
  }

  set(key: string, value: V, bytes: number): void {
    this.delete(key);
    this.entries.set(key, { value, bytes });
    this.total += bytes;
    for (const [oldest, entry] of this.entries) {
      if (this.total <= this.bytesMax || oldest === key) break;
      this.delete(oldest);
      this.dropped?.(entry.value);
    }
  }

  delete(key: string): void {
    const entry = this.entries.get(key);
    if (!entry) return;
    this.entries.delete(key);
    this.total -= entry.bytes;
  }

  clear(): void {
    this.entries.clear();
    this.total = 0;
  }

  values(): V[] {
    return [...this.entries.values()].map((entry) => entry.value);
  }
}
