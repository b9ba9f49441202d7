/**
 * Fills packs with blobs and stores them, several at once, within a bound of memory. A blob's
 * place is known when it is added; it is durable when `finish` resolves.
 */
import { packKey, randomPackId, type PackKind } from '../model/keys.ts';
import type { Hash, PackId, Place } from '../model/refs.ts';
import type { Store } from '../store/store.ts';
import { packHeader, packHeaderBytes, packIndex, type PackEntry } from './pack.ts';

const packBytesTarget = 32 * 1024 * 1024;
const uploadsMax = 3;

/** A pack that was stored. */
export interface StoredPack {
  readonly kind: PackKind;
  readonly id: PackId;
  /** Size of the object in bytes. */
  readonly bytes: number;
  readonly blobs: number;
}

interface OpenPack {
  readonly id: PackId;
  readonly parts: Buffer[];
  readonly entries: PackEntry[];
  bytes: number;
}

export class PackWriter {
  private readonly store: Store;
  private readonly project: string;
  private readonly kind: PackKind;
  private readonly stored: StoredPack[] = [];
  private readonly pending = new Set<Promise<void>>();
  private open: OpenPack | undefined;
  private failure: { error: unknown } | undefined;

  constructor(store: Store, project: string, kind: PackKind) {
    this.store = store;
    this.project = project;
    this.kind = kind;
  }

  /** Appends a blob in its stored form; waits while too many packs are being stored. */
  async add(hash: Hash, stored: Buffer, plainLength: number): Promise<Place> {
    while (this.pending.size >= uploadsMax) await Promise.race(this.pending);
    if (this.failure) throw this.failure.error;
    const pack = (this.open ??= { id: randomPackId(), parts: [], entries: [], bytes: packHeaderBytes });
    const place: Place = { pack: pack.id, offset: pack.bytes, length: stored.length };
    pack.parts.push(stored);
    pack.entries.push({ hash, offset: place.offset, storedLength: stored.length, plainLength });
    pack.bytes += stored.length;
    if (pack.bytes >= packBytesTarget) this.close(pack);
    return place;
  }

  /** Stores what is left. Resolves to all packs of this writer, now durable. */
  async finish(): Promise<readonly StoredPack[]> {
    if (this.open) this.close(this.open);
    while (this.pending.size > 0) await Promise.race(this.pending);
    if (this.failure) throw this.failure.error;
    return this.stored;
  }

  private close(pack: OpenPack): void {
    this.open = undefined;
    const index = packIndex(this.kind, pack.entries);
    const parts = [packHeader(this.kind), ...pack.parts, index];
    const upload = this.store
      .writeIfAbsent(packKey(this.project, this.kind, pack.id), parts)
      .then(() => {
        const { id, entries } = pack;
        this.stored.push({ kind: this.kind, id, bytes: pack.bytes + index.length, blobs: entries.length });
      })
      .catch((error: unknown) => {
        this.failure ??= { error };
      })
      .finally(() => this.pending.delete(upload));
    this.pending.add(upload);
  }
}
