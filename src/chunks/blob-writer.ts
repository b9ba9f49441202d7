/**
 * Stores blobs once: what the project has already, or this writer has added, is only referred
 * to. Blobs are durable when `finish` resolves.
 */
import type { PackKind } from '../model/keys.ts';
import { assert } from '../base/errors.ts';
import {
  chunkBytesMax,
  hashKey,
  nodeBytesMax,
  type Hash,
  type PackId,
  type Place,
  type Ref,
  type RefType,
} from '../model/refs.ts';
import type { Store } from '../store/store.ts';
import { BlobTable } from './blob-table.ts';
import type { KnownBlobs } from './known.ts';
import { packEntry, type PackIndex } from './pack.ts';
import { encodeStored, PackWriter, type PackWatch, type StoredPack } from './pack-writer.ts';

export interface PlainBlob {
  readonly hash: Hash;
  readonly bytes: Buffer;
}

interface FreshBlob {
  readonly blob: PlainBlob;
  readonly resolve: (place: Place) => void;
  readonly reject: (error: unknown) => void;
}

export class BlobWriter {
  private readonly kind: PackKind;
  private readonly type: RefType;
  private readonly bytesMax: number;
  private readonly packs: PackWriter;
  private known: KnownBlobs;
  /** Where blobs lie that this writer was asked for. */
  private placed = new BlobTable();
  /** Packs of others that are published with those of this writer. */
  private readonly adopted = new Set<PackId>();
  /** The same for those that are on their way. */
  private readonly pending = new Map<string, Promise<Place>>();
  /** Plain bytes of the blobs that were not known before. */
  newBytes = 0;

  constructor(store: Store, project: string, kind: PackKind, known: KnownBlobs, watch: PackWatch = {}) {
    this.kind = kind;
    this.type = kind === 'data' ? 'chunk' : 'node';
    this.bytesMax = kind === 'data' ? chunkBytesMax : nodeBytesMax;
    this.known = known;
    this.packs = new PackWriter(store, project, kind, watch);
  }

  /** References to these blobs, in order. Blobs that are new are packed in order. */
  async add(blobs: readonly PlainBlob[]): Promise<Ref[]> {
    const fresh: FreshBlob[] = [];
    const found: Place[] = [];
    const coming: Promise<void>[] = [];
    for (const [index, blob] of blobs.entries()) {
      assert(blob.bytes.length <= this.bytesMax, 'a blob is no larger than readers take');
      const row = this.placed.find(blob.hash);
      if (row >= 0) {
        found[index] = this.placed.placeAt(row);
        continue;
      }
      const key = hashKey(blob.hash);
      let place = this.pending.get(key);
      if (!place) {
        place = new Promise<Place>((resolve, reject) => fresh.push({ blob, resolve, reject }));
        this.pending.set(key, place);
      }
      coming.push(
        place.then((at) => {
          found[index] = at;
        }),
      );
    }
    await Promise.all([...coming, this.store(fresh)]);
    return found.map((place, index) => {
      const { hash } = blobs[index] as PlainBlob;
      // A hash of its own memory: one that is a part of a large buffer would keep all of it alive.
      return { type: this.type, hash: Buffer.from(hash) as Hash, place };
    });
  }

  /** Where a blob lies that this writer has stored or was asked for; undefined says nothing of the project. */
  placeOf(hash: Hash): Place | undefined {
    const row = this.placed.find(hash);
    return row < 0 ? undefined : this.placed.placeAt(row);
  }

  /** Appends a blob in its stored form, which the caller has verified and found nowhere, unless it came meanwhile. */
  async addStored(hash: Hash, stored: Buffer, plainLength: number): Promise<Place> {
    const known = this.placeOf(hash);
    if (known) return known;
    const place = await this.packs.add(hash, [stored], plainLength);
    this.placed.add(hash, this.placed.pack(this.kind, place.pack), place.offset, place.length, plainLength);
    this.newBytes += plainLength;
    return place;
  }

  /** Takes a pack that was stored elsewhere for one of its own: what is in it is not stored again. */
  adopt(id: PackId, index: PackIndex): void {
    this.adopted.add(id);
    const number = this.placed.pack(this.kind, id);
    for (let n = 0; n < index.count; n += 1) {
      const { hash, offset, storedLength, plainLength } = packEntry(index, n);
      this.placed.add(hash, number, offset, storedLength, plainLength);
    }
  }

  /** True when the blob is in a pack of this writer's own, or in one that it has adopted. */
  has(hash: Hash): boolean {
    const row = this.placed.find(hash);
    return row >= 0 && this.isOwn(this.placed.placeAt(row).pack);
  }

  /** Begins to store what is still open. All packs of this writer; they are durable after `finish`. */
  seal(): readonly StoredPack[] {
    return this.packs.seal();
  }

  /** Stores what is still open. Resolves to all packs of this writer, now durable. */
  finish(): Promise<readonly StoredPack[]> {
    return this.packs.finish();
  }

  /** Gives up what is not stored: when it resolves no write is under way, and none begins any more. */
  stop(): Promise<void> {
    return this.packs.stop();
  }

  /** From now on relies on `known`, and on its own packs, instead of what it knew before. */
  relyOn(known: KnownBlobs): void {
    const before = this.placed;
    this.placed = new BlobTable();
    this.known = known;
    for (let row = 0; row < before.size; row += 1) {
      const { pack, offset, length } = before.placeAt(row);
      if (!this.isOwn(pack)) continue;
      const number = this.placed.pack(this.kind, pack);
      this.placed.add(before.hashAt(row), number, offset, length, before.plainLengthAt(row));
    }
  }

  private isOwn(pack: PackId): boolean {
    return this.packs.ids.has(pack) || this.adopted.has(pack);
  }

  /** Settles each of them, and never throws. */
  private async store(blobs: readonly FreshBlob[]): Promise<void> {
    if (blobs.length === 0) return;
    try {
      const places = await this.known.findAll(blobs.map(({ blob }) => blob.hash));
      const missing = blobs.filter((_, index) => !places[index]);
      const encoded = missing.length > 0 ? await encodeStored(missing.map(({ blob }) => blob.bytes)) : undefined;
      let next = 0;
      for (const [index, { blob, resolve }] of blobs.entries()) {
        const { hash, bytes } = blob;
        let place = places[index];
        if (!place) {
          place = await this.packs.add(hash, encoded?.stored[next] as readonly Buffer[], bytes.length);
          next += 1;
          this.newBytes += bytes.length;
        }
        const pack = this.placed.pack(this.kind, place.pack);
        this.placed.add(hash, pack, place.offset, place.length, bytes.length);
        this.pending.delete(hashKey(hash));
        resolve(place);
      }
      encoded?.release();
    } catch (error) {
      for (const { blob, reject } of blobs) {
        this.pending.delete(hashKey(blob.hash));
        reject(error);
      }
    }
  }
}
