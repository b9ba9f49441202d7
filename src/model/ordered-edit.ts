/**
 * Edits of trees and maps, at the cost of what changes.
 */
import { assert } from '../base/errors.ts';
import { LevelBuilder } from './levels.ts';
import type { NodeSink, NodeSource } from './node.ts';
import { loadOrdered, shapeOf, type Decoded, type Inner, type OrderedFormat, type Summary } from './ordered-format.ts';
import type { Ref } from './refs.ts';

/** Sets the item of a key, or removes it when `item` is undefined. */
export interface Edit<Item> {
  readonly key: Buffer;
  readonly item: Item | undefined;
}

/**
 * Applies edits, ascending by key, to a tree (undefined: an empty one). Reads and writes only the
 * nodes on the way to what changes; the result is the tree that building anew would give.
 */
export async function applyEdits<Item, S extends Summary>(
  io: { readonly source: NodeSource; readonly sink: NodeSink },
  format: OrderedFormat<Item, S>,
  root: Ref | undefined,
  edits: Iterable<Edit<Item>> | AsyncIterable<Edit<Item>>,
): Promise<S & { readonly ref: Ref }> {
  const { source, sink } = io;
  const pending = new PendingEdits(edits);
  const builder = new LevelBuilder(shapeOf(format), sink);
  try {
    await pending.next();
    if (root) {
      const node = await loadOrdered(source, format, root);
      if (!pending.current) return { ...summaryOf(format, node), ref: root };
      await merge({ source, format, builder, pending }, node, { last: true });
    }
    for (; pending.current; await pending.next()) {
      if (pending.current.item !== undefined) await builder.push(pending.current.item);
    }
  } finally {
    await pending.close();
  }
  const { root: top, whole } = await builder.finish();
  const found = whole ? await highestFork(source, format, top) : top;
  return { ...found.summary, ref: found.ref };
}

function summaryOf<Item, S extends Summary>(format: OrderedFormat<Item, S>, node: Decoded<Item, S>): S {
  return node.items ? format.summarizeItems(node.items) : format.summarizeNodes(node.level, node.nodes);
}

/**
 * The root of a tree of which a single old node is left, which was adopted whole: the first node from
 * there down that is a leaf or has several children.
 */
async function highestFork<Item, S extends Summary>(
  source: NodeSource,
  format: OrderedFormat<Item, S>,
  top: Inner<S>,
): Promise<Inner<S>> {
  const node = await loadOrdered(source, format, top.ref);
  const [only, second] = node.items ? [] : node.nodes;
  return only && !second ? highestFork(source, format, only) : top;
}

interface Merge<Item, S extends Summary> {
  readonly source: NodeSource;
  readonly format: OrderedFormat<Item, S>;
  readonly builder: LevelBuilder<Item, Inner<S>>;
  readonly pending: PendingEdits<Item>;
}

/** Feeds what lies below an old node, edited, to the builder. `last`: nothing follows on its level. */
async function merge<Item, S extends Summary>(
  merging: Merge<Item, S>,
  node: Decoded<Item, S>,
  place: { readonly last: boolean; readonly after?: Buffer | undefined },
): Promise<void> {
  const { source, format, builder, pending } = merging;
  if (node.items) return mergeItems(merging, node.items);
  let { after } = place;
  for (const [index, inner] of node.nodes.entries()) {
    const last = place.last && index === node.nodes.length - 1;
    const edit = pending.current;
    const untouched = !edit || (edit.key.compare(inner.key) > 0 && !last);
    if (untouched && builder.beginsNode(node.level - 1)) await builder.pushNode(node.level - 1, inner);
    else {
      const child = await loadOrdered(source, format, inner.ref, { parentLevel: node.level, inner, after });
      await merge(merging, child, { last, after });
    }
    after = inner.key;
  }
}

async function mergeItems<Item, S extends Summary>(merging: Merge<Item, S>, items: readonly Item[]): Promise<void> {
  const { format, builder, pending } = merging;
  for (const item of items) {
    let replaced = false;
    for (let edit = pending.current; edit; edit = pending.current) {
      const order = edit.key.compare(format.keyOf(item));
      if (order > 0) break;
      if (edit.item !== undefined) await builder.push(edit.item);
      replaced = order === 0;
      await pending.next();
    }
    if (replaced) continue;
    const completed = builder.push(item);
    if (completed) await completed;
  }
}

class PendingEdits<Item> {
  private readonly iterator: Iterator<Edit<Item>> | AsyncIterator<Edit<Item>>;
  current: Edit<Item> | undefined;

  constructor(edits: Iterable<Edit<Item>> | AsyncIterable<Edit<Item>>) {
    this.iterator = Symbol.asyncIterator in edits ? edits[Symbol.asyncIterator]() : edits[Symbol.iterator]();
  }

  /** Ends the generator of edits when not all of them were consumed. */
  async close(): Promise<void> {
    if (this.current) await this.iterator.return?.();
  }

  async next(): Promise<void> {
    const before = this.current;
    const result = await this.iterator.next();
    this.current = result.done ? undefined : result.value;
    if (before && this.current) assert(before.key.compare(this.current.key) < 0, 'edits come in order of their keys');
  }
}
