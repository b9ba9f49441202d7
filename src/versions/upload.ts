/**
 * The new objects of one change: chunks and nodes on their way into packs. Data packs of a long
 * upload are announced in the head as they come, so that nothing of it need be stored again when
 * it breaks off.
 */
import type { BlobReader } from '../cache/blobs.ts';
import { BlobWriter } from '../chunks/blob-writer.ts';
import type { IndexCache } from '../chunks/index-cache.ts';
import type { KnownBlobs } from '../chunks/known.ts';
import type { PackWatch, StoredPack } from '../chunks/pack-writer.ts';
import { encodeNode, type Node, type NodeSink } from '../model/node.ts';
import type { Hash, PackId, Ref } from '../model/refs.ts';
import type { Store } from '../store/store.ts';

export interface UploadOptions {
  readonly store: Store;
  readonly project: string;
  readonly reader: BlobReader;
  /** What the project has, as its head of this epoch says. */
  readonly known: KnownBlobs;
  readonly epoch: number;
  /** Where the indexes of new packs are kept for a while. */
  readonly indexes: IndexCache;
  /** Adds packs to the project's indexes; false when its epoch is another by now. */
  readonly announce: (packs: readonly StoredPack[], epoch: number, signal: AbortSignal) => Promise<boolean>;
}

/** Its scope is the change's: at the end nothing of it is being written any more, whatever became of the change. */
export class Upload implements AsyncDisposable {
  readonly data: BlobWriter;
  readonly nodes: NodeSink;
  private readonly meta: BlobWriter;
  private readonly options: UploadOptions;
  private epochRelied: number;
  private packs: readonly StoredPack[] = [];
  private unannounced: StoredPack[] = [];
  private announcing: Promise<void> | undefined;
  private finishing = false;
  private readonly ended = new AbortController();
  /** True once it has come to rely on another epoch than it began with. */
  isRenewed = false;
  private readonly announced = new Set<PackId>();

  constructor(options: UploadOptions) {
    const { store, project, known, reader, epoch, indexes } = options;
    this.options = options;
    this.epochRelied = epoch;
    const closed: PackWatch['closed'] = ({ id, bytes }, index) => indexes.keepPack(id, { index, bytes });
    this.data = new BlobWriter(store, project, 'data', known, { closed, stored: (pack) => this.stored(pack) });
    const meta = new BlobWriter(store, project, 'meta', known, { closed });
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

  /** The epoch of the head whose indexes this relies on. */
  get epoch(): number {
    return this.epochRelied;
  }

  /** True when it has moved the head to announce packs. */
  get hasAnnounced(): boolean {
    return this.announced.size > 0 || this.announcing !== undefined;
  }

  /** Bytes of the packs stored so far. */
  get storedBytes(): number {
    return this.packs.reduce((sum, pack) => sum + pack.bytes, 0);
  }

  /** Begins to make everything durable. All packs so far. */
  seal(): readonly StoredPack[] {
    this.finishing = true;
    this.packs = [...this.data.seal(), ...this.meta.seal()];
    return this.packs;
  }

  /** Makes everything durable. Resolves to all packs so far. */
  async finish(): Promise<readonly StoredPack[]> {
    this.seal();
    await Promise.all([this.data.finish(), this.meta.finish()]);
    await this.announcing;
    return this.packs;
  }

  /** Packs that the head's indexes do not list yet, as far as this upload knows. */
  unlisted(): readonly StoredPack[] {
    return this.packs.filter(({ id }) => !this.announced.has(id));
  }

  /** True when this upload has stored the blob itself. */
  has(ref: { readonly type: 'chunk' | 'node'; readonly hash: Hash }): boolean {
    return (ref.type === 'chunk' ? this.data : this.meta).has(ref.hash);
  }

  /** From now on relies on what a head of this epoch says, and on its own packs. */
  relyOn(known: KnownBlobs, epoch: number): void {
    this.data.relyOn(known);
    this.meta.relyOn(known);
    this.epochRelied = epoch;
    this.isRenewed = true;
    this.announced.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.finishing = true;
    this.unannounced = [];
    this.ended.abort();
    await Promise.all([this.data.stop(), this.meta.stop(), this.announcing]);
  }

  /** Announces packs while more are to come; what `finish` stores is published a moment later. */
  private stored(pack: StoredPack): void {
    if (this.finishing) return;
    this.unannounced.push(pack);
    this.announcing ??= this.announce().finally(() => {
      this.announcing = undefined;
    });
  }

  /** Never fails: what could not be announced is listed when the change is published. */
  private async announce(): Promise<void> {
    while (this.unannounced.length > 0) {
      const packs = this.unannounced;
      this.unannounced = [];
      const listed = await this.options.announce(packs, this.epochRelied, this.ended.signal).catch(() => false);
      if (listed) for (const { id } of packs) this.announced.add(id);
    }
  }
}
