/**
 * Maps that drop the least recently used when their values take more bytes than they may.
 */

/** What a budget asks of a map that takes part in it. */
interface Member {
  readonly bytes: number;
  /** Drops the least recently used value, but not that of `kept`. False when there is no other. */
  dropOldest(kept: string | undefined): boolean;
}

/** Bytes that several maps may hold together. Where they are too many, the map that holds most drops. */
export class Budget {
  private readonly bytesMax: number;
  private readonly members = new Set<Member>();
  private held = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  join(member: Member): void {
    this.members.add(member);
  }

  /** Counts what a member has taken, or given back. */
  take(bytes: number): void {
    this.held += bytes;
  }

  /** Drops what is too much; of `member`, never what it has under `kept`, which has just come. */
  settle(member: Member, kept: string): void {
    while (this.held > this.bytesMax) {
      const larger = [...this.members].toSorted((a, b) => b.bytes - a.bytes);
      if (!larger.some((each) => each.dropOldest(each === member ? kept : undefined))) return;
    }
  }
}

export class Lru<V> {
  private readonly entries = new Map<string, { value: V; bytes: number }>();
  private readonly budget: Budget;
  private readonly dropped: ((value: V) => void) | undefined;
  private total = 0;

  /** `budget`: shared with others, or the bytes of one of its own. `dropped` is told of every value that leaves to make room. */
  constructor(budget: Budget | number, dropped?: (value: V) => void) {
    this.budget = typeof budget === 'number' ? new Budget(budget) : budget;
    this.budget.join(this);
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
    this.count(bytes);
    this.budget.settle(this, key);
  }

  delete(key: string): void {
    const entry = this.entries.get(key);
    if (!entry) return;
    this.entries.delete(key);
    this.count(-entry.bytes);
  }

  dropOldest(kept: string | undefined): boolean {
    for (const [oldest, entry] of this.entries) {
      if (oldest === kept) return false;
      this.delete(oldest);
      this.dropped?.(entry.value);
      return true;
    }
    return false;
  }

  clear(): void {
    this.entries.clear();
    this.count(-this.total);
  }

  values(): V[] {
    return [...this.entries.values()].map((entry) => entry.value);
  }

  private count(bytes: number): void {
    this.total += bytes;
    this.budget.take(bytes);
  }
}
