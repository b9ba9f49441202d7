/**
 * What trees and maps have in common (FORMAT.md section 5): nodes of items in ascending order of
 * unique keys, whose inner nodes carry the last key and totals of what is below.
 */
import { assert } from '../base/errors.ts';
import { native } from '../base/native.ts';
import { addTotals, damaged, Reader, Writer } from './bytes.ts';
import type { LevelShape } from './levels.ts';
import type { Node, NodeSource } from './node.ts';
import type { Ref, RefType } from './refs.ts';

/** Totals of all items below a node. */
export interface Summary {
  readonly entries: number;
}

/** A node as its parent knows it. */
export interface Inner<S extends Summary> {
  /** The last key below. */
  readonly key: Buffer;
  readonly ref: Ref;
  readonly summary: S;
}

/** Hands out the refs of a node one after another. Throws `damaged` when the next one has another type. */
export type TakeRef = (type?: RefType) => Ref;

interface KeyRules {
  readonly kind: 'tree' | 'map';
  readonly keyBytesMax: number;
  /** Why bytes can't be a key, or undefined. */
  keyProblem(key: Buffer): string | undefined;
}

/** One kind of ordered tree. Items are written without their keys, into `refs` their refs. */
export interface OrderedFormat<Item, S extends Summary = Summary> extends KeyRules {
  readonly min: number;
  readonly avg: number;
  readonly max: number;
  keyOf(item: Item): Buffer;
  writeItem(writer: Writer, item: Item, refs: Ref[]): void;
  readItem(reader: Reader, key: Buffer, takeRef: TakeRef): Item;
  writeSummary(writer: Writer, summary: S): void;
  readSummary(reader: Reader): S;
  summarizeItems(items: readonly Item[]): S;
  summarizeNodes(level: number, nodes: readonly Inner<S>[]): S;
}

export interface Leaf<Item> {
  readonly level: 0;
  readonly items: readonly Item[];
  readonly entries: number;
}

export interface Branch<S extends Summary> {
  readonly level: number;
  readonly items?: undefined;
  readonly nodes: readonly Inner<S>[];
  /** How many entries of this node come before each of `nodes`. */
  readonly starts: readonly number[];
  readonly entries: number;
}

export type Decoded<Item, S extends Summary> = Leaf<Item> | Branch<S>;

/** What its parent says of a node, which must be true of it. */
export interface Within<S extends Summary> {
  readonly parentLevel: number;
  readonly inner: Inner<S>;
  /** The key before its first one. */
  readonly after: Buffer | undefined;
}

/** A decoded form is kept as long as its node, which the source may cache. */
const decodedNodes = new WeakMap<Node, Decoded<unknown, Summary>>();

/** Reads and decodes a node; checks it against its parent, so that levels sink and keys ascend. */
export async function loadOrdered<Item, S extends Summary>(
  source: NodeSource,
  format: OrderedFormat<Item, S>,
  ref: Ref,
  within?: Within<S>,
): Promise<Decoded<Item, S>> {
  const node = await source.node(ref);
  const what = `${format.kind} ${ref.hash.toString('hex')}`;
  if (node.kind !== format.kind) throw damaged(what, `it is a ${node.kind}`);
  let decoded = decodedNodes.get(node) as Decoded<Item, S> | undefined;
  if (!decoded) {
    decoded = decodeOrdered(format, node, what);
    decodedNodes.set(node, decoded);
  }
  if (within) checkWithin(format, decoded, within, what);
  return decoded;
}

function checkWithin<Item, S extends Summary>(
  format: OrderedFormat<Item, S>,
  decoded: Decoded<Item, S>,
  within: Within<S>,
  what: string,
): void {
  const { inner, after } = within;
  const first = decoded.items?.[0];
  if (decoded.level !== within.parentLevel - 1) throw damaged(what, 'it lies on a wrong level');
  if (decoded.entries !== inner.summary.entries)
    throw damaged(what, 'it does not have as many entries as its parent says');
  if (!(lastKey(format, decoded) ?? Buffer.alloc(0)).equals(inner.key)) {
    throw damaged(what, 'its last key differs from the one in its parent');
  }
  if (first !== undefined && after && format.keyOf(first).compare(after) <= 0) {
    throw damaged(what, 'its keys do not follow those before it');
  }
}

function lastKey<Item, S extends Summary>(
  format: OrderedFormat<Item, S>,
  decoded: Decoded<Item, S>,
): Buffer | undefined {
  if (!decoded.items) return decoded.nodes.at(-1)?.key;
  const item = decoded.items.at(-1);
  return item === undefined ? undefined : format.keyOf(item);
}

function decodeOrdered<Item, S extends Summary>(
  format: OrderedFormat<Item, S>,
  node: Node,
  what: string,
): Decoded<Item, S> {
  const { refs, level } = node;
  const reader: Reader = new Reader(node.body, what);
  const count = reader.count(format.max, 2);
  let taken = 0;
  const takeRef: TakeRef = (type = refs[taken]?.type) => {
    const ref = refs[taken];
    if (!ref || ref.type !== type) reader.fail('a reference is missing or of a wrong type');
    taken += 1;
    return ref;
  };
  const items: Item[] = [];
  const nodes: Inner<S>[] = [];
  const starts: number[] = [];
  let entries = 0;
  let key: Buffer | undefined;
  for (let i = 0; i < count; i += 1) {
    key = readKey(reader, format, key);
    if (level === 0) {
      items.push(format.readItem(reader, key, takeRef));
      entries += 1;
      continue;
    }
    const summary = format.readSummary(reader);
    if (summary.entries === 0) reader.fail('an inner node names an empty one');
    starts.push(entries);
    nodes.push({ key, summary, ref: takeRef('node') });
    entries = addTotals(what, entries, summary.entries);
  }
  reader.done();
  if (taken !== refs.length) reader.fail('it has references that nothing in it names');
  if (level === 0) return { level, items, entries };
  if (count === 0) reader.fail('an inner node is empty');
  return { level, nodes, starts, entries };
}

function readKey(reader: Reader, rules: KeyRules, before: Buffer | undefined): Buffer {
  const shared = reader.varint();
  const suffix = reader.bytes(rules.keyBytesMax);
  if (shared > (before?.length ?? 0)) reader.fail('a key shares more than there is');
  const next = before?.[shared];
  // Keys ascend and share as long a prefix as they can, so the first byte that differs must be larger.
  if (before && (next === undefined ? suffix.length === 0 : (suffix[0] ?? -1) <= next)) {
    reader.fail('its keys are not in order');
  }
  const key = before && shared > 0 ? Buffer.concat([before.subarray(0, shared), suffix]) : suffix;
  const problem = key.length > rules.keyBytesMax ? 'it is too long' : rules.keyProblem(key);
  if (problem) reader.fail(`a key is not allowed: ${problem}`);
  return key;
}

function writeKey(writer: Writer, rules: KeyRules, before: Buffer | undefined, key: Buffer): void {
  assert(key.length <= rules.keyBytesMax && !rules.keyProblem(key), `not a key of a ${rules.kind}`);
  let shared = 0;
  if (before) {
    while (shared < before.length && before[shared] === key[shared]) shared += 1;
    assert((before[shared] ?? -1) < (key[shared] ?? -1), 'keys ascend');
  }
  writer.varint(shared);
  writer.bytes(key.subarray(shared));
}

/** How a builder groups and stores items of this format. */
export function shapeOf<Item, S extends Summary>(format: OrderedFormat<Item, S>): LevelShape<Item, Inner<S>> {
  const { kind, min, avg, max } = format;
  return {
    min,
    avg,
    max,
    rank(level, item) {
      const key = level === 0 ? format.keyOf(item as Item) : (item as Inner<S>).key;
      return native()
        .hash('plain', key)
        .readUInt32LE(4 * (level % 8));
    },
    sealLeaf(items) {
      const last = items.at(-1);
      const key = last === undefined ? Buffer.alloc(0) : format.keyOf(last);
      const { refs, body } = encodeItems(format, items);
      return { node: { kind, level: 0, refs, body }, inner: { key, summary: format.summarizeItems(items) } };
    },
    sealInner(level, nodes) {
      const writer = new Writer(nodes.length * 64);
      writer.varint(nodes.length);
      let key: Buffer | undefined;
      for (const inner of nodes) {
        writeKey(writer, format, key, inner.key);
        ({ key } = inner);
        format.writeSummary(writer, inner.summary);
      }
      const refs = nodes.map(({ ref }) => ref);
      const summary = format.summarizeNodes(level, nodes);
      return { node: { kind, level, refs, body: writer.finish() }, inner: { key: key ?? Buffer.alloc(0), summary } };
    },
  };
}

/** Body and refs of a leaf. */
export function encodeItems<Item, S extends Summary>(
  format: OrderedFormat<Item, S>,
  items: readonly Item[],
): { refs: Ref[]; body: Buffer } {
  const writer = new Writer(items.length * 64 + 8);
  const refs: Ref[] = [];
  writer.varint(items.length);
  let before: Buffer | undefined;
  for (const item of items) {
    const key = format.keyOf(item);
    writeKey(writer, format, before, key);
    before = key;
    format.writeItem(writer, item, refs);
  }
  return { refs, body: writer.finish() };
}
