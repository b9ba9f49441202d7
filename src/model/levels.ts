/**
 * Builds the levels of a tree from the left, each node once, with one open node a level in
 * memory. Where a node ends depends on its items alone (FORMAT.md section 5, ordered nodes), so
 * equal sequences become equal trees.
 */
import type { Node, NodeSink } from './node.ts';
import type { Ref } from './refs.ts';

/** How one kind of tree groups and stores its items; level 0 has `Item`s, the others `Inner`s. */
export interface LevelShape<Item, Inner> {
  readonly min: number;
  readonly avg: number;
  readonly max: number;
  /** The u32 that decides whether a node may end after this item; undefined when it may not. */
  rank(level: number, item: Item | Inner): number | undefined;
  sealLeaf(items: readonly Item[]): Sealed<Inner>;
  sealInner(level: number, items: readonly Inner[]): Sealed<Inner>;
}

/** A node to be stored, and the item for it one level up, without its ref. */
export interface Sealed<Inner> {
  readonly node: Node;
  readonly inner: Omit<Inner, 'ref'>;
}

interface Level<Item, Inner> {
  open: (Item | Inner)[];
  /** Nodes of this level so far. A larger part that was adopted whole counts as "many". */
  nodes: number;
  last: Inner | undefined;
  /** True when `last` is a node of the old tree that was adopted whole. */
  whole: boolean;
}

export class LevelBuilder<Item, Inner extends { readonly ref: Ref }> {
  private readonly shape: LevelShape<Item, Inner>;
  private readonly sink: NodeSink;
  private readonly levels: Level<Item, Inner>[] = [];

  constructor(shape: LevelShape<Item, Inner>, sink: NodeSink) {
    this.shape = shape;
    this.sink = sink;
  }

  /** Appends an item. A promise, to be awaited, when that completes a node. */
  push(item: Item): Promise<void> | undefined {
    return this.append(0, item);
  }

  /** True when the next item begins a node on this level and on all below. */
  beginsNode(level: number): boolean {
    return this.levels.slice(0, level + 1).every(({ open }) => open.length === 0);
  }

  /** Appends all that lies below a node of `level` that exists already; a node must begin there. */
  pushNode(level: number, inner: Inner): Promise<void> | undefined {
    for (let below = 0; below < level; below += 1) this.level(below).nodes = Infinity;
    return this.complete(level, inner, true);
  }

  /**
   * Ends the sequence. The root is the first level with a single node. When that node was adopted
   * `whole`, the real root may be on a level below it.
   */
  async finish(): Promise<{ readonly root: Inner; readonly whole: boolean }> {
    for (let level = 0; ; level += 1) {
      const { open, nodes } = this.level(level);
      if (open.length > 0 || nodes === 0) await this.seal(level);
      const { nodes: all, last, whole } = this.level(level);
      if (all === 1 && last) return { root: last, whole };
    }
  }

  private append(level: number, item: Item | Inner): Promise<void> | undefined {
    const { open } = this.level(level);
    open.push(item);
    const { min, avg, max } = this.shape;
    if (open.length < min) return undefined;
    if (open.length < max && (this.shape.rank(level, item) ?? Infinity) >= 2 ** 32 / avg) return undefined;
    return this.seal(level);
  }

  private async seal(level: number): Promise<void> {
    const at = this.level(level);
    const items = at.open;
    at.open = [];
    const { node, inner } =
      level === 0 ? this.shape.sealLeaf(items as Item[]) : this.shape.sealInner(level, items as Inner[]);
    const ref = await this.sink.add(node);
    await this.complete(level, { ...inner, ref } as Inner, false);
  }

  private complete(level: number, inner: Inner, whole: boolean): Promise<void> | undefined {
    const at = this.level(level);
    at.nodes += 1;
    at.last = inner;
    at.whole = whole;
    return this.append(level + 1, inner);
  }

  private level(level: number): Level<Item, Inner> {
    return (this.levels[level] ??= { open: [], nodes: 0, last: undefined, whole: false });
  }
}
