/**
 * Items of which the one with the least rank comes first; of equal ones the one that was there first.
 * A binary heap: each item costs log2 of how many there are.
 */
interface Ranked<T> {
  readonly item: T;
  readonly rank: number;
  readonly number: number;
}

export class Heap<T> {
  private readonly rank: (item: T) => number;
  private readonly items: Ranked<T>[] = [];
  private count = 0;

  /** `rank` is asked once for each item. */
  constructor(rank: (item: T) => number) {
    this.rank = rank;
  }

  get length(): number {
    return this.items.length;
  }

  push(item: T): void {
    const { items } = this;
    const ranked = { item, rank: this.rank(item), number: (this.count += 1) };
    let at = items.length;
    for (;;) {
      const above = (at - 1) >> 1;
      const parent = items[above];
      if (!parent || isBefore(parent, ranked)) break;
      items[at] = parent;
      at = above;
    }
    items[at] = ranked;
  }

  /** Takes the first one out. */
  shift(): T | undefined {
    const { items } = this;
    const [first] = items;
    const last = items.pop();
    if (!first || !last || items.length === 0) return first?.item;
    let at = 0;
    for (;;) {
      const [left, right] = [items[2 * at + 1], items[2 * at + 2]];
      const isRight = left && right && isBefore(right, left);
      const child = isRight ? right : left;
      if (!child || isBefore(last, child)) break;
      items[at] = child;
      at = 2 * at + (isRight ? 2 : 1);
    }
    items[at] = last;
    return first.item;
  }
}

function isBefore(a: Ranked<unknown>, b: Ranked<unknown>): boolean {
  return a.rank < b.rank || (a.rank === b.rank && a.number < b.number);
}
