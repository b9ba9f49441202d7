/**
 * Stores blobs once: what the project has already, or this writer has added, is only referred
 * to. Blobs are durable when `finish` resolves.
 */
import { native } from '../base/native.ts';
import type { PackKind } from '../model/keys.ts';
import { hashKey, type Hash, type Ref, type RefType } from '../model/refs.ts';
import type { Store } from '../store/store.ts';
import type { KnownBlobs } from './known.ts';
import { PackWriter, type StoredPack } from './pack-writer.ts';

export interface PlainBlob {
  readonly hash: Hash;
  readonly bytes: Buffer;
}

interface FreshBlob {
  readonly blob: PlainBlob;
  readonly resolve: (ref: Ref) => void;
  readonly reject: (error: unknown) => void;
}

export class BlobWriter {
  private readonly type: RefType;
  private readonly known: KnownBlobs;
  private readonly packs: PackWriter;
  private readonly added = new Map<string, Promise<Ref>>();
  /** Plain bytes of the blobs that were not known before. */
  newBytes = 0;

  constructor(store: Store, project: string, kind: PackKind, known: KnownBlobs) {
    this.type = kind === 'data' ? 'chunk' : 'node';
    this.known = known;
    this.packs = new PackWriter(store, project, kind);
  }

  /** References to these blobs, in order. Blobs that are new are packed in order. */
  async add(blobs: readonly PlainBlob[]): Promise<Ref[]> {
    const fresh: FreshBlob[] = [];
    const refs = blobs.map((blob) => {
      const key = hashKey(blob.hash);
      const before = this.added.get(key);
      if (before) return before;
      const ref = new Promise<Ref>((resolve, reject) => fresh.push({ blob, resolve, reject }));
      this.added.set(key, ref);
      return ref;
    });
    const [found] = await Promise.all([Promise.all(refs), this.store(fresh)]);
    return found;
  }

  /** Stores what is still open. Resolves to the packs that were written. */
  finish(): Promise<readonly StoredPack[]> {
    return this.packs.finish();
  }

  /** Settles each of them, and never throws. */
  private async store(blobs: readonly FreshBlob[]): Promise<void> {
    try {
      const places = await Promise.all(blobs.map(({ blob }) => this.known.find(blob.hash)));
      const missing = blobs.filter((_, index) => !places[index]);
      const stored = missing.length > 0 ? await native().encodeBlobs(missing.map(({ blob }) => blob.bytes)) : [];
      let next = 0;
      for (const [index, { blob, resolve }] of blobs.entries()) {
        let place = places[index];
        if (!place) {
          place = await this.packs.add(blob.hash, stored[next] as Buffer, blob.bytes.length);
          next += 1;
          this.newBytes += blob.bytes.length;
        }
        resolve({ type: this.type, hash: copyOf(blob.hash), place });
      }
    } catch (error) {
      for (const { blob, reject } of blobs) {
        this.added.delete(hashKey(blob.hash));
        reject(error);
      }
    }
  }
}

/** A hash of its own memory: one that is a part of a large buffer would keep all of it alive. */
function copyOf(hash: Hash): Hash {
  return Buffer.from(hash) as Hash;
}
