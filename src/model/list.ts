/**
 * A file's bytes as an ordered list of chunks and holes (FORMAT.md section 5, kind 1), found by
 * offset in as many node reads as the list is high.
 */
import { assert } from '../base/errors.ts';
import { addTotals, damaged, Reader, Writer } from './bytes.ts';
import { LevelBuilder, type LevelShape } from './levels.ts';
import type { Node, NodeSink, NodeSource } from './node.ts';
import { chunkBytesMax, type Ref } from './refs.ts';

/** A piece of a file: a chunk, or a hole (zeros) without a ref. Length in bytes, at least 1. */
export interface ListItem {
  readonly length: number;
  readonly ref?: Ref | undefined;
}

/** A piece at its offset in the file. */
export interface ListPiece extends ListItem {
  readonly offset: number;
}

interface ListInner {
  readonly length: number;
  readonly ref: Ref;
}

interface DecodedList {
  readonly level: number;
  readonly items: readonly ListItem[];
  /** Offset of each item within the node; one more for its end. */
  readonly starts: readonly number[];
  readonly length: number;
}

const itemsMax = 4096;
const holeBytesMin = 1024 * 1024;

const listShape: LevelShape<ListItem, ListInner> = {
  min: 256,
  avg: 1024,
  max: itemsMax,
  rank: (level, item) => item.ref?.hash.readUInt32LE(4 * (level % 8)),
  sealLeaf: (items) => {
    const body = new Writer(items.length * 4 + 8);
    body.varint(items.length);
    for (const { length, ref } of items) {
      assert(length > 0 && (!ref || length <= chunkBytesMax), 'a piece of a list has a length');
      body.varint(length * 2 + (ref ? 0 : 1));
    }
    return sealed(0, items, body);
  },
  sealInner: (level, items) => {
    const body = new Writer(items.length * 6 + 8);
    body.varint(items.length);
    for (const { length } of items) body.varint(length);
    return sealed(level, items, body);
  },
};

function sealed(level: number, items: readonly ListItem[], body: Writer): { node: Node; inner: { length: number } } {
  const refs = items.flatMap(({ ref }) => ref ?? []);
  const length = items.reduce((sum, item) => addTotals('file', sum, item.length), 0);
  return { node: { kind: 'list', level, refs, body: body.finish() }, inner: { length } };
}

/** Stores the list of a file's pieces. It depends on them alone, and is made in constant memory. */
export async function buildList(
  sink: NodeSink,
  items: Iterable<ListItem> | AsyncIterable<ListItem>,
): Promise<{ readonly form: 'list'; readonly size: number; readonly ref: Ref }> {
  const builder = new LevelBuilder(listShape, sink);
  for await (const item of items) {
    const completed = builder.push(item);
    if (completed) await completed;
  }
  const { root } = await builder.finish();
  return { form: 'list', size: root.length, ref: root.ref };
}

/**
 * The list of the first `keep` bytes of another, more than none and not all of them, and further
 * pieces. A piece ends at `keep`. Reads the way to that place only; what lies before it is shared.
 */
export async function continueList(
  io: { readonly source: NodeSource; readonly sink: NodeSink },
  list: Ref,
  keep: number,
  items: Iterable<ListItem> | AsyncIterable<ListItem>,
): Promise<{ readonly form: 'list'; readonly size: number; readonly ref: Ref }> {
  const builder = new LevelBuilder(listShape, io.sink);
  let left = keep;
  for (let node = await loadList(io.source, list); left > 0;) {
    const index = indexAt(node.starts, left);
    for (const { length, ref } of node.items.slice(0, index)) {
      const completed =
        node.level === 0 || !ref ? builder.push({ length, ref }) : builder.pushNode(node.level - 1, { length, ref });
      if (completed) await completed;
    }
    left -= node.starts[index] as number;
    const { length, ref } = node.items[index] as ListItem;
    if (left === 0) break;
    if (node.level === 0 || !ref) throw damaged(nameOf(list), 'no piece ends where one must');
    node = await loadList(io.source, ref, { level: node.level - 1, length });
  }
  for await (const item of items) {
    const completed = builder.push(item);
    if (completed) await completed;
  }
  const { root } = await builder.finish();
  return { form: 'list', size: root.length, ref: root.ref };
}

/** How many bytes the file of a list has. Throws `damaged` when its root is not what it must be. */
export async function listLength(source: NodeSource, list: Ref): Promise<number> {
  return (await loadList(source, list)).length;
}

/**
 * The pieces that cover bytes [offset, offset + length) of a file, in order, whole. Throws
 * `damaged` when the list ends before that, or is not what it must be.
 */
export async function* listRange(
  source: NodeSource,
  list: Ref,
  offset: number,
  length: number,
): AsyncGenerator<ListPiece> {
  const root = await loadList(source, list);
  if (offset + length > root.length) throw damaged(nameOf(list), 'it is shorter than the file');
  if (length > 0) yield* walk({ source, from: offset, to: offset + length }, root, 0);
}

interface Range {
  readonly source: NodeSource;
  readonly from: number;
  readonly to: number;
}

async function* walk(range: Range, node: DecodedList, base: number): AsyncGenerator<ListPiece> {
  const { source, from, to } = range;
  for (let index = indexAt(node.starts, from - base); index < node.items.length; index += 1) {
    const offset = base + (node.starts[index] as number);
    if (offset >= to) return;
    const { length, ref } = node.items[index] as ListItem;
    if (node.level === 0) yield { offset, length, ref };
    else if (ref) yield* walk(range, await loadList(source, ref, { level: node.level - 1, length }), offset);
  }
}

/** Index of the item that holds this offset; the first for offsets before it. */
function indexAt(starts: readonly number[], offset: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts[middle] as number) <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** A decoded form is kept as long as its node, which the source may cache. */
const decodedNodes = new WeakMap<Node, DecodedList>();

async function loadList(
  source: NodeSource,
  ref: Ref,
  expected?: { readonly level: number; readonly length: number },
): Promise<DecodedList> {
  const node = await source.node(ref);
  let decoded = decodedNodes.get(node);
  if (!decoded) {
    decoded = decodeList(node, nameOf(ref));
    decodedNodes.set(node, decoded);
  }
  if (expected && (decoded.level !== expected.level || decoded.length !== expected.length)) {
    throw damaged(nameOf(ref), 'it differs from what its parent says');
  }
  return decoded;
}

function decodeList(node: Node, what: string): DecodedList {
  const { kind, level, refs, body } = node;
  if (kind !== 'list') throw damaged(what, `it is a ${kind}`);
  const reader: Reader = new Reader(body, what);
  const items: ListItem[] = [];
  const starts: number[] = [];
  const type = level === 0 ? 'chunk' : 'node';
  let end = 0;
  let taken = 0;
  for (let left = reader.count(itemsMax); left > 0; left -= 1) {
    const number = reader.varint();
    const hole = level === 0 && number % 2 === 1;
    const length = level === 0 ? Math.floor(number / 2) : number;
    const ref = hole ? undefined : refs[taken];
    if (!hole && ref?.type !== type) reader.fail('a reference is missing or of a wrong type');
    const wrong = ref ? level === 0 && length > chunkBytesMax : length < holeBytesMin;
    if (length === 0 || wrong) reader.fail(`a piece has ${length} bytes`);
    if (ref) taken += 1;
    items.push({ length, ref });
    starts.push(end);
    end = addTotals(what, end, length);
  }
  reader.done();
  if (taken !== refs.length) reader.fail('it has references that nothing in it names');
  if (level > 0 && items.length === 0) reader.fail('an inner node is empty');
  return { level, items, starts, length: end };
}

function nameOf(list: Ref): string {
  return `list ${list.hash.toString('hex')}`;
}
