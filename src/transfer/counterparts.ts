/**
 * What the target has that is much like what is brought: the nodes there of the version before, beside those of the
 * new one. A node of the target has places there for all that it refers to, so what two versions share is
 * known by reading one node, and no index is asked for thousands of chunks.
 */
import type { Node, NodeSource } from '../model/node.ts';
import { hashKey, type Place, type Ref } from '../model/refs.ts';

/** Counterparts of one node at most. */
const eachMax = 4;
/** After so many nodes, each must have told of so many references. */
const trialNodes = 64;
const refsOfNodeMin = 8;

/** What the counterparts of a node tell of its references. */
export interface Alike {
  /** Places of references that both have, by hash. */
  readonly places: ReadonlyMap<string, Place>;
  /** Counterparts of one of the nodes that the target lacks: the one at `index` of `count`, in order. */
  of(node: Ref, index: number, count: number): readonly Ref[];
}

const none: Alike = { places: new Map(), of: () => [] };

export class Counterparts {
  private readonly target: NodeSource;
  private nodes = 0;
  private shared = 0;

  constructor(target: NodeSource) {
    this.target = target;
  }

  /** Begins to read what `alike` will want. */
  prefetch(refs: readonly Ref[]): void {
    if (this.isWorthIt) for (const ref of refs) this.target.node(ref).catch(() => undefined);
  }

  /** What these nodes of the target have in common with a new one. Nothing where they can't be read: indexes are asked then. */
  async alike(node: Node, refs: readonly Ref[]): Promise<Alike> {
    if (refs.length === 0 || !this.isWorthIt) return none;
    const wanted = new Set(node.refs.map(({ hash }) => hashKey(hash)));
    const places = new Map<string, Place>();
    const others: Ref[] = [];
    for (const ref of refs) {
      const found = await this.target.node(ref).catch(() => undefined);
      if (found?.kind !== node.kind) continue;
      this.nodes += 1;
      for (const below of found.refs) {
        const key = hashKey(below.hash);
        if (!wanted.has(key)) {
          if (below.type === 'node') others.push(below);
        } else if (below.place) places.set(key, below.place);
      }
    }
    this.shared += places.size;
    return { places, of: (_, index, count) => partOf(others, index, count) };
  }

  private get isWorthIt(): boolean {
    return this.nodes < trialNodes || this.shared >= this.nodes * refsOfNodeMin;
  }
}

/** Of things in order, those that stand where the one at `index` of `count` does. */
function partOf(refs: readonly Ref[], index: number, count: number): readonly Ref[] {
  const first = Math.floor((index * refs.length) / count);
  const end = Math.ceil(((index + 1) * refs.length) / count);
  return refs.slice(first, Math.min(end, first + eachMax));
}
