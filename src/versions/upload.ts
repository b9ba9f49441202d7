/**
 * The new objects of one change: chunks and nodes on their way into packs.
 */
import type { BlobReader } from '../cache/blobs.ts';
import { BlobWriter } from '../chunks/blob-writer.ts';
import type { KnownBlobs } from '../chunks/known.ts';
import type { StoredPack } from '../chunks/pack-writer.ts';
import { encodeNode, type Node, type NodeSink } from '../model/node.ts';
import type { Ref } from '../model/refs.ts';
import type { Store } from '../store/store.ts';

export class Upload {
  readonly data: BlobWriter;
  readonly nodes: NodeSink;
  private readonly meta: BlobWriter;
  /** Bytes of the packs stored so far. */
  storedBytes = 0;

  constructor(store: Store, project: string, known: KnownBlobs, reader: BlobReader) {
    this.data = new BlobWriter(store, project, 'data', known);
    const meta = new BlobWriter(store, project, 'meta', known);
    this.meta = meta;
    this.nodes = {
      async add(node: Node): Promise<Ref> {
        const [ref] = await meta.add([encodeNode(node)]);
        if (!ref) throw new Error('a node was not stored');
        reader.remember(ref, node);
        return ref;
      },
    };
  }

  /** Makes everything durable: first data, then what refers to it. Resolves to all packs so far. */
  async finish(): Promise<readonly StoredPack[]> {
    const data = await this.data.finish();
    const packs = [...data, ...(await this.meta.finish())];
    this.storedBytes = packs.reduce((sum, pack) => sum + pack.bytes, 0);
    return packs;
  }
}
