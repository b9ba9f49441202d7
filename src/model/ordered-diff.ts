/**
 * What differs between two trees or maps, at the cost of what differs.
 */
import {
  encodeItems,
  loadOrdered,
  type Decoded,
  type Inner,
  type OrderedFormat,
  type Summary,
} from './ordered-format.ts';
import type { NodeSource } from './node.ts';
import type { Ref } from './refs.ts';

/** A key that was added (only `new`), removed (only `old`) or whose item changed. */
export interface Difference<Item> {
  readonly key: Buffer;
  readonly old?: Item | undefined;
  readonly new?: Item | undefined;
}

/**
 * Streams what differs, in order of keys; undefined stands for an empty tree. Parts that both
 * share are skipped unread, and so are those without a key that begins with `prefix`.
 */
export async function* diffOrdered<Item, S extends Summary>(
  source: NodeSource,
  format: OrderedFormat<Item, S>,
  before: Ref | undefined,
  after: Ref | undefined,
  prefix?: Buffer,
): AsyncGenerator<Difference<Item>> {
  yield* diffAcross(format, { source, root: before }, { source, root: after }, prefix);
}

/** One of two trees that are compared, and where its nodes are read. */
export interface Side {
  readonly source: NodeSource;
  readonly root: Ref | undefined;
}

/** The same for trees of two stores. */
export async function* diffAcross<Item, S extends Summary>(
  format: OrderedFormat<Item, S>,
  before: Side,
  after: Side,
  prefix?: Buffer,
): AsyncGenerator<Difference<Item>> {
  if (before.root && after.root?.hash.equals(before.root.hash)) return;
  const [left, right] = [before, after].map(({ source }) => new Frontier(source, format, prefix)) as [
    Frontier<Item, S>,
    Frontier<Item, S>,
  ];
  await Promise.all([before.root && left.enter(before.root), after.root && right.enter(after.root)]);
  for (;;) {
    const a = left.head();
    const b = right.head();
    if (!a && !b) return;
    if (a?.inner && b?.inner?.ref.hash.equals(a.inner.ref.hash)) {
      left.skip();
      right.skip();
    } else if (a?.inner && a.level >= (b?.level ?? 0)) await left.descend(a);
    else if (b?.inner) await right.descend(b);
    else yield* compareItems(format, left, right);
  }
}

/** Takes the smaller of the items at the heads of both sides, or both when their keys are equal. */
function* compareItems<Item, S extends Summary>(
  format: OrderedFormat<Item, S>,
  left: Frontier<Item, S>,
  right: Frontier<Item, S>,
): Generator<Difference<Item>> {
  const old = left.head()?.item;
  const now = right.head()?.item;
  const order = old === undefined ? 1 : now === undefined ? -1 : format.keyOf(old).compare(format.keyOf(now));
  if (order <= 0) left.skip();
  if (order >= 0) right.skip();
  if (old !== undefined && order < 0) yield { key: format.keyOf(old), old };
  else if (now !== undefined && order > 0) yield { key: format.keyOf(now), new: now };
  else if (old !== undefined && now !== undefined && !sameItem(format, old, now)) {
    yield { key: format.keyOf(now), old, new: now };
  }
}

/** True for equal keys, values and references, wherever those lie. */
export function sameItem<Item, S extends Summary>(format: OrderedFormat<Item, S>, a: Item, b: Item): boolean {
  if (a === b) return true;
  const [first, second] = [encodeItems(format, [a]), encodeItems(format, [b])];
  return (
    first.body.equals(second.body) &&
    first.refs.length === second.refs.length &&
    first.refs.every((ref, index) => second.refs[index]?.hash.equals(ref.hash))
  );
}

/** What comes next in a tree: an item (level 0), or a node not yet entered (its level plus one). */
type Head<Item, S extends Summary> =
  | { readonly level: number; readonly item: Item; readonly inner?: undefined }
  | { readonly level: number; readonly item?: undefined; readonly inner: Inner<S>; readonly after: Buffer | undefined };

/** A way through a tree in order that enters a node only when told to. */
class Frontier<Item, S extends Summary> {
  private readonly source: NodeSource;
  private readonly format: OrderedFormat<Item, S>;
  private readonly prefix: Buffer | undefined;
  private readonly path: { node: Decoded<Item, S>; index: number; after: Buffer | undefined }[] = [];

  constructor(source: NodeSource, format: OrderedFormat<Item, S>, prefix: Buffer | undefined) {
    this.source = source;
    this.format = format;
    this.prefix = prefix;
  }

  async enter(root: Ref): Promise<void> {
    this.path.push({ node: await loadOrdered(this.source, this.format, root), index: 0, after: undefined });
  }

  head(): Head<Item, S> | undefined {
    for (let at = this.path.at(-1); at; at = this.path.at(-1)) {
      const { node, index } = at;
      if (node.items) {
        const item = node.items[index];
        if (item !== undefined && !this.begins(this.format.keyOf(item))) {
          at.index += 1;
          continue;
        }
        if (item !== undefined) return { level: 0, item };
      } else {
        const inner = node.nodes[index];
        const after = node.nodes[index - 1]?.key ?? at.after;
        if (inner && !this.mayHold(inner.key, after)) {
          at.index += 1;
          continue;
        }
        if (inner) return { level: node.level, inner, after };
      }
      this.path.pop();
    }
    return undefined;
  }

  private begins(key: Buffer): boolean {
    const { prefix } = this;
    return !prefix || key.subarray(0, prefix.length).equals(prefix);
  }

  /** Whether a node with this last key, whose keys follow `after`, may hold one that begins with the prefix. */
  private mayHold(last: Buffer, after: Buffer | undefined): boolean {
    const { prefix } = this;
    if (!prefix) return true;
    const isBehind = last.compare(prefix) < 0;
    const isAhead = after !== undefined && after.compare(prefix) > 0 && !this.begins(after);
    return !isBehind && !isAhead;
  }

  /** Leaves out what is at the head. */
  skip(): void {
    const at = this.path.at(-1);
    if (at) at.index += 1;
  }

  /** Enters the node at the head. */
  async descend(head: Head<Item, S>): Promise<void> {
    if (!head.inner) return;
    const { inner, after, level } = head;
    const node = await loadOrdered(this.source, this.format, inner.ref, { parentLevel: level, inner, after });
    this.skip();
    this.path.push({ node, index: 0, after });
  }
}
