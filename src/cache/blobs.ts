/**
 * Verified chunks and nodes by reference. No byte leaves here that does not match its hash; a
 * place that turns out wrong is read anew from the store, then looked up in the indexes.
 */
import type { Deadline } from '../base/deadline.ts';
import { assert, isPachError, PachError } from '../base/errors.ts';
import { Budget, Lru } from '../base/lru.ts';
import { native } from '../base/native.ts';
import type { StoredChunk } from '../chunks/stored-runs.ts';
import { packKey } from '../model/keys.ts';
import { decodeNode, type Node } from '../model/node.ts';
import { chunkBytesMax, hashKey, nodeBytesMax, type Hash, type Place, type Ref } from '../model/refs.ts';
import type { ReferenceContent } from '../model/reference.ts';
import type { ExtentCache } from './extents.ts';
import { MissingPacks } from './missing.ts';
import { pieceBytes, type OutsideBytes } from './outside.ts';

/** Knows where blobs lie: as it remembers, or as a head says that was read after `since` (performance.now()). */
export interface BlobIndex {
  find(hash: Hash, since?: number): Promise<Place | undefined>;
}

export interface BlobReaderOptions {
  readonly extents: ExtentCache;
  readonly project: string;
  readonly known: BlobIndex;
  readonly memory: BlobMemory;
  /** Reads references. */
  readonly outside?: OutsideBytes | undefined;
  /** Nobody waits for what it reads. */
  readonly idle?: boolean;
}

/** What readers may keep in memory together: `bytesMax` of chunks, and the same again of nodes. */
export class BlobMemory {
  readonly chunks: Budget;
  readonly nodes: Budget;
  readonly plainNodes: Budget;

  constructor(bytesMax: number) {
    this.chunks = new Budget(bytesMax);
    this.nodes = new Budget(bytesMax);
    this.plainNodes = new Budget(bytesMax / plainNodesPart);
  }
}

const decodeOnThreadBytesMax = 32 * 1024;
/** A decoded node takes this many times the room of its stored bytes: measured with full directories. */
const nodeWeight = 10;
/** Nodes as plain bytes get this share of the memory: a listing asks for one a few times in a row. */
const plainNodesPart = 16;
const runBytesMax = 8 * 1024 * 1024;
/** Of a piece that is on the disk, a shorter part is read by itself. */
const partBytesMax = 1024 * 1024;

export class BlobReader {
  private readonly options: BlobReaderOptions;
  private readonly chunks: Lru<Promise<Buffer>>;
  private readonly nodes: Lru<Promise<Node>>;
  private readonly plainNodes: Lru<Promise<Buffer>>;
  private readonly missing = new MissingPacks();

  constructor(options: BlobReaderOptions) {
    this.options = options;
    this.chunks = new Lru(options.memory.chunks);
    this.nodes = new Lru(options.memory.nodes);
    this.plainNodes = new Lru(options.memory.plainNodes);
  }

  /**
   * The plain bytes of a chunk of `length` bytes; shared, not to be changed. `deadline`: of a caller that
   * has waited already.
   */
  chunk(ref: Ref, length: number, deadline?: Deadline): Promise<Buffer> {
    const key = hashKey(ref.hash);
    let bytes = this.chunks.get(key);
    if (!bytes) {
      bytes = this.verified(ref, (place, fresh) => this.chunkAt(ref.hash, place, fresh, deadline));
      this.chunks.set(key, bytes, length);
      bytes.catch(() => this.chunks.delete(key));
    }
    return bytes.then((found) => {
      if (found.length === length) return found;
      // The chunk has the right hash, so the node is wrong about its length, by which it was kept.
      this.chunks.delete(key);
      throw new PachError('damaged', {
        what: `chunk ${ref.hash.toString('hex')}`,
        why: `it has ${found.length} bytes, but a version says ${length}`,
        next: 'put the file again',
      });
    });
  }

  /** The plain bytes of a chunk of any length, which are not kept. */
  plainChunk(ref: Ref): Promise<Buffer> {
    return this.verified(ref, (place, fresh) => this.chunkAt(ref.hash, place, fresh));
  }

  /** A chunk as it is stored, verified, which is not kept. */
  storedChunk(ref: Ref): Promise<StoredChunk> {
    return this.verified(ref, async (place, fresh) => {
      const { key, stored } = await this.stored('data', place, fresh);
      const plain = await guarded(key, place, () => native().decodeBlob(stored, chunkBytesMax, 'plain', ref.hash));
      return { stored, plainLength: plain.length };
    });
  }

  /** Bytes of a reference: the piece with this number (outside.ts); shared, not to be changed. */
  piece(content: ReferenceContent, index: number): Promise<Buffer> {
    const { outside, project } = this.options;
    assert(outside, 'who reads references has a reader of objects');
    const key = `${hashKey(content.hash)}${index}`;
    const cached = this.chunks.get(key);
    if (cached) return cached;
    const bytes = outside.piece(project, content, index);
    this.chunks.set(key, bytes, Math.min(pieceBytes, content.size));
    bytes.catch(() => this.chunks.delete(key));
    return bytes;
  }

  /** Bytes [from, to) of such a piece: a small part that is on the disk costs no more than that part. */
  async partOfPiece(content: ReferenceContent, index: number, from: number, to: number): Promise<Buffer> {
    const { outside, project } = this.options;
    if (to - from < partBytesMax && !this.chunks.get(`${hashKey(content.hash)}${index}`)) {
      const range = { offset: index * pieceBytes + from, length: to - from };
      const part = await outside?.part(project, content, range);
      if (part) return part;
    }
    return (await this.piece(content, index)).subarray(from, to);
  }

  /** A node; the same object while it stays in memory. */
  node(ref: Ref): Promise<Node> {
    const key = hashKey(ref.hash);
    const cached = this.nodes.get(key);
    if (cached) return cached;
    const node = this.verified(ref, (place, fresh) => this.nodeAt(ref.hash, place, fresh));
    this.nodes.set(key, node, (ref.place?.length ?? 4096) * nodeWeight);
    node.catch(() => this.nodes.delete(key));
    return node;
  }

  /** The same as plain bytes, verified but not taken apart; shared, not to be changed. */
  nodeBytes(ref: Ref): Promise<Buffer> {
    const key = hashKey(ref.hash);
    const cached = this.plainNodes.get(key);
    if (cached) return cached;
    const bytes = this.verified(ref, (place, fresh) => this.nodeBytesAt(ref.hash, place, fresh));
    this.plainNodes.set(key, bytes, ref.place?.length ?? 4096);
    bytes.catch(() => this.plainNodes.delete(key));
    return bytes;
  }

  /** Keeps a node that was just written: it may be read before its pack is stored. */
  remember(ref: Ref, node: Node): void {
    this.nodes.set(hashKey(ref.hash), Promise.resolve(node), (ref.place?.length ?? 4096) * nodeWeight);
  }

  /** True when a chunk lies on this machine's disk as it is stored. */
  async isOnDisk({ place }: Ref): Promise<boolean> {
    const { extents, project } = this.options;
    return place !== undefined && extents.isOnDisk(packKey(project, 'data', place.pack), place.offset, place.length);
  }

  /** True once a chunk lies on the disk, in a pack that is being brought there as a whole. */
  async arrives({ place }: Ref): Promise<boolean> {
    const { extents, project } = this.options;
    return place !== undefined && extents.arrives(packKey(project, 'data', place.pack), place.offset + place.length);
  }

  /** No more bytes than that may be brought as whole packs; 0: none. */
  get packsBytesMax(): number {
    return this.options.extents.wholeBytesMax;
  }

  /** True when all of a data pack is on this machine, or is to be. */
  hasPack(pack: Place['pack']): Promise<boolean> {
    return this.options.extents.hasWhole(packKey(this.options.project, 'data', pack));
  }

  /** Brings all of a data pack to the disk, of which bytes before `end` are wanted. False when that failed; never rejects. */
  fetchPack(pack: Place['pack'], end: number): Promise<boolean> {
    return this.options.extents.fetchWhole(packKey(this.options.project, 'data', pack), end);
  }

  /** Forgets all that is in memory. */
  clear(): void {
    this.chunks.clear();
    this.nodes.clear();
    this.plainNodes.clear();
  }

  /** Begins to fetch chunks that will be asked for soon, neighbours in a pack with one request. */
  prefetch(chunks: readonly { readonly ref: Ref; readonly length: number }[]): void {
    let run: { pack: Place['pack']; offset: number; end: number; chunks: { ref: Ref; length: number }[] } | undefined;
    const flush = (): void => {
      if (run && run.chunks.length > 1) void this.fetchRun(run.pack, run.offset, run.end - run.offset);
      for (const { ref, length } of run?.chunks ?? []) this.chunk(ref, length).catch(() => undefined);
      run = undefined;
    };
    for (const { ref, length } of chunks) {
      const { place } = ref;
      if (!place || this.chunks.get(hashKey(ref.hash))) continue;
      if (run?.pack === place.pack && run.end === place.offset && run.end - run.offset < runBytesMax) {
        run.end += place.length;
        run.chunks.push({ ref, length });
      } else {
        flush();
        run = { pack: place.pack, offset: place.offset, end: place.offset + place.length, chunks: [{ ref, length }] };
      }
    }
    flush();
  }

  private async fetchRun(pack: Place['pack'], offset: number, length: number): Promise<void> {
    try {
      const { extents, project, idle } = this.options;
      await extents.read(packKey(project, 'data', pack), offset, length, undefined, idle);
    } catch {
      // The reader that needs these bytes meets the same error and reports it.
    }
  }

  private async verified<T>(ref: Ref, at: (place: Place, fresh: boolean) => Promise<T>): Promise<T> {
    const { missing } = this;
    const { known } = this.options;
    const tried: Place[] = [];
    let damage: PachError | undefined;
    let failure: unknown;
    let since: number | undefined;
    const read = async (place: Place): Promise<{ readonly found: T } | undefined> => {
      tried.push(place);
      for (const fresh of [false, true]) {
        try {
          const found = await at(place, fresh);
          missing.found(place.pack);
          return { found };
        } catch (error) {
          if (!isPachError(error, 'damaged', 'not-found', 'unsupported')) throw error;
          failure = error;
          if (isPachError(error, 'not-found')) {
            since = missing.add(place.pack);
            return undefined;
          }
          if (fresh) damage ??= error;
        }
      }
      return undefined;
    };
    const isTried = ({ pack, offset, length }: Place): boolean =>
      tried.some((each) => each.pack === pack && each.offset === offset && each.length === length);
    since = ref.place && missing.since(ref.place.pack);
    if (ref.place && since === undefined) {
      const there = await read(ref.place);
      if (there) return there.found;
    } else if (ref.place) tried.push(ref.place);
    for (const newest of [false, true]) {
      const place = await known.find(ref.hash, newest ? (since ?? performance.now()) : undefined);
      if (!place || isTried(place)) continue;
      const seen = missing.since(place.pack);
      since = Math.max(since ?? 0, seen ?? 0) || undefined;
      if (seen !== undefined) continue;
      const there = await read(place);
      if (there) return there.found;
    }
    if (damage) throw damage;
    throw new PachError('damaged', {
      what: ref.place ? `pack ${ref.place.pack}` : `${ref.type} ${ref.hash.toString('hex')}`,
      why: `a version refers to it, and it is missing from the store`,
      next: 'restore the object from a copy of the store',
      cause: failure,
    });
  }

  private async chunkAt(hash: Hash, place: Place, fresh: boolean, deadline?: Deadline): Promise<Buffer> {
    const { key, stored } = await this.stored('data', place, fresh, deadline);
    return guarded(key, place, () =>
      stored.length <= decodeOnThreadBytesMax
        ? native().decodeBlobSync(stored, chunkBytesMax, 'plain', hash)
        : native().decodeBlob(stored, chunkBytesMax, 'plain', hash),
    );
  }

  private async nodeBytesAt(hash: Hash, place: Place, fresh: boolean): Promise<Buffer> {
    const { key, stored } = await this.stored('meta', place, fresh);
    return guarded(key, place, () => {
      const bytes = native().decodeBlobSync(stored, nodeBytesMax, 'node', hash);
      if (native().verifyNode(bytes, hash)) return bytes;
      throw new Error('they do not match its hash');
    });
  }

  private async nodeAt(hash: Hash, place: Place, fresh: boolean): Promise<Node> {
    const { key, stored } = await this.stored('meta', place, fresh);
    return guarded(key, place, () => decodeNode(native().decodeBlobSync(stored, nodeBytesMax, 'node', hash), hash));
  }

  private async stored(
    kind: 'data' | 'meta',
    place: Place,
    fresh: boolean,
    deadline?: Deadline,
  ): Promise<{ key: string; stored: Buffer }> {
    const { extents, project, idle } = this.options;
    const key = packKey(project, kind, place.pack);
    const stored = fresh
      ? await extents.reread(key, place.offset, place.length)
      : await extents.read(key, place.offset, place.length, deadline, idle);
    return { key, stored };
  }
}

/** Turns what decoding finds wrong into an error that names the pack. */
async function guarded<T>(key: string, place: Place, decode: () => T | Promise<T>): Promise<T> {
  try {
    return await decode();
  } catch (error) {
    if (isPachError(error, 'unsupported')) throw error;
    throw new PachError('damaged', {
      what: `pack ${key}`,
      why: `its bytes ${place.offset} to ${place.offset + place.length} are damaged`,
      next: 'restore the object from a copy of the store',
      cause: error,
    });
  }
}
