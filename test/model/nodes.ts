/** Nodes in memory, stored as a store would: encoded, verified and decoded at each read. */
import { isPachError, PachError } from '../../src/base/errors.ts';
import { native } from '../../src/base/native.ts';
import { decodeNode, encodeNode, type Node, type NodeSink, type NodeSource } from '../../src/model/node.ts';
import { hashKey, type Hash, type PackId, type Ref } from '../../src/model/refs.ts';

export const packA = '0123456789abcdef0123456789abcdef' as PackId;

export class MemoryNodes implements NodeSource, NodeSink {
  readonly stored = new Map<string, Buffer>();
  /** Nodes that were not there before they were added. */
  added = 0;
  reads = 0;

  add(node: Node): Ref {
    const { bytes, hash } = encodeNode(node);
    const key = hashKey(hash);
    if (!this.stored.has(key)) this.added += 1;
    this.stored.set(key, Buffer.from(bytes));
    return { type: 'node', hash, place: { pack: packA, offset: 8 + this.stored.size, length: bytes.length } };
  }

  async node(ref: Ref): Promise<Node> {
    this.reads += 1;
    const bytes = this.stored.get(hashKey(ref.hash));
    if (!bytes) throw new PachError('not-found', { what: ref.hash.toString('hex'), why: 'no such node' });
    return decodeNode(bytes, ref.hash);
  }
}

export function hashOf(text: string): Hash {
  return native().hash('plain', Buffer.from(text)) as Hash;
}

/** A record with another name in a field, as nothing here would write it. */
export function renamed(record: Buffer, from: string, to: string): Buffer {
  const field = (name: string): Buffer => Buffer.from([name.length + 1, name.length, ...Buffer.from(name)]);
  const at = record.indexOf(field(from));
  if (at === -1) throw new Error(`the record has no name ${from}`);
  return Buffer.concat([record.subarray(0, at), field(to), record.subarray(at + field(from).length)]);
}

export function chunkRef(text: string): Ref {
  return { type: 'chunk', hash: hashOf(text), place: { pack: packA, offset: 8, length: 100 } };
}

/** What a test knows to be there. */
export function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('nothing is there');
  return value;
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Code of the operating error that `body` ends in, if it ends in one; other errors are thrown on. */
export function codeOf(body: () => unknown): string | undefined {
  try {
    body();
  } catch (error) {
    if (!isPachError(error)) throw error;
    return error.code;
  }
  return undefined;
}
