/**
 * Copies blobs out of packs that are to go. What is copied is verified; nodes get the places that
 * what they refer to has now.
 */
import { PachError } from '../../base/errors.ts';
import { packKey, type PackKind } from '../../model/keys.ts';
import { encodeNode, type NodeSource } from '../../model/node.ts';
import type { Hash, PackId, Ref } from '../../model/refs.ts';
import type { BlobTable, PackName } from '../../chunks/blob-table.ts';
import { encodeStored, PackWriter, type StoredPack } from '../../chunks/pack-writer.ts';
import { readRun, runLength, type ChunkInPack } from '../../chunks/stored-runs.ts';
import type { Store } from '../../store/store.ts';

export class BlobCopier {
  private readonly store: Store;
  private readonly project: string;
  private readonly table: BlobTable;
  private readonly nodes: NodeSource;
  private readonly writers: Readonly<Record<PackKind, PackWriter>>;
  /** Stored bytes that were copied. */
  copiedBytes = 0;

  constructor(store: Store, project: string, table: BlobTable, nodes: NodeSource) {
    this.store = store;
    this.project = project;
    this.table = table;
    this.nodes = nodes;
    this.writers = { data: new PackWriter(store, project, 'data'), meta: new PackWriter(store, project, 'meta') };
  }

  /** Copies these rows and gives them their new places in the table; durable after `finish`. */
  async copy(rows: readonly number[], signal?: AbortSignal): Promise<void> {
    const chunks = rows.filter((row) => this.packOf(row).kind === 'data').sort((a, b) => this.compare(a, b));
    for (let first = 0, end = 0; first < chunks.length; first = end) {
      const number = this.table.packAt(chunks[first] as number);
      while (end < chunks.length && this.table.packAt(chunks[end] as number) === number) end += 1;
      await this.copyChunks((this.table.packs[number] as PackName).id, chunks.slice(first, end), signal);
    }
    const nodes = new Set(rows.filter((row) => this.packOf(row).kind === 'meta'));
    for (const row of nodes) {
      signal?.throwIfAborted();
      await this.copyNode(row, nodes);
    }
  }

  /** All packs written, now durable. */
  async finish(): Promise<readonly StoredPack[]> {
    return [...(await this.writers.data.finish()), ...(await this.writers.meta.finish())];
  }

  private compare(a: number, b: number): number {
    return this.table.packAt(a) - this.table.packAt(b) || this.table.placeAt(a).offset - this.table.placeAt(b).offset;
  }

  /** Copies chunks of one pack, which ascend by their places. */
  private async copyChunks(pack: PackId, rows: readonly number[], signal?: AbortSignal): Promise<void> {
    const chunks = rows.map((row): ChunkInPack => ({ hash: this.hashOf(row), ...this.table.placeAt(row) }));
    for (let first = 0; first < chunks.length;) {
      signal?.throwIfAborted();
      const run = chunks.slice(first, first + runLength(chunks, first, 0));
      const read = await readRun((...of) => this.store.read(...of), this.project, pack, run);
      for (const [n, chunk] of read.chunks.entries()) {
        const hash = (run[n] as ChunkInPack).hash.toString('hex');
        if (!chunk) throw damaged(packKey(this.project, 'data', pack), `its chunk ${hash} is damaged`);
        await this.write('data', rows[first + n] as number, [chunk.stored], chunk.plainLength);
      }
      read.release();
      first += run.length;
    }
  }

  /** What a node refers to goes before it, so that it can name the new places. */
  private async copyNode(row: number, waiting: Set<number>): Promise<void> {
    if (!waiting.delete(row)) return;
    const node = await this.nodes.node({ type: 'node', hash: this.hashOf(row), place: this.table.placeAt(row) });
    const refs: Ref[] = [];
    for (const ref of node.refs) {
      const below = this.table.find(ref.hash);
      // The line of operations is long; the place of a parent may be stale.
      if (node.kind !== 'operation' && ref.type === 'node' && below >= 0) await this.copyNode(below, waiting);
      refs.push(below < 0 ? ref : { ...ref, place: this.table.placeAt(below) });
    }
    const { bytes } = encodeNode({ ...node, refs });
    const encoded = await encodeStored([bytes]);
    await this.write('meta', row, encoded.stored[0] as readonly Buffer[], bytes.length);
    encoded.release();
  }

  private async write(kind: PackKind, row: number, stored: readonly Buffer[], plainLength: number): Promise<void> {
    const place = await this.writers[kind].add(this.hashOf(row), stored, plainLength);
    this.table.move(row, this.table.pack(kind, place.pack), place.offset, place.length, plainLength);
    this.copiedBytes += place.length;
  }

  /** A copy, that stays when the table grows. */
  private hashOf(row: number): Hash {
    return Buffer.from(this.table.hashAt(row)) as Hash;
  }

  private packOf(row: number): PackName {
    return this.table.packs[this.table.packAt(row)] as PackName;
  }
}

function damaged(key: string, why: string): PachError {
  return new PachError('damaged', {
    what: `pack ${key}`,
    why: `${why}; nothing was deleted`,
    next: 'pach fsck',
  });
}
