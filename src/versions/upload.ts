/**
 * The new objects of one change: chunks and nodes on their way into packs. Data packs of a long
 * upload are announced in the head as they come, so that nothing of it need be stored again when
 * it breaks off.
 */
import { mapOrdered } from '../base/async.ts';
import { PachError } from '../base/errors.ts';
import type { BlobReader } from '../cache/blobs.ts';
import { BlobTable } from '../chunks/blob-table.ts';
import { BlobWriter } from '../chunks/blob-writer.ts';
import type { IndexCache } from '../chunks/index-cache.ts';
import type { KnownBlobs } from '../chunks/known.ts';
import type { PackWatch, StoredPack } from '../chunks/pack-writer.ts';
import { packKey } from '../model/keys.ts';
import { encodeNode, type Node, type NodeSink, type NodeSource } from '../model/node.ts';
import type { Hash, PackId, Place, Ref } from '../model/refs.ts';
import type { Store } from '../store/store.ts';

/** Packs that one process has stored for another one to publish: plain data. */
export interface StoredParts {
  readonly packs: readonly StoredPack[];
  /** Of the head whose indexes were relied on when they were stored. */
  readonly epoch: number;
}

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

const readsMax = 16;

/** Its scope is the change's: at the end nothing of it is being written any more, whatever became of the change. */
export class Upload implements AsyncDisposable {
  readonly data: BlobWriter;
  readonly nodes: NodeSink;
  /** Reads what the project has, and nodes of this upload. */
  readonly reader: NodeSource;
  private readonly meta: BlobWriter;
  private readonly options: UploadOptions;
  private known: KnownBlobs;
  private epochRelied: number;
  private packs: readonly StoredPack[] = [];
  private readonly adopted = new Map<PackId, StoredPack>();
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
    this.reader = reader;
    this.known = known;
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

  /** True when it goes to a folder of this machine. */
  get isLocal(): boolean {
    return this.options.store.isLocal;
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
    this.packs = [...this.data.seal(), ...this.meta.seal(), ...this.adopted.values()];
    return this.packs;
  }

  /** Makes everything durable. Resolves to all packs so far. */
  async finish(): Promise<readonly StoredPack[]> {
    this.seal();
    await Promise.all([this.data.finish(), this.meta.finish()]);
    await this.announcing;
    return this.packs;
  }

  /** Makes everything durable, for an upload in another process to adopt and publish. */
  async handOver(): Promise<StoredParts> {
    return { packs: await this.finish(), epoch: this.epochRelied };
  }

  /**
   * Takes packs that another process has handed over for its own: they are published with the rest.
   * Until then they are as an upload's own packs: a collection may condemn them, and deletes them when
   * nobody publishes them for a grace period. Throws `damaged` when one is not there any more, or not what was handed
   * over.
   */
  async adopt({ packs, epoch }: StoredParts): Promise<void> {
    const { known, project } = this.options;
    const reads = mapOrdered(packs, readsMax, ({ kind, id }) => known.addPack({ kind, id }, new BlobTable()));
    let n = 0;
    for await (const { pack: found, index } of reads) {
      const given = packs[n] as StoredPack;
      n += 1;
      if (found.bytes !== given.bytes || found.blobs !== given.blobs) {
        throw new PachError('damaged', {
          what: packKey(project, given.kind, given.id),
          why: `it has ${found.bytes} bytes and ${found.blobs} blobs, not ${given.bytes} and ${given.blobs}`,
        });
      }
      (found.kind === 'data' ? this.data : this.meta).adopt(found.id, index);
      this.adopted.set(found.id, found);
    }
    // What relied on an older head's indexes is made sure of before it is published (renew.ts).
    this.epochRelied = Math.min(this.epochRelied, epoch);
  }

  /** Packs that the head's indexes do not list yet, as far as this upload knows. */
  unlisted(): readonly StoredPack[] {
    return this.packs.filter(({ id }) => !this.announced.has(id));
  }

  /** True when the blob is in a pack of this upload, adopted ones among them. */
  has(ref: { readonly type: 'chunk' | 'node'; readonly hash: Hash }): boolean {
    return (ref.type === 'chunk' ? this.data : this.meta).has(ref.hash);
  }

  /** Where a blob lies that this upload has stored or was asked for; undefined says nothing of the project. */
  placeOf({ type, hash }: Ref): Place | undefined {
    return (type === 'chunk' ? this.data : this.meta).placeOf(hash);
  }

  /** Where this upload or the project has these; undefined for what neither has. */
  async placesOf(refs: readonly Ref[]): Promise<(Place | undefined)[]> {
    const places = refs.map((ref) => this.placeOf(ref));
    const left = refs.flatMap((_, index) => (places[index] ? [] : [index]));
    const found = await this.known.findAll(left.map((index) => (refs[index] as Ref).hash));
    for (const [n, index] of left.entries()) places[index] = found[n];
    return places;
  }

  /** From now on relies on what a head of this epoch says, and on its own packs. */
  relyOn(known: KnownBlobs, epoch: number): void {
    this.known = known;
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

  /** Never fails: packs that could not be announced are listed when the change is published. */
  private async announce(): Promise<void> {
    while (this.unannounced.length > 0) {
      const packs = this.unannounced;
      this.unannounced = [];
      const listed = await this.options.announce(packs, this.epochRelied, this.ended.signal).catch(() => false);
      if (listed) for (const { id } of packs) this.announced.add(id);
    }
  }
}
