/**
 * Directories of a version: reading, and new ones made from old ones. A directory is a value;
 * changing one gives another that shares all that stayed.
 */
import { PachError } from '../base/errors.ts';
import { fileTime } from '../base/file-time.ts';
import type { NodeSink, NodeSource } from '../model/node.ts';
import { diffOrdered, type Difference } from '../model/ordered-diff.ts';
import { applyEdits } from '../model/ordered-edit.ts';
import { OrderedReader } from '../model/ordered.ts';
import { pathOf, textOfName } from '../model/paths.ts';
import type { Ref } from '../model/refs.ts';
import {
  type DirectoryContent,
  directoryOf,
  entryHash,
  type TreeEntry,
  treeFormat,
  type TreeSummary,
} from '../model/tree.ts';

/** A directory's content: its tree and totals. */
export type Directory = DirectoryContent;

/** A name to set, or to remove when `content` is absent. */
export type DirectoryEdit = TreeEntry | { readonly name: Buffer; readonly content?: undefined };

/** Looks up names in ascending order, in one pass over a directory; a name may be asked for again. */
export type OldEntries = (name: Buffer) => Promise<TreeEntry | undefined>;

/** True when two entries of one name are the same but for their times. */
export function sameContent(a: TreeEntry, b: TreeEntry): boolean {
  return a.kind === b.kind && a.executable === b.executable && entryHash(a).equals(entryHash(b));
}

export class Directories {
  private readonly source: NodeSource;
  private readonly sink: NodeSink | undefined;

  /** Without a sink it only reads. */
  constructor(source: NodeSource, sink?: NodeSink) {
    this.source = source;
    this.sink = sink;
  }

  reader(directory: Directory): OrderedReader<TreeEntry, TreeSummary> {
    return this.readerAt(directory.ref);
  }

  /** The same for a directory of which only the tree is known. */
  readerAt(tree: Ref): OrderedReader<TreeEntry, TreeSummary> {
    return new OrderedReader(this.source, treeFormat, tree);
  }

  /** The entry at a path below `root`, or undefined. An empty path is the root itself. */
  async find(root: Directory, path: readonly Buffer[]): Promise<TreeEntry | undefined> {
    let entry: TreeEntry = rootEntry(root);
    for (const name of path) {
      if (entry.content.form !== 'directory') return undefined;
      const next = await this.reader(entry.content).find(name);
      if (!next) return undefined;
      entry = next;
    }
    return entry;
  }

  /** Applies edits, in ascending order of names. The same directory comes back when nothing changes. */
  async apply(
    base: Directory | undefined,
    edits: Iterable<DirectoryEdit> | AsyncIterable<DirectoryEdit>,
  ): Promise<Directory> {
    if (!this.sink) throw new Error('this view of directories only reads');
    async function* keyed(): AsyncGenerator<{ key: Buffer; item: TreeEntry | undefined }> {
      for await (const edit of edits) yield { key: edit.name, item: edit.content ? edit : undefined };
    }
    const io = { source: this.source, sink: this.sink };
    const root = await applyEdits(io, treeFormat, base?.ref, keyed());
    const { ref, contentHash, files, bytes } = root;
    return { form: 'directory', ref, contentHash, files, bytes };
  }

  /** See `OldEntries`. */
  merge(base: Directory | undefined): OldEntries {
    if (!base) return () => Promise.resolve(undefined);
    const entries = this.reader(base).items();
    let current: Promise<IteratorResult<TreeEntry>> | undefined;
    return async (name) => {
      for (;;) {
        const at = await (current ??= entries.next());
        if (at.done) return undefined;
        const order = at.value.name.compare(name);
        if (order === 0) return at.value;
        if (order > 0) return undefined;
        current = undefined;
      }
    };
  }

  /** What differs between two directories, in order of names; cost by what differs. */
  diff(a: Directory | undefined, b: Directory | undefined): AsyncIterable<Difference<TreeEntry>> {
    return diffOrdered(this.source, treeFormat, a?.ref, b?.ref);
  }

  /** All that is in two directories, in order of names. */
  async *both(a: Directory | undefined, b: Directory | undefined): AsyncGenerator<Difference<TreeEntry>> {
    if (!a || !b || a.ref.hash.equals(b.ref.hash)) {
      const one = b ?? a;
      if (!one) return;
      for await (const entry of this.reader(one).items()) yield { key: entry.name, old: a && entry, new: b && entry };
      return;
    }
    const [left, right] = [this.reader(a).items(), this.reader(b).items()];
    let [old, now] = await Promise.all([left.next(), right.next()]);
    while (!old.done || !now.done) {
      const order = old.done ? 1 : now.done ? -1 : old.value.name.compare(now.value.name);
      if (!old.done && order < 0) yield { key: old.value.name, old: old.value };
      else if (!now.done) yield { key: now.value.name, old: order === 0 ? old.value : undefined, new: now.value };
      if (order <= 0) old = await left.next();
      if (order >= 0) now = await right.next();
    }
  }

  /**
   * Applies to `onto` what changed between `before` and `after`: the later change wins by path.
   */
  async rebase(before: Directory | undefined, after: Directory, onto: Directory | undefined): Promise<Directory> {
    if (!onto) return after;
    const edits: DirectoryEdit[] = [];
    const current = this.merge(onto);
    for await (const change of this.diff(before, after)) {
      const there = await current(change.key);
      if (!change.new) edits.push({ name: change.key });
      else if (change.new.content.form === 'directory' && there?.content.form === 'directory') {
        const old = directoryOf(change.old);
        const content = await this.rebase(old, change.new.content, there.content);
        edits.push({ ...change.new, content });
      } else edits.push(change.new);
    }
    return this.apply(onto, edits);
  }

  /** The paths at which both `a` and `b` differ from `before`, in order, and what `b` has there. */
  async *conflicts(
    before: Directory | undefined,
    a: Directory,
    b: Directory | undefined,
  ): AsyncGenerator<{ readonly path: readonly Buffer[]; readonly entry: TreeEntry | undefined }> {
    const [old, there] = [this.merge(before), this.merge(b)];
    for await (const { key, new: mine } of this.diff(before, a)) {
      const [base, theirs] = [await old(key), await there(key)];
      if (mine?.content.form === 'directory' && theirs?.content.form === 'directory') {
        for await (const { path, entry } of this.conflicts(directoryOf(base), mine.content, theirs.content)) {
          yield { path: [key, ...path], entry };
        }
      } else if (!same(base, theirs)) yield { path: [key], entry: theirs };
    }
  }

  /**
   * Sets or removes (entry undefined) what lies at a path; directories on the way are made with
   * time `now` (milliseconds). Throws `conflict` when a file is in the way.
   */
  async set(
    base: Directory | undefined,
    path: readonly Buffer[],
    entry: TreeEntry | undefined,
    now: number,
  ): Promise<Directory> {
    const [name, ...rest] = path;
    if (!name) throw new Error('a path has at least one name');
    if (rest.length === 0) return this.apply(base, [entry ?? { name }]);
    const there = base && (await this.reader(base).find(name));
    if (there && there.content.form !== 'directory') {
      throw new PachError('conflict', {
        what: pathOf(path).slice(1),
        why: `${textOfName(name)} is a ${there.kind}, not a folder`,
        next: 'choose another path, or delete it first',
      });
    }
    const below = directoryOf(there);
    const content = await this.set(below, rest, entry, now);
    return this.apply(base, [there ? { ...there, content } : { ...madeDirectory(name, now), content }]);
  }
}

function same(a: TreeEntry | undefined, b: TreeEntry | undefined): boolean {
  return a && b ? sameContent(a, b) : a === b;
}

/** The root of a version as an entry; it has no name and no time of its own. */
export function rootEntry(content: Directory): TreeEntry {
  return { ...madeDirectory(Buffer.alloc(0), 0), content };
}

function madeDirectory(name: Buffer, now: number): Omit<TreeEntry, 'content'> {
  return { name, kind: 'directory', executable: false, ...fileTime(now) };
}
