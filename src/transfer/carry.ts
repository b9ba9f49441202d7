/**
 * Brings all that is below some references from one project's store to another's, but for what the
 * target has. A node that an index of the target lists is whole (FORMAT.md section 8), so nothing below
 * it is looked at. Names stay what they are: places lie outside of every hash.
 *
 * Nodes are walked in their order, ahead of the chunks: a node is stored when all that it refers to
 * has a place in the target. How far the walk is ahead is limited.
 */
import type { Node } from '../model/node.ts';
import { hashKey, type Place, type Ref } from '../model/refs.ts';
import type { Project } from '../versions/project.ts';
import type { Upload } from '../versions/upload.ts';
import { ChunkMover } from './chunk-mover.ts';
import { Counterparts, type Alike } from './counterparts.ts';

/** What was brought so far. */
export interface CarryProgress {
  readonly chunks: number;
  readonly nodes: number;
  /** Bytes of the chunks, plain, and as they are stored. */
  readonly plainBytes: number;
  readonly storedBytes: number;
}

export interface CarryOptions {
  readonly signal?: AbortSignal | undefined;
  /** What the target has that is much like a root, such as the head of the branch there that a commit is to follow. */
  readonly like?: (root: Ref) => Ref | undefined;
  progress?(now: CarryProgress): void;
}

/** How far the walk is ahead. */
interface Ahead {
  /** References of nodes that wait for their chunks, and as many again for each node, at most. */
  readonly refs: number;
  /** Nodes that are asked for before it is their turn. */
  readonly nodes: number;
}

/** Only what is far away needs much of it: what waits for long grows old, and V8 frees old objects late. */
const aheadMax = {
  far: { refs: 8192, nodes: 16 },
  toFar: { refs: 4096, nodes: 8 },
  near: { refs: 2048, nodes: 2 },
};
const refsOfNode = 16;

/**
 * Brings everything below `roots` to the target of `upload`, where it becomes visible with the change that
 * the upload is for. The same references, with places in the target. Rejects with the first error, once
 * nothing is under way any more; what was brought then is brought again by nobody, as far as the
 * upload has announced it.
 */
export async function carry(
  source: Project,
  upload: Upload,
  roots: readonly Ref[],
  options: CarryOptions = {},
): Promise<Ref[]> {
  return new Carrier(source, upload, options).carry(roots);
}

/** A node that the target lacks, and what it has that may be like it. */
interface NodeToWalk {
  readonly ref: Ref;
  readonly like: readonly Ref[];
}

class Carrier {
  private readonly source: Project;
  private readonly upload: Upload;
  private readonly options: CarryOptions;
  private readonly mover: ChunkMover;
  private readonly counterparts: Counterparts;
  /** Where nodes will lie whose references were all asked for, by hash. They are stored without any further walk. */
  private readonly walked = new Map<string, Promise<Place>>();
  private readonly ahead: Ahead;
  private weight = 0;
  private readonly now = { chunks: 0, nodes: 0, plainBytes: 0, storedBytes: 0 };

  constructor(source: Project, upload: Upload, options: CarryOptions) {
    this.source = source;
    this.upload = upload;
    this.options = options;
    const fromHere = upload.isLocal ? 'near' : 'toFar';
    this.ahead = aheadMax[source.options.store.isLocal ? fromHere : 'far'];
    const { signal } = options;
    this.counterparts = new Counterparts(upload.reader);
    this.mover = new ChunkMover({ source, upload, signal, moved: (...bytes) => this.movedChunk(...bytes) });
  }

  async carry(roots: readonly Ref[]): Promise<Ref[]> {
    try {
      return await placed(roots, await this.askFor(roots, rootsAlike(this.options)));
    } catch (error) {
      this.mover.fail(error);
      throw error;
    } finally {
      await this.mover.settle();
      await Promise.allSettled(this.walked.values());
    }
  }

  /** Asks for those of these that the target lacks, and all below them. Where each of them lies, or will. */
  private async askFor(refs: readonly Ref[], alike: Alike): Promise<(Place | Promise<Place>)[]> {
    const places = await this.placesOf(refs, alike);
    const missing = refs.filter(({ type }, index) => type === 'node' && !places[index]);
    const nodes = missing.map((ref, index) => ({ ref, like: alike.of(ref, index, missing.length) }));
    for (const node of nodes.slice(0, this.ahead.nodes)) this.prefetch(node);
    let chunks: number[] = [];
    const ask = (): void => {
      const asked = this.mover.want(chunks.map((index) => refs[index] as Ref));
      for (const [n, index] of chunks.entries()) places[index] = asked[n];
      chunks = [];
    };
    let next = 0;
    for (const [index, ref] of refs.entries()) {
      if (places[index]) continue;
      if (ref.type === 'chunk') {
        chunks.push(index);
        continue;
      }
      ask();
      this.prefetch(nodes[next + this.ahead.nodes]);
      ({ place: places[index] } = await this.walk(nodes[next] as NodeToWalk));
      next += 1;
    }
    ask();
    return places as (Place | Promise<Place>)[];
  }

  private async placesOf(refs: readonly Ref[], { places }: Alike): Promise<(Place | Promise<Place> | undefined)[]> {
    const found = refs.map(({ hash }) => places.get(hashKey(hash)));
    const left = refs.flatMap((_, index) => (found[index] ? [] : [index]));
    const asked = await this.upload.placesOf(left.map((index) => refs[index] as Ref));
    for (const [n, index] of left.entries()) found[index] = asked[n];
    return found;
  }

  /** Asks for all that a node refers to. In an object, since it is not waited for. */
  private async walk({ ref, like }: NodeToWalk): Promise<{ readonly place: Place | Promise<Place> }> {
    const key = hashKey(ref.hash);
    const before = this.upload.placeOf(ref) ?? this.walked.get(key);
    if (before) return { place: before };
    await this.room();
    this.options.signal?.throwIfAborted();
    const node = await this.source.reader.node(ref);
    const places = await this.askFor(node.refs, await this.counterparts.alike(node, like));
    const weight = node.refs.length + refsOfNode;
    this.weight += weight;
    const place = this.store(node, places).finally(() => {
      this.weight -= weight;
      this.walked.delete(key);
    });
    place.catch(() => undefined); // Whoever refers to it hears of it.
    this.walked.set(key, place);
    return { place };
  }

  /** Waits while too much of what was walked is not stored yet. */
  private async room(): Promise<void> {
    while (this.weight > this.ahead.refs) {
      const [oldest] = this.walked.values();
      await oldest;
    }
  }

  private async store(node: Node, places: readonly (Place | Promise<Place>)[]): Promise<Place> {
    const { place } = await this.upload.nodes.add({ ...node, refs: await placed(node.refs, places) });
    if (!place) throw new Error('a node that was stored has a place');
    this.now.nodes += 1;
    this.options.progress?.(this.now);
    return place;
  }

  private movedChunk(plainBytes: number, storedBytes: number): void {
    this.now.chunks += 1;
    this.now.plainBytes += plainBytes;
    this.now.storedBytes += storedBytes;
    this.options.progress?.(this.now);
  }

  private prefetch(node: NodeToWalk | undefined): void {
    if (!node) return;
    // Whoever walks to it meets the same error.
    this.source.reader.node(node.ref).catch(() => undefined);
    this.counterparts.prefetch(node.like);
  }
}

function rootsAlike({ like }: CarryOptions): Alike {
  const of = (root: Ref): readonly Ref[] => {
    const found = like?.(root);
    return found ? [found] : [];
  };
  return { places: new Map(), of };
}

/** The same references with places of the target, once all of them have one. */
async function placed(refs: readonly Ref[], places: readonly (Place | Promise<Place>)[]): Promise<Ref[]> {
  const found: Place[] = [];
  for (const place of places) found.push(place instanceof Promise ? await place : place);
  return refs.map(({ type, hash }, index) => ({ type, hash, place: found[index] }));
}
