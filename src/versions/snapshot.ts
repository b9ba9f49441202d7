/**
 * All repos of a project at one instant: what one head says. Never changes, so everything it
 * answers may be kept.
 */
import { mapOrdered } from '../base/async.ts';
import { PachError } from '../base/errors.ts';
import type { BlobReader } from '../cache/blobs.ts';
import { decodeCommit, type CommitId, type CommitRecord } from '../model/records/commit.ts';
import type { Head } from '../model/records/head.ts';
import type { KeepsUnknown } from '../model/records/record.ts';
import { decodeBranch, decodeRepo, type TriggerRecord } from '../model/records/refs.ts';
import { mapFormat, type MapItem } from '../model/map.ts';
import { OrderedReader } from '../model/ordered.ts';
import type { Ref } from '../model/refs.ts';
import { candidatesMax } from '../model/ids.ts';
import type { Directory } from './directories.ts';
import { branchKey, commitKey, lastPart, repoKey, timeKey } from './ref-keys.ts';

/** Commits that are read at a time along a history. */
const readsAhead = 20;

export interface Repo extends KeepsUnknown {
  readonly name: string;
  /** Milliseconds since 1970, as all times here. */
  readonly created: number;
  readonly description: string;
  /** The pipeline whose ticks it holds: engines alone commit to it. */
  readonly ticksOf?: string | undefined;
}

export interface Branch extends KeepsUnknown {
  readonly repo: string;
  readonly name: string;
  readonly provenance: readonly { readonly repo: string; readonly branch: string }[];
  /** When it takes the head of another branch by itself. */
  readonly trigger?: TriggerRecord | undefined;
  /** Absent while the branch has no commits. */
  readonly head?: BranchHead | undefined;
}

export interface BranchHead {
  readonly id: CommitId;
  readonly commit: Ref;
  readonly tree: Ref;
  /** The branch's commits by time (FORMAT.md section 6). */
  readonly index: Ref;
  /** Which paths they changed, of those for which that is known. */
  readonly changed?: Ref | undefined;
}

/** A commit as the index of its branch has it. */
export interface IndexedCommit {
  readonly id: CommitId;
  readonly ref: Ref;
  readonly parent: Ref | undefined;
  /** The entry of its changed paths, where it has one. */
  readonly changed: Buffer | undefined;
}

/** A commit and where its tree is. */
export interface Commit extends CommitRecord {
  readonly ref: Ref;
  readonly tree: Ref;
}

export class Snapshot {
  readonly head: Head;
  readonly reader: BlobReader;
  private readonly refs: OrderedReader<MapItem>;

  constructor(head: Head, reader: BlobReader) {
    this.head = head;
    this.reader = reader;
    this.refs = this.map(head.refs);
  }

  /** An item of the map of refs, or undefined. */
  item(key: Buffer): Promise<MapItem | undefined> {
    return this.refs.find(key);
  }

  /** The items of the map of refs whose keys begin so, in order. */
  items(prefix: Buffer): AsyncIterable<MapItem> {
    return this.refs.prefix(prefix);
  }

  /** Of the items of the map of refs whose keys begin so, those before a key; the last one first. */
  async *itemsBefore(prefix: Buffer, key: Buffer): AsyncGenerator<MapItem> {
    for await (const item of this.refs.backward(await this.refs.rank(key))) {
      if (!item.key.subarray(0, prefix.length).equals(prefix)) return;
      yield item;
    }
  }

  /** The different beginnings of keys that have so many more parts than `prefix`; a look for each. */
  async *groups(prefix: Buffer, parts: number): AsyncGenerator<string> {
    const kept = prefix.toString().split('/').length - 1 + parts;
    for (let from = prefix; ;) {
      const key = (await this.refs.seek(from))?.item.key;
      if (!key?.subarray(0, prefix.length).equals(prefix)) return;
      const group = key.toString().split('/').slice(0, kept).join('/');
      yield group;
      // The key that follows all that begin with `group/`.
      from = Buffer.from(`${group}0`);
    }
  }

  /** How many keys of the map of refs begin so, and the item of the last of them. */
  async lastItem(prefix: Buffer): Promise<{ count: number; last: MapItem | undefined }> {
    const end = Buffer.from(prefix);
    end[end.length - 1] = (end.at(-1) as number) + 1;
    const [from, to] = await Promise.all([this.refs.rank(prefix), this.refs.rank(end)]);
    return { count: to - from, last: to > from ? await this.refs.at(to - 1) : undefined };
  }

  /** Repos in the order of their names. */
  async *repos(): AsyncGenerator<Repo> {
    for await (const item of this.refs.prefix(repoKey(''))) yield repoOf(item);
  }

  async maybeRepo(name: string): Promise<Repo | undefined> {
    const item = await this.refs.find(repoKey(name));
    return item && repoOf(item);
  }

  async repo(name: string): Promise<Repo> {
    const repo = await this.maybeRepo(name);
    if (repo) return repo;
    throw new PachError('not-found', {
      what: `repo ${name}`,
      why: `there is no such repo in project ${this.head.project}`,
      next: 'pach list repo',
      or: `pach create repo ${name}`,
    });
  }

  async *branches(repo: string): AsyncGenerator<Branch> {
    for await (const item of this.refs.prefix(branchKey(repo, ''))) yield branchOf(item);
  }

  async maybeBranch(repo: string, name: string): Promise<Branch | undefined> {
    const item = await this.refs.find(branchKey(repo, name));
    return item && branchOf(item);
  }

  async branch(repo: string, name: string): Promise<Branch> {
    await this.repo(repo);
    const branch = await this.maybeBranch(repo, name);
    if (branch) return branch;
    throw new PachError('not-found', {
      what: `branch ${repo}@${name}`,
      why: 'there is no such branch',
      next: `pach list branch ${repo}`,
    });
  }

  /** Reads a commit object. */
  async commitAt(ref: Ref): Promise<Commit> {
    const node = await this.reader.node(ref);
    const tree = node.refs[0];
    if (node.kind !== 'commit' || !tree) {
      throw new PachError('damaged', { what: `commit ${ref.hash.toString('hex')}`, why: 'it is not a commit object' });
    }
    return { ...decodeCommit(node.body), ref, tree };
  }

  async maybeCommit(repo: string, id: CommitId): Promise<Commit | undefined> {
    const ref = (await this.refs.find(commitKey(repo, id)))?.refs[0];
    return ref && this.commitAt(ref);
  }

  /** The entries of all commits of a repo, in the order of their ids. */
  commitItems(repo: string): AsyncIterable<MapItem> {
    return this.refs.prefix(commitKey(repo, ''));
  }

  /** Commits of a repo whose id begins with these hex digits; one more than are candidates to show, at most. */
  async commitsByPrefix(repo: string, digits: string): Promise<{ readonly id: string; readonly commit: Ref }[]> {
    const found: { id: string; commit: Ref }[] = [];
    for await (const { key, refs } of this.refs.prefix(commitKey(repo, digits))) {
      if (refs[0]) found.push({ id: lastPart(key), commit: refs[0] });
      if (found.length > candidatesMax) break;
    }
    return found;
  }

  /** The branch's n-th commit from its start (1 is the first), or undefined. */
  async nth(head: BranchHead, n: number): Promise<Commit | undefined> {
    return this.indexed(await this.map(head.index).at(n - 1));
  }

  /** How many commits a branch has. */
  count(head: BranchHead): Promise<number> {
    return this.map(head.index).count();
  }

  /** How many commits of a branch are not after a time. */
  countUpTo(head: BranchHead, time: number): Promise<number> {
    return this.map(head.index).rank(timeKey(time + 1));
  }

  /**
   * How many commits of a branch up to a time another branch does not have, be it one `of` another store. Two
   * lines share a beginning, which may be empty.
   */
  async countBeyond(
    head: BranchHead,
    time: number,
    other: BranchHead | undefined,
    of: Snapshot = this,
  ): Promise<number> {
    const [own, its] = [this.map(head.index), other && of.map(other.index)];
    const [count, most] = await Promise.all([own.rank(timeKey(time + 1)), its ? its.count() : 0]);
    const isShared = async (n: number): Promise<boolean> => {
      const [a, b] = await Promise.all([own.at(n - 1), its?.at(n - 1)]);
      return a !== undefined && b !== undefined && a.value.equals(b.value);
    };
    let [low, high] = [0, Math.min(count, most)];
    // Most often the other one is at one of the commits before.
    if (high === 0 || (await isShared(high))) return count - high;
    while (low < high - 1) {
      const middle = (low + high) >> 1;
      if (await isShared(middle)) low = middle;
      else high = middle;
    }
    return count - low;
  }

  /** The branch's newest commit at or before a time, or undefined. */
  async asOf(head: BranchHead, time: number): Promise<Commit | undefined> {
    const index = this.map(head.index);
    const after = await index.rank(timeKey(time + 1));
    return this.indexed(await index.at(after - 1));
  }

  /** The branch's oldest commit after a time, or undefined. */
  async firstAfter(head: BranchHead, time: number): Promise<Commit | undefined> {
    const index = this.map(head.index);
    return this.indexed(await index.at(await index.rank(timeKey(time + 1))));
  }

  /** The branch's commits, newest first. */
  async *history(head: BranchHead): AsyncGenerator<Commit> {
    const items = this.map(head.index).backward();
    for await (const commit of mapOrdered(items, readsAhead, (item) => this.indexed(item))) if (commit) yield commit;
  }

  /** The branch's commits but for its first `n`, oldest first. */
  async *after(head: BranchHead, n: number): AsyncGenerator<Commit> {
    const items = this.map(head.index).items(n);
    for await (const commit of mapOrdered(items, readsAhead, (item) => this.indexed(item))) if (commit) yield commit;
  }

  /** What is entered of the paths that commits of a branch changed, from a time on. */
  async *changedSince(head: BranchHead, time: number): AsyncGenerator<MapItem> {
    if (!head.changed) return;
    const changed = this.map(head.changed);
    yield* changed.items(await changed.rank(timeKey(time)));
  }

  /**
   * Commits of a branch up to a time, newest first, without reading them: each with what is known of the paths
   * that it changed, and the one before it.
   */
  async *changesUpTo(head: BranchHead, time: number): AsyncGenerator<IndexedCommit> {
    const [index, changed] = [this.map(head.index), head.changed && this.map(head.changed)];
    const end = timeKey(time + 1);
    const entries = changed?.backward(await changed.rank(end));
    let entry = await entries?.next();
    let newer: Omit<IndexedCommit, 'parent'> | undefined;
    for await (const { key, value, refs } of index.backward(await index.rank(end))) {
      const [ref] = refs;
      if (!ref) continue;
      if (newer) yield { ...newer, parent: ref };
      while (entry && !entry.done && entry.value.key.compare(key) > 0) entry = await entries?.next();
      const known = entry && !entry.done && entry.value.key.equals(key) ? entry.value.value : undefined;
      newer = { id: value.toString('hex') as CommitId, ref, changed: known };
    }
    if (newer) yield { ...newer, parent: undefined };
  }

  /** Ids of the branch's commits up to a time, newest first; no commit is read. */
  async *idsUpTo(head: BranchHead, time: number): AsyncGenerator<CommitId> {
    const index = this.map(head.index);
    const end = await index.rank(timeKey(time + 1));
    for await (const { value } of index.backward(end)) yield value.toString('hex') as CommitId;
  }

  /** Begins to read nodes that will be needed. */
  prefetch(...refs: readonly Ref[]): void {
    for (const ref of refs) this.reader.node(ref).catch(() => undefined);
  }

  /** A commit and its parents, newest first. */
  async *ancestors(commit: Commit): AsyncGenerator<Commit> {
    for (let at: Commit | undefined = commit; at;) {
      yield at;
      at = at.parent && (await this.maybeCommit(at.repo, at.parent));
    }
  }

  /** The same for what a new commit of this id is written beside. */
  prefetchEntry(repo: string, id: CommitId): void {
    this.refs.find(commitKey(repo, id)).catch(() => undefined);
  }

  /** The same for the ends of a branch's indexes. */
  prefetchNewest({ index, changed }: BranchHead): void {
    for (const root of [index, ...(changed ? [changed] : [])]) {
      this.map(root)
        .backward()
        .next()
        .catch(() => undefined);
    }
  }

  private map(root: Ref): OrderedReader<MapItem> {
    return new OrderedReader(this.reader, mapFormat, root);
  }

  private async indexed(item: MapItem | undefined): Promise<Commit | undefined> {
    return item?.refs[0] && this.commitAt(item.refs[0]);
  }
}

/** The files of a commit. */
export function rootOf(commit: Commit): Directory {
  const { tree, contentHash, files, bytes } = commit;
  return { form: 'directory', ref: tree, contentHash, files, bytes };
}

function repoOf({ key, value }: MapItem): Repo {
  return { name: lastPart(key), ...decodeRepo(value) };
}

/** A branch as its item of the map of refs has it. */
export function branchOf({ key, value, refs }: MapItem): Branch {
  const [, repo = '', name = ''] = key.toString().split('/');
  const { head: id, ...record } = decodeBranch(value);
  const [commit, tree, index, changed] = refs;
  const head = id && commit && tree && index ? { id, commit, tree, index, changed } : undefined;
  return { ...record, repo, name, head };
}
