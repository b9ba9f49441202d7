/**
 * Brings chunks from one store into packs of another, as they are stored and after their hashes were
 * verified. What is wanted waits by source pack, so that neighbours come with one request. How many
 * requests are under way, and their bytes, is limited; packs are filled in the order of the requests.
 */
import { isPachError } from '../base/errors.ts';
import { readRun, runLength, type ChunkInPack, type StoredChunk, type StoredRun } from '../chunks/stored-runs.ts';
import { hashKey, type PackId, type Place, type Ref } from '../model/refs.ts';
import type { Project } from '../versions/project.ts';
import type { Upload } from '../versions/upload.ts';

/** A chunk that was asked for, and the promise of its place in the target. */
interface Wanted extends ChunkInPack {
  readonly ref: Ref;
  readonly place: Promise<Place>;
  readonly resolve: (place: Place) => void;
  readonly reject: (error: unknown) => void;
}

export interface MoverOptions {
  readonly source: Project;
  readonly upload: Upload;
  readonly signal?: AbortSignal | undefined;
  /** Told of each chunk that was brought: plain and stored bytes. */
  moved(plainBytes: number, storedBytes: number): void;
}

const readsMax = 32;
/** What is being read: far away, requests beside each other bring more; a folder of this machine gains nothing. */
const readBytesMax = { near: 12 * 1024 * 1024, far: 32 * 1024 * 1024 };
/** So much is read in vain rather than asking twice. */
const gapBytesMax = 128 * 1024;

export class ChunkMover {
  private readonly options: MoverOptions;
  /** What no request asks for yet, by the pack of the source where it should lie. */
  private readonly waiting = new Map<PackId | undefined, Wanted[]>();
  /** Chunks that are waiting or on their way, by hash. */
  private readonly underWay = new Map<string, Wanted>();
  /** Requests whose chunks are not in a pack yet, in order. None of them rejects. */
  private readonly adding = new Set<Promise<void>>();
  private readBytes = 0;
  private readonly readBytesMax: number;
  private failure: { readonly error: unknown } | undefined;

  constructor(options: MoverOptions) {
    this.options = options;
    this.readBytesMax = readBytesMax[options.source.options.store.isLocal ? 'near' : 'far'];
  }

  /** Brings these chunks, which the target does not have. Where each of them lies there, once it is in a pack. */
  want(refs: readonly Ref[]): Promise<Place>[] {
    const places = refs.map((ref) => this.enter(ref));
    this.begin();
    return places;
  }

  /** Waits until nothing is under way. After an error, or once the signal is aborted, that is soon. */
  async settle(): Promise<void> {
    await Promise.all(this.adding);
  }

  private enter(ref: Ref): Promise<Place> {
    const there = this.options.upload.placeOf(ref);
    if (there) return Promise.resolve(there);
    const key = hashKey(ref.hash);
    const known = this.underWay.get(key);
    if (known) return known.place;
    const { offset = 0, length = 0, pack } = ref.place ?? {};
    const wanted = { ref, hash: ref.hash, offset, length, ...deferred() };
    if (this.failure) {
      wanted.reject(this.failure.error);
      return wanted.place;
    }
    this.underWay.set(key, wanted);
    const ofPack = this.waiting.get(pack);
    if (ofPack) ofPack.push(wanted);
    else this.waiting.set(pack, [wanted]);
    return wanted.place;
  }

  /** Begins as many requests as may be under way. */
  private begin(): void {
    while (
      this.waiting.size > 0 &&
      !this.failure &&
      this.adding.size < readsMax &&
      this.readBytes < this.readBytesMax
    ) {
      const run = this.nextRun();
      const bytes = run.reduce((sum, { length }) => sum + length, 0);
      this.readBytes += bytes;
      const before = [...this.adding].at(-1);
      const read = this.read(run);
      read.catch(() => undefined); // `add` throws it.
      const added = this.add(run, read, before).finally(() => {
        this.adding.delete(added);
        this.readBytes -= bytes;
        this.begin();
      });
      this.adding.add(added);
    }
  }

  /** Takes what one request brings from what has waited longest. */
  private nextRun(): readonly Wanted[] {
    const [[pack, ofPack]] = this.waiting as unknown as [[PackId | undefined, Wanted[]]];
    ofPack.sort((a, b) => a.offset - b.offset);
    const run = ofPack.splice(0, pack === undefined ? 1 : runLength(ofPack, 0, gapBytesMax));
    if (ofPack.length === 0) this.waiting.delete(pack);
    return run;
  }

  private async read(run: readonly Wanted[]): Promise<StoredRun | undefined> {
    this.options.signal?.throwIfAborted();
    const { extents, name } = this.options.source.options;
    const pack = run[0]?.ref.place?.pack;
    if (pack === undefined) return undefined;
    try {
      return await readRun((...of) => extents.readOnce(...of), name, pack, run);
    } catch (error) {
      // The pack was collected: its chunks lie elsewhere.
      if (isPachError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  /** Puts what was read into packs, after what was asked for before. */
  private async add(
    run: readonly Wanted[],
    read: Promise<StoredRun | undefined>,
    before: Promise<void> | undefined,
  ): Promise<void> {
    try {
      // What came before an error is kept: it is not sent again.
      await before;
      const found = await read;
      if (this.failure) throw this.failure.error;
      for (const [n, wanted] of run.entries()) {
        this.options.signal?.throwIfAborted();
        const { stored, plainLength } = found?.chunks[n] ?? (await this.found(wanted.ref));
        const place = await this.options.upload.data.addStored(wanted.hash, stored, plainLength);
        this.underWay.delete(hashKey(wanted.hash));
        this.options.moved(plainLength, stored.length);
        wanted.resolve(place);
      }
      found?.release();
    } catch (error) {
      this.fail(error);
    }
  }

  /** A chunk that was not where its reference says, or not as it should be there. */
  private async found(ref: Ref): Promise<StoredChunk> {
    return this.options.source.reader.storedChunk(ref);
  }

  /** The first error ends everything: nothing more is begun. */
  fail(error: unknown): void {
    this.failure ??= { error };
    this.waiting.clear();
    for (const { reject } of this.underWay.values()) reject(this.failure.error);
    this.underWay.clear();
  }
}

function deferred(): Pick<Wanted, 'place' | 'resolve' | 'reject'> {
  let settle: Pick<Wanted, 'resolve' | 'reject'> | undefined;
  const place = new Promise<Place>((resolve, reject) => {
    settle = { resolve, reject };
  });
  place.catch(() => undefined); // Whoever asked for it hears of it.
  return { place, ...(settle as unknown as Pick<Wanted, 'resolve' | 'reject'>) };
}
