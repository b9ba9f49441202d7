/**
 * Edits to a project's refs on top of one snapshot, to be published together.
 */
import { randomBytes } from 'node:crypto';
import type { KnownBlobs } from '../chunks/known.ts';
import { changedPathsMax, encodeChangedPaths } from '../model/records/changed-paths.ts';
import { encodeCommit, type CommitId, type CommitProvenance } from '../model/records/commit.ts';
import { encodeBranch, encodeCommitEntry, encodeRepo } from '../model/records/refs.ts';
import { mapFormat, type MapItem } from '../model/map.ts';
import { applyEdits } from '../model/ordered-edit.ts';
import type { Ref } from '../model/refs.ts';
import { changedPaths } from './changed-paths.ts';
import type { Directory } from './directories.ts';
import { branchKey, commitKey, repoKey, timeKey, usedKey } from './ref-keys.ts';
import { branchOf, rootOf, type Branch, type BranchHead, type Commit, type Repo, type Snapshot } from './snapshot.ts';
import { moveTriggered } from './triggers.ts';
import type { Upload } from './upload.ts';

export interface NewCommit {
  readonly id: CommitId;
  readonly repo: string;
  readonly branch: string;
  readonly tree: Directory;
  readonly message: string;
  /** Milliseconds since 1970. */
  readonly started: number;
  /** By default now. The commit gets a later time where this is before `started`, or not after its parent's. */
  readonly finished?: number | undefined;
  /** Where it is somebody else than who makes the change. */
  readonly author?: string | undefined;
  /** The commits that it was computed from. */
  readonly provenance?: readonly CommitProvenance[];
  /** Datums that failed are left out of it. */
  readonly incomplete?: boolean | undefined;
  /** Whether its tree may have references; undefined: if the parent's may. */
  readonly references?: boolean | undefined;
}

export interface CommitName {
  readonly repo: string;
  readonly commit: CommitId;
}

export interface ChangeOptions {
  /** Where the nodes of the change go. */
  readonly upload: Upload;
  readonly author: string;
  /** What the project has, as the snapshot's head says. */
  readonly known: KnownBlobs;
}

export class Change {
  readonly snapshot: Snapshot;
  readonly known: KnownBlobs;
  /** Keyed by the key's bytes as latin1; undefined deletes. */
  readonly edits = new Map<string, MapItem | undefined>();
  /** Where the nodes of the change go. */
  readonly upload: Upload;
  /** Who makes it. */
  readonly author: string;
  private historyEnded = false;

  constructor(snapshot: Snapshot, { upload, author, known }: ChangeOptions) {
    this.snapshot = snapshot;
    this.upload = upload;
    this.author = author;
    this.known = known;
  }

  setRepo(repo: Repo): void {
    this.set({ key: repoKey(repo.name), value: encodeRepo(repo), refs: [] });
  }

  /** A branch as it is with this change. */
  async maybeBranch(repo: string, name: string): Promise<Branch | undefined> {
    const item = await this.item(branchKey(repo, name));
    return item && branchOf(item);
  }

  /** An item of the map of refs as it is with this change. */
  async item(key: Buffer): Promise<MapItem | undefined> {
    const text = key.toString('latin1');
    return this.edits.has(text) ? this.edits.get(text) : this.snapshot.item(key);
  }

  /** Items as they are with this change whose keys begin so, in any order. */
  async *items(prefix: Buffer): AsyncGenerator<MapItem> {
    for await (const item of this.snapshot.items(prefix)) if (!this.edits.has(item.key.toString('latin1'))) yield item;
    const start = prefix.toString('latin1');
    for (const [key, item] of this.edits) if (item && key.startsWith(start)) yield item;
  }

  setBranch(branch: Branch): void {
    const { head } = branch;
    const value = encodeBranch({ ...branch, head: head?.id });
    const refs = head ? [head.commit, head.tree, head.index, ...(head.changed ? [head.changed] : [])] : [];
    this.set({ key: branchKey(branch.repo, branch.name), value, refs });
  }

  /** Sets an entry of the map of refs. */
  set(item: MapItem): void {
    this.edits.set(item.key.toString('latin1'), item);
  }

  /** From here on there is no way back to what was before, and its bytes are to leave the store. */
  endHistory(): void {
    this.historyEnded = true;
  }

  get endsHistory(): boolean {
    return this.historyEnded;
  }

  delete(key: Buffer): void {
    this.edits.set(key.toString('latin1'), undefined);
  }

  /** Adds a commit to the end of a branch, which is made when it is not there. */
  async commit(commit: NewCommit): Promise<Commit> {
    const { made, branch, parent } = await this.add(commit);
    const { id, ref, tree } = made;
    const index = await this.extendIndex(branch.head, made.finished, id, ref);
    const changed = await this.extendChanged(branch.head?.changed, parent, { made, tree: commit.tree });
    const next = { ...branch, head: { id, commit: ref, tree, index, changed } };
    this.setBranch(next);
    await moveTriggered(this, next);
    return made;
  }

  /** Adds a commit after a branch's head that only its id leads to: the branch stays. */
  async commitAside(commit: NewCommit): Promise<Commit> {
    return (await this.add(commit)).made;
  }

  private async add(commit: NewCommit): Promise<{ made: Commit; branch: Branch; parent: Commit | undefined }> {
    const { repo, branch: name } = commit;
    const branch = (await this.maybeBranch(repo, name)) ?? { repo, name, provenance: [] };
    const parent = branch.head && (await this.snapshot.commitAt(branch.head.commit));
    const record = {
      id: commit.id,
      repo,
      branch: name,
      parent: parent?.id,
      started: commit.started,
      finished: Math.max(commit.finished ?? Date.now(), commit.started, (parent?.finished ?? 0) + 1),
      message: commit.message,
      author: commit.author ?? this.author,
      provenance: commit.provenance ?? [],
      contentHash: commit.tree.contentHash,
      files: commit.tree.files,
      bytes: commit.tree.bytes,
      incomplete: commit.incomplete || undefined,
      references: (commit.references ?? parent?.references) || undefined,
    };
    const tree = commit.tree.ref;
    const ref = await this.upload.nodes.add({ kind: 'commit', level: 0, refs: [tree], body: encodeCommit(record) });
    this.set({ key: commitKey(repo, commit.id), value: encodeCommitEntry(), refs: [ref] });
    for (const from of record.provenance) this.setUsed(from, { repo, commit: commit.id });
    return { made: { ...record, ref, tree }, branch, parent };
  }

  /** Enters that a commit was made of another, so that it is found by that one. */
  setUsed(from: CommitName, to: CommitName): void {
    this.set({ key: usedKey(from, to), value: Buffer.alloc(0), refs: [] });
  }

  /** The refs map with these edits. */
  async refs(): Promise<Ref> {
    const edits = [...this.edits]
      .map(([key, item]) => ({ key: Buffer.from(key, 'latin1'), item }))
      .sort((a, b) => a.key.compare(b.key));
    return (await applyEdits(this.io(), mapFormat, this.snapshot.head.refs, edits)).ref;
  }

  /** A commit index with other items; edits ascend by key. */
  async editIndex(index: Ref, edits: readonly { readonly key: Buffer; readonly item: MapItem }[]): Promise<Ref> {
    return (await applyEdits(this.io(), mapFormat, index, edits)).ref;
  }

  /**
   * Adds commits of another store, which are in this one by now, to the end of a branch. `line`: oldest first,
   * with the tree of the last one and what is entered of the paths that they changed.
   */
  async append(
    branch: Branch,
    line: { readonly commits: readonly Commit[]; readonly changed: readonly MapItem[] },
  ): Promise<Branch> {
    const last = line.commits.at(-1);
    if (!last) return branch;
    const items = line.commits.map(indexItem);
    const before = branch.head;
    const edited = async (root: Ref | undefined, all: readonly MapItem[]): Promise<Ref | undefined> => {
      if (all.length === 0) return root;
      return (
        await applyEdits(
          this.io(),
          mapFormat,
          root,
          all.map((item) => ({ key: item.key, item })),
        )
      ).ref;
    };
    const index = (await edited(before?.index, items)) as Ref;
    const changed = await edited(before?.changed, line.changed);
    const next = { ...branch, head: { id: last.id, commit: last.ref, tree: last.tree, index, changed } };
    this.setBranch(next);
    return next;
  }

  /** A head that another one has at one of its commits. What is entered of later commits does no harm: an entry names its commit. */
  async headUpTo(head: BranchHead, commit: Commit): Promise<BranchHead> {
    if (commit.id === head.id) return head;
    const { id, ref, tree, finished } = commit;
    return { id, commit: ref, tree, index: await this.indexUpTo(head, finished), changed: head.changed };
  }

  /** The part of a branch's commit index up to a time: for a branch that begins there. */
  private async indexUpTo(head: BranchHead, time: number): Promise<Ref> {
    const edits: { key: Buffer; item: undefined }[] = [];
    for await (const commit of this.snapshot.history(head)) {
      if (commit.finished <= time) break;
      edits.unshift({ key: timeKey(commit.finished), item: undefined });
    }
    return (await applyEdits(this.io(), mapFormat, head.index, edits)).ref;
  }

  /** An index of one line of commits, oldest first. */
  async indexOf(commits: readonly Commit[]): Promise<Ref> {
    const edits = commits.map((commit) => ({ key: timeKey(commit.finished), item: indexItem(commit) }));
    return (await applyEdits(this.io(), mapFormat, undefined, edits)).ref;
  }

  private async extendIndex(head: BranchHead | undefined, time: number, id: CommitId, ref: Ref): Promise<Ref> {
    const item = indexItem({ finished: time, id, ref });
    return (await applyEdits(this.io(), mapFormat, head?.index, [{ key: item.key, item }])).ref;
  }

  /** Enters which paths a commit changed, where they are few. */
  private async extendChanged(
    changed: Ref | undefined,
    parent: Commit | undefined,
    { made, tree }: { readonly made: Commit; readonly tree: Directory },
  ): Promise<Ref | undefined> {
    const before = parent && rootOf(parent);
    const of = { before, after: tree, most: changedPathsMax };
    const paths = await changedPaths(this.snapshot.reader, of);
    if (!paths) return changed;
    const item = { key: timeKey(made.finished), value: encodeChangedPaths(made.id, paths), refs: [] };
    return (await applyEdits(this.io(), mapFormat, changed, [{ key: item.key, item }])).ref;
  }

  private io(): { source: Snapshot['reader']; sink: Upload['nodes'] } {
    return { source: this.snapshot.reader, sink: this.upload.nodes };
  }
}

function indexItem(commit: Pick<Commit, 'finished' | 'id' | 'ref'>): MapItem {
  return { key: timeKey(commit.finished), value: Buffer.from(commit.id, 'hex'), refs: [commit.ref] };
}

export function newCommitId(): CommitId {
  return randomBytes(16).toString('hex') as CommitId;
}
