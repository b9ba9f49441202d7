/**
 * Checking what lies below versions: each node once, totals and hashes computed anew. What is
 * lost is told for all paths that need it.
 */
import { mapOrdered } from '../../base/async.ts';
import { listLength, listRange } from '../../model/list.ts';
import type { Node, NodeSource } from '../../model/node.ts';
import { loadOrdered, type Within } from '../../model/ordered-format.ts';
import { textOfName } from '../../model/paths.ts';
import { hashKey, type Hash, type Ref } from '../../model/refs.ts';
import { treeFormat, type DirectoryContent, type TreeEntry, type TreeSummary } from '../../model/tree.ts';
import type { Draft, Findings, Where } from './fsck-findings.ts';
import { RowSet, RowTotals, type Totals } from './fsck-rows.ts';

export interface Blobs {
  /** The row of a blob that can be read, or what was found of it. */
  row(ref: Ref): Promise<number | Draft>;
  /** True when an index lists it. */
  knows(hash: Hash): boolean;
  plainLengthAt(row: number): number;
  /** The node of a row. */
  node(ref: Ref, row: number): Promise<Node>;
}

const readsAhead = 16;

/** A blob that is known to be lost, met on the way. */
class Lost extends Error {}

/** A path in one version. */
export class VersionPath implements Where {
  private readonly repo: string;
  private readonly commit: string;
  private readonly names: string;

  constructor(repo: string, commit: string, names = '') {
    this.repo = repo;
    this.commit = commit;
    this.names = names;
  }

  get address(): string {
    return `${this.repo}@${this.commit}:${this.names || '/'}`;
  }

  get path(): string {
    return `${this.repo}:${this.names || '/'}`;
  }

  below(name: Buffer): VersionPath {
    return new VersionPath(this.repo, this.commit, `${this.names}/${textOfName(name)}`);
  }
}

/** Nodes that are checked before they are read. Throws for those that are lost, which it tells. */
export function guarded(blobs: Blobs, where: Where): NodeSource {
  return {
    async node(ref) {
      const row = await blobs.row(ref);
      if (typeof row === 'number') return blobs.node(ref, row);
      row.affects(where);
      throw new Lost();
    },
  };
}

/** Adds an error of reading guarded nodes to the findings; a lost node is there already. */
export function note(findings: Findings, error: unknown, where: Where): void {
  if (!(error instanceof Lost)) findings.error(error).affects(where);
}

export class TreeCheck {
  private readonly blobs: Blobs;
  private readonly findings: Findings;
  private readonly signal: AbortSignal | undefined;
  private readonly seen = new RowSet();
  /** Nodes below which something is lost: looked at again for every path that leads to them. */
  private readonly broken = new RowSet();
  private readonly totals = new RowTotals();
  private readonly chunks = new RowSet();
  /** By the hashes of references. */
  private readonly referenced = new Set<string>();

  constructor(blobs: Blobs, findings: Findings, signal: AbortSignal | undefined) {
    this.blobs = blobs;
    this.findings = findings;
    this.signal = signal;
  }

  /** How many different chunks the versions refer to. */
  get chunkCount(): number {
    return this.chunks.size;
  }

  /** How many different objects of other buckets they refer to. */
  get referenceCount(): number {
    return this.referenced.size;
  }

  /** Checks a tree of which nothing is said but where it lies. */
  async root(ref: Ref, where: VersionPath): Promise<void> {
    try {
      const node = await loadOrdered(guarded(this.blobs, where), treeFormat, ref);
      const said = node.items
        ? treeFormat.summarizeItems(node.items)
        : treeFormat.summarizeNodes(node.level, node.nodes);
      await this.tree(ref, said, where);
    } catch (error) {
      note(this.findings, error, where);
    }
  }

  /** Checks that a chunk is there, whatever its length. */
  async blob(ref: Ref, where: Where): Promise<void> {
    await this.row(ref, where);
  }

  /** Checks a directory and all below it against what is said of it. True when nothing is lost. */
  async directory(content: DirectoryContent, where: VersionPath): Promise<boolean> {
    return this.tree(content.ref, content, where);
  }

  private async tree(ref: Ref, said: Totals, where: VersionPath, within?: Within<TreeSummary>): Promise<boolean> {
    return this.once(ref, said, where, async (row) => {
      const node = await loadOrdered(guarded(this.blobs, where), treeFormat, ref, within);
      const summary = node.items
        ? treeFormat.summarizeItems(node.items)
        : treeFormat.summarizeNodes(node.level, node.nodes);
      if (!this.totals.get(row)) this.totals.add(row, summary);
      let whole = true;
      if (node.items) {
        for await (const entry of this.ahead(node.items, ({ content }) => nodeOf(content))) {
          whole = (await this.entry(entry, where.below(entry.name))) && whole;
        }
        return whole;
      }
      let after = within?.after;
      for await (const inner of this.ahead(node.nodes, (each) => each.ref)) {
        whole = (await this.tree(inner.ref, inner.summary, where, { parentLevel: node.level, inner, after })) && whole;
        after = inner.key;
      }
      return whole;
    });
  }

  private async entry({ content }: TreeEntry, where: VersionPath): Promise<boolean> {
    switch (content.form) {
      case 'inline':
        return true;
      case 'reference':
        this.referenced.add(hashKey(content.hash));
        return true;
      case 'directory':
        return this.directory(content, where);
      case 'chunk':
        return this.chunk(content.ref, content.size, where);
      case 'list':
        return this.list(content.ref, content.size, where);
    }
  }

  private async list(ref: Ref, size: number, where: VersionPath): Promise<boolean> {
    const said = { contentHash: ref.hash, files: 0, bytes: size };
    return this.once(ref, said, where, async (row) => {
      const nodes = guarded(this.blobs, where);
      const bytes = await listLength(nodes, ref);
      if (!this.totals.get(row)) this.totals.add(row, { ...said, bytes });
      let whole = true;
      for await (const piece of listRange(nodes, ref, 0, bytes)) {
        if (piece.ref) whole = (await this.chunk(piece.ref, piece.length, where)) && whole;
      }
      return whole;
    });
  }

  /** Looks at a node unless that was done already, and compares what it has with what is said of it. */
  private async once(ref: Ref, said: Totals, where: Where, look: (row: number) => Promise<boolean>): Promise<boolean> {
    this.signal?.throwIfAborted();
    const row = await this.row(ref, where);
    if (row === undefined) return false;
    if (!this.seen.has(row) || this.broken.has(row)) {
      this.seen.add(row);
      try {
        if (!(await look(row))) this.broken.add(row);
      } catch (error) {
        note(this.findings, error, where);
        this.broken.add(row);
      }
    }
    const found = this.totals.get(row);
    if (found && !isSame(found, said)) {
      const why = `what refers to it says ${shown(said)}; there are ${shown(found)}`;
      this.findings.wrong(`node ${ref.hash.toString('hex')}`, why).affects(where);
    }
    return !this.broken.has(row);
  }

  private async chunk(ref: Ref, length: number, where: Where): Promise<boolean> {
    const row = await this.row(ref, where);
    if (row === undefined) return false;
    this.chunks.add(row);
    const found = this.blobs.plainLengthAt(row);
    if (found === length) return true;
    const why = `it has ${found} bytes where ${length} are needed`;
    this.findings.wrong(`chunk ${ref.hash.toString('hex')}`, why).affects(where);
    return false;
  }

  /** The row of a blob that can be read. */
  private async row(ref: Ref, where: Where): Promise<number | undefined> {
    const row = await this.blobs.row(ref);
    if (typeof row === 'number') return row;
    row.affects(where);
    return undefined;
  }

  /** Yields the items in order, while the nodes of the next ones are being read. */
  private ahead<T>(items: readonly T[], nodeFor: (item: T) => Ref | undefined): AsyncIterable<T> {
    return mapOrdered(items, readsAhead, async (item) => {
      const ref = nodeFor(item);
      const row = ref && (await this.blobs.row(ref));
      // The error is thrown when this item's turn comes.
      if (ref && typeof row === 'number' && !this.seen.has(row)) {
        await this.blobs.node(ref, row).catch(() => undefined);
      }
      return item;
    });
  }
}

function nodeOf(content: TreeEntry['content']): Ref | undefined {
  return content.form === 'directory' || content.form === 'list' ? content.ref : undefined;
}

function isSame(a: Totals, b: Totals): boolean {
  return a.contentHash.equals(b.contentHash) && a.files === b.files && a.bytes === b.bytes;
}

function shown({ contentHash, files, bytes }: Totals): string {
  return `${files} files, ${bytes} bytes, content ${contentHash.toString('hex', 0, 4)}`;
}
