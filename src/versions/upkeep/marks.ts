/**
 * Which of a project's blobs can be reached: from its refs, and from what its newer operations
 * can bring back.
 */
import { PachError } from '../../base/errors.ts';
import type { BlobTable } from '../../chunks/blob-table.ts';
import type { NodeSource } from '../../model/node.ts';
import type { Head } from '../../model/records/head.ts';
import { decodeOperation } from '../../model/records/operation.ts';
import type { PackId, Ref } from '../../model/refs.ts';

const readsMax = 32;

export interface MarksOptions {
  /** Adds to the table what the index of this data pack knows, if it is one of the project's. */
  readonly learn: (pack: PackId) => Promise<void>;
  /** True for operations that are to be forgotten, with all before them. */
  readonly isForgotten?: (row: number) => boolean;
  readonly signal?: AbortSignal | undefined;
}

export class Marks {
  private readonly source: NodeSource;
  private readonly table: BlobTable;
  private readonly options: MarksOptions;
  private marked = new Uint8Array(1024);
  private readonly operations = new Set<number>();
  /** Rows marked so far, in the order in which they were. */
  readonly rows: number[] = [];

  /** `table` holds all blobs of the project; it may grow. */
  constructor(source: NodeSource, table: BlobTable, options: MarksOptions) {
    this.source = source;
    this.table = table;
    this.options = options;
  }

  has(row: number): boolean {
    return this.marked[row] === 1;
  }

  /**
   * Marks all that a head refers to, all its operations, and what those refer to that are not older
   * than `since` (milliseconds since 1970), as well as what was there before each of these: undo goes
   * back to it.
   */
  async markHead(head: Head, since: number): Promise<void> {
    await this.mark([head.refs]);
    let isBefore = false;
    for (let next: Ref | undefined = head.operationRef; next;) {
      // Older operations have been forgotten.
      const row = this.table.find(next.hash);
      if (row < 0 || this.operations.has(row) || this.options.isForgotten?.(row) === true) break;
      this.operations.add(row);
      if (!this.has(row)) this.take(row);
      const { refs, body }: { refs: readonly Ref[]; body: Buffer } = await this.source.node(next);
      const { time, hasParent } = decodeOperation(body);
      const [root, parent] = refs;
      // An earlier collection with a shorter grace period may have removed this operation's refs.
      if (root && (time >= since || isBefore) && this.table.find(root.hash) >= 0) await this.mark([root]);
      isBefore = time >= since;
      next = hasParent ? parent : undefined;
    }
  }

  /**
   * Marks these and all below them, but for operations only themselves. Throws `damaged` when one of
   * them is in no index.
   */
  async mark(roots: readonly Ref[]): Promise<void> {
    const nodes = roots.filter((ref) => this.isNew(ref));
    while (nodes.length > 0) {
      this.options.signal?.throwIfAborted();
      const batch = nodes.splice(-readsMax);
      for (const { kind, refs } of await Promise.all(batch.map((ref) => this.source.node(ref)))) {
        if (kind === 'operation') continue;
        await this.learnChunks(refs);
        for (const ref of refs) if (this.isNew(ref) && ref.type === 'node') nodes.push(ref);
      }
    }
  }

  /** A chunk that is in no segment may be in the own index of its pack (FORMAT.md section 8). */
  private async learnChunks(refs: readonly Ref[]): Promise<void> {
    for (const { type, hash, place } of refs) {
      if (type === 'chunk' && place && this.table.find(hash) < 0) await this.options.learn(place.pack);
    }
  }

  private isNew(ref: Ref): boolean {
    const row = this.table.find(ref.hash);
    if (row < 0) {
      throw new PachError('damaged', {
        what: `${ref.type} ${ref.hash.toString('hex')}`,
        why: 'a version refers to it, but no index has it; nothing was deleted',
        next: 'pach fsck',
      });
    }
    if (this.has(row)) return false;
    this.take(row);
    return true;
  }

  private take(row: number): void {
    if (row >= this.marked.length) {
      const larger = new Uint8Array(Math.max(this.table.size, this.marked.length * 2));
      larger.set(this.marked);
      this.marked = larger;
    }
    this.marked[row] = 1;
    this.rows.push(row);
  }
}
