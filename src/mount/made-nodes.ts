/**
 * Nodes that a mount makes for itself, over those of the store. They lie in memory for as long as the
 * mount's server runs, since the kernel may have a directory of them at any time.
 */
import type { BlobReader } from '../cache/blobs.ts';
import { encodeNode, type Node, type NodeSink, type NodeSource, type PlainNodeSource } from '../model/node.ts';
import type { Ref } from '../model/refs.ts';

export class MadeNodes implements NodeSource, PlainNodeSource, NodeSink {
  private readonly stored: BlobReader;
  private readonly made = new Map<string, { readonly node: Node; readonly bytes: Buffer }>();

  constructor(stored: BlobReader) {
    this.stored = stored;
  }

  async node(ref: Ref): Promise<Node> {
    return this.made.get(ref.hash.toString('hex'))?.node ?? this.stored.node(ref);
  }

  async nodeBytes(ref: Ref): Promise<Buffer> {
    return this.made.get(ref.hash.toString('hex'))?.bytes ?? this.stored.nodeBytes(ref);
  }

  add(node: Node): Ref {
    const { bytes, hash } = encodeNode(node);
    this.made.set(hash.toString('hex'), { node, bytes });
    return { type: 'node', hash };
  }
}
