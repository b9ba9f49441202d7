/**
 * Reading trees and maps by key, by ordinal and in order from either end, each in as many node
 * reads as the tree is high.
 */
import { levelOfNode, type NodeSource, type PlainNodeSource } from './node.ts';
import { loadOrdered, type Branch, type OrderedFormat, type Summary } from './ordered-format.ts';
import type { Ref } from './refs.ts';

/** An item and its position, from 0. */
export interface Located<Item> {
  readonly ordinal: number;
  readonly item: Item;
}

/** Items that follow one another; `first` is the ordinal of the first. */
export interface Page<Item> {
  readonly first: number;
  readonly items: readonly Item[];
}

/** A tree that never changes. All methods throw `damaged` when its nodes are not what they must be. */
export class OrderedReader<Item, S extends Summary = Summary> {
  private readonly source: NodeSource;
  private readonly format: OrderedFormat<Item, S>;
  private readonly root: Ref;

  constructor(source: NodeSource, format: OrderedFormat<Item, S>, root: Ref) {
    this.source = source;
    this.format = format;
    this.root = root;
  }

  /** How many items there are. */
  async count(): Promise<number> {
    return (await loadOrdered(this.source, this.format, this.root)).entries;
  }

  /** The item of a key, or undefined. */
  async find(key: Buffer): Promise<Item | undefined> {
    return (await this.locate(key))?.item;
  }

  /** The item of a key and its ordinal, or undefined. */
  async locate(key: Buffer): Promise<Located<Item> | undefined> {
    const found = await this.seek(key);
    return found && this.format.keyOf(found.item).equals(key) ? found : undefined;
  }

  /** The first item whose key is `key` or greater, or undefined. */
  async seek(key: Buffer): Promise<Located<Item> | undefined> {
    const { first, items } = await this.leaf((node) => firstFrom(node.nodes, (inner) => inner.key.compare(key) >= 0));
    const index = firstFrom(items, (item) => this.format.keyOf(item).compare(key) >= 0);
    const item = items[index];
    return item === undefined ? undefined : { ordinal: first + index, item };
  }

  /** How many items have keys less than `key`. */
  async rank(key: Buffer): Promise<number> {
    return (await this.seek(key))?.ordinal ?? this.count();
  }

  /** The item at an ordinal, or undefined. */
  async at(ordinal: number): Promise<Item | undefined> {
    return (await this.page(ordinal)).items[0];
  }

  /** The items from an ordinal on that lie in one node; none is the end. */
  async page(ordinal: number): Promise<Page<Item>> {
    if (ordinal < 0) return { first: ordinal, items: [] };
    const { first, items } = await this.leafAt(ordinal);
    return { first: ordinal, items: items.slice(ordinal - first) };
  }

  /** Items in order, from an ordinal on. */
  async *items(from = 0): AsyncGenerator<Item> {
    for (let next = from; ;) {
      const { items } = await this.page(next);
      if (items.length === 0) return;
      yield* items;
      next += items.length;
    }
  }

  /** Items in order whose keys begin with `prefix`. */
  async *prefix(prefix: Buffer): AsyncGenerator<Item> {
    for await (const item of this.items(await this.rank(prefix))) {
      if (!this.format.keyOf(item).subarray(0, prefix.length).equals(prefix)) return;
      yield item;
    }
  }

  /** Items from the last to the first; of those before an ordinal where it is given. */
  async *backward(before?: number): AsyncGenerator<Item> {
    for (let end = before ?? (await this.count()); end > 0;) {
      const { first, items } = await this.leafAt(end - 1);
      yield* items.slice(0, end - first).toReversed();
      end = first;
    }
  }

  /**
   * The plain bytes of the leaf with an ordinal's item, not looked into, and the ordinal of its first;
   * undefined beyond the last.
   */
  async plainLeaf(plain: PlainNodeSource, ordinal: number): Promise<{ bytes: Buffer; first: number } | undefined> {
    let ref = this.root;
    for (let first = 0; ;) {
      const bytes = await plain.nodeBytes(ref);
      if (levelOfNode(bytes) === 0) return { bytes, first };
      const node = await loadOrdered(this.source, this.format, ref);
      if (node.items) throw new Error('a node has two levels');
      const index = childAt(node, first, ordinal);
      const inner = node.nodes[index];
      if (!inner) return undefined;
      first += node.starts[index] ?? 0;
      ({ ref } = inner);
    }
  }

  /** The plain bytes of the root, not looked into, when it is a leaf and has all items. */
  async plainRoot(plain: PlainNodeSource): Promise<Buffer | undefined> {
    const bytes = await plain.nodeBytes(this.root);
    return levelOfNode(bytes) === 0 ? bytes : undefined;
  }

  private leafAt(ordinal: number): Promise<Page<Item>> {
    return this.leaf((node, before) => childAt(node, before, ordinal));
  }

  /** The leaf below the children that `choose` picks; an index beyond them means none. */
  private async leaf(choose: (node: Branch<S>, before: number) => number): Promise<Page<Item>> {
    let first = 0;
    let after: Buffer | undefined;
    let node = await loadOrdered(this.source, this.format, this.root);
    while (!node.items) {
      const index = choose(node, first);
      const inner = node.nodes[index];
      if (!inner) return { first: first + node.entries, items: [] };
      after = node.nodes[index - 1]?.key ?? after;
      first += node.starts[index] ?? 0;
      node = await loadOrdered(this.source, this.format, inner.ref, { parentLevel: node.level, inner, after });
    }
    return { first, items: node.items };
  }
}

/** Index of the child of `node` that has an ordinal's item, where `before` items come before the node's. */
function childAt({ starts, nodes, entries }: Branch<Summary>, before: number, ordinal: number): number {
  return ordinal < before + entries ? firstFrom(starts, (start) => before + start > ordinal) - 1 : nodes.length;
}

/** Index of the first element that fulfils `test`, which all after it fulfil too. */
function firstFrom<T>(sorted: readonly T[], test: (element: T) => boolean): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (test(sorted[middle] as T)) high = middle;
    else low = middle + 1;
  }
  return low;
}
