/**
 * Copies blobs out of packs that are to go. What is copied is verified; nodes get the places that
 * what they refer to has now.
 */
import { PachError } from '../../base/errors.ts';
import { native } from '../../base/native.ts';
import { packKey, type PackKind } from '../../model/keys.ts';
import { encodeNode, type NodeSource } from '../../model/node.ts';
import { chunkBytesMax, type Hash, type Ref } from '../../model/refs.ts';
import type { BlobTable, PackName } from '../../chunks/blob-table.ts';
import { encodeStored, PackWriter, type StoredPack } from '../../chunks/pack-writer.ts';
import type { Store } from '../../store/store.ts';

const runBytesMax = 8 * 1024 * 1024;

/** A chunk in its stored form, at its row. */
interface StoredChunk {
  readonly row: number;
  readonly bytes: Buffer;
}

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
    for (const run of this.runs(chunks)) {
      signal?.throwIfAborted();
      for (const chunk of await this.readRun(run)) await this.copyChunk(chunk);
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

  /** Groups rows that are read with one request. */
  private *runs(rows: readonly number[]): Generator<number[]> {
    let run: number[] = [];
    let end = 0;
    let bytes = 0;
    for (const row of rows) {
      const { offset, length } = this.table.placeAt(row);
      const first = run[0];
      const joins = first !== undefined && this.table.packAt(first) === this.table.packAt(row) && offset === end;
      if (!joins || bytes + length > runBytesMax) {
        if (run.length > 0) yield run;
        run = [];
        bytes = 0;
      }
      run.push(row);
      end = offset + length;
      bytes += length;
    }
    if (run.length > 0) yield run;
  }

  private async readRun(run: readonly number[]): Promise<StoredChunk[]> {
    const places = run.map((row) => this.table.placeAt(row));
    const { pack, offset } = places[0] as (typeof places)[0];
    const length = places.reduce((sum, place) => sum + place.length, 0);
    const key = packKey(this.project, 'data', pack);
    const bytes = Buffer.from(await this.store.read(key, offset, length));
    if (bytes.length < length) throw damaged(key, 'it is cut short');
    return run.map((row, index) => {
      const place = places[index] as (typeof places)[0];
      return { row, bytes: bytes.subarray(place.offset - offset, place.offset - offset + place.length) };
    });
  }

  private async copyChunk({ row, bytes }: StoredChunk): Promise<void> {
    const hash = this.hashOf(row);
    const plain = await native()
      .decodeBlob(bytes, chunkBytesMax, 'plain', hash)
      .catch((error: unknown) => {
        const key = packKey(this.project, 'data', this.packOf(row).id);
        throw damaged(key, `its chunk ${hash.toString('hex')} is damaged`, error);
      });
    await this.write('data', row, [bytes], plain.length);
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
    const [stored] = await encodeStored([bytes]);
    await this.write('meta', row, stored as readonly Buffer[], bytes.length);
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

function damaged(key: string, why: string, cause?: unknown): PachError {
  return new PachError('damaged', {
    what: `pack ${key}`,
    why: `${why}; nothing was deleted`,
    next: 'pach fsck',
    cause,
  });
}
