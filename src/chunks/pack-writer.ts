/**
 * Fills packs with blobs and stores them, several at once, within a bound of memory. A blob's
 * place is known when it is added; it is durable when `finish` resolves.
 */
import { native } from '../base/native.ts';
import { packKey, randomPackId, type PackKind } from '../model/keys.ts';
import type { Hash, PackId, Place } from '../model/refs.ts';
import type { Store } from '../store/store.ts';
import { indexOf, packHeader, packIndex, type PackEntry, type PackIndex } from './pack.ts';
import { SlabPool, Slabs } from './slabs.ts';

/** Codec 0: the plain bytes follow. */
const plainCodec = Buffer.from([0]);
const packBytesTarget = 26 * 1024 * 1024;
/** Packs that are being stored at once. One of many small blobs takes longer to be filled than to be stored. */
const uploadsMax = { few: 2, many: 1 };
const manyBlobs = 4096;

/** A pack that was stored. */
export interface StoredPack {
  readonly kind: PackKind;
  readonly id: PackId;
  /** Size of the object in bytes. */
  readonly bytes: number;
  readonly blobs: number;
}

/** Told of each pack: when it is complete and its index known, and when it is durable. */
export interface PackWatch {
  closed?(pack: StoredPack, index: PackIndex): void;
  stored?(pack: StoredPack): void;
}

interface OpenPack {
  readonly id: PackId;
  readonly bytes: Slabs;
  readonly entries: PackEntry[];
}

export class PackWriter {
  private readonly store: Store;
  private readonly project: string;
  private readonly kind: PackKind;
  private readonly told: PackWatch;
  private readonly closed: StoredPack[] = [];
  /** All packs begun so far. */
  readonly ids = new Set<PackId>();
  private readonly pending = new Set<Promise<void>>();
  private readonly slabs = new SlabPool();
  private uploadsMax = uploadsMax.few;
  private open: OpenPack | undefined;
  private failure: { error: unknown } | undefined;
  private readonly stopped = new AbortController();

  constructor(store: Store, project: string, kind: PackKind, told: PackWatch = {}) {
    this.store = store;
    this.project = project;
    this.kind = kind;
    this.told = told;
  }

  /** Appends a copy of a blob, given the parts of its stored form; waits while too many packs are being stored. */
  async add(hash: Hash, stored: readonly Buffer[], plainLength: number): Promise<Place> {
    while (this.pending.size >= this.uploadsMax) await Promise.race(this.pending);
    if (this.failure) throw this.failure.error;
    const pack = (this.open ??= this.begin());
    const length = stored.reduce((sum, part) => sum + part.length, 0);
    const place: Place = { pack: pack.id, offset: pack.bytes.length, length };
    for (const part of stored) pack.bytes.append(part);
    pack.entries.push({ hash, offset: place.offset, storedLength: length, plainLength });
    if (pack.bytes.length >= packBytesTarget) this.close(pack);
    return place;
  }

  /** Begins to store what is left. All packs of this writer; they are durable after `finish`. */
  seal(): readonly StoredPack[] {
    if (this.open) this.close(this.open);
    return this.closed;
  }

  /** Stores what is left. Resolves to all packs of this writer, now durable. */
  async finish(): Promise<readonly StoredPack[]> {
    const packs = this.seal();
    while (this.pending.size > 0) await Promise.race(this.pending);
    this.slabs.release();
    if (this.failure) throw this.failure.error;
    return packs;
  }

  /** Gives up what is not stored: when it resolves no write is under way, and none begins any more. */
  async stop(): Promise<void> {
    this.failure ??= { error: new Error('nothing is stored any more: the writer was stopped') };
    this.open = undefined;
    this.stopped.abort();
    await Promise.all(this.pending);
    this.slabs.release();
  }

  private begin(): OpenPack {
    const id = randomPackId();
    this.ids.add(id);
    const bytes = new Slabs(this.slabs);
    bytes.append(packHeader(this.kind));
    return { id, bytes, entries: [] };
  }

  private close({ id, bytes, entries }: OpenPack): void {
    this.open = undefined;
    const index = packIndex(this.kind, entries);
    bytes.append(index);
    const closed = { kind: this.kind, id, bytes: bytes.length, blobs: entries.length };
    this.closed.push(closed);
    this.uploadsMax = entries.length < manyBlobs ? uploadsMax.few : uploadsMax.many;
    this.told.closed?.(closed, indexOf(index));
    const upload = this.store
      .writeIfAbsent(packKey(this.project, this.kind, id), bytes.parts(), this.stopped.signal)
      .then(() => {
        // After a failure somebody may still be sending them: the collector frees them.
        bytes.release();
        this.told.stored?.(closed);
      })
      .catch((error: unknown) => {
        this.failure ??= { error };
      })
      .finally(() => this.pending.delete(upload));
    this.pending.add(upload);
  }
}

/** The stored forms of blobs, as `PackWriter.add` takes them. */
export interface EncodedBlobs {
  readonly stored: readonly (readonly Buffer[])[];
  /** Gives their memory back, once they were copied: nobody looks at one any more. */
  release(): void;
}

export async function encodeStored(plain: readonly Buffer[]): Promise<EncodedBlobs> {
  const encoded = await native().encodeBlobs(plain);
  const stored = encoded.map((blob, index) => (blob ? [blob] : [plainCodec, plain[index] as Buffer]));
  return { stored, release: () => native().release(...encoded.flatMap((blob) => blob ?? [])) };
}
