/**
 * Takes a path, or what one commit holds, out of a repo's whole history. Commits keep their ids
 * and times; there is no way back: the operations before are forgotten. The bytes leave the store
 * with the next garbage collection. Results of pipelines are forgotten too, whose outputs and logs
 * may hold what was purged.
 */
import { PachError } from '../../base/errors.ts';
import type { BlobReader } from '../../cache/blobs.ts';
import { mapFormat, type MapItem } from '../../model/map.ts';
import { OrderedReader } from '../../model/ordered.ts';
import { parsePath } from '../../model/paths.ts';
import { encodeCommit, type CommitId } from '../../model/records/commit.ts';
import { decodeJobEntry, encodeJobEntry } from '../../model/records/job-entry.ts';
import { decodeJob, encodeJob, jobRefList, jobRefs } from '../../model/records/pipelines.ts';
import { hashKey, type Ref } from '../../model/refs.ts';
import type { Change } from '../change.ts';
import { Directories, type Directory } from '../directories.ts';
import type { Project } from '../project.ts';
import { allProvenance } from '../provenance.ts';
import { decodePurged, encodePurged } from '../../model/records/transfer.ts';
import { besidePrefixes, jobKey, jobsPrefix, purgedKey, purgedPrefix, resultsPrefix } from '../ref-keys.ts';
import { SameBytes, type SamePath } from './same-bytes.ts';
import { rootOf, type Commit, type Snapshot } from '../snapshot.ts';
import type { Upload } from '../upload.ts';

export interface PurgeRequest {
  readonly repo: string;
  /** A path in every version, or all of one commit. */
  readonly what: { readonly path: string } | { readonly commit: CommitId };
  readonly dryRun: boolean;
  readonly signal?: AbortSignal | undefined;
}

export interface CommitName {
  readonly repo: string;
  readonly branch: string;
  readonly commit: CommitId;
}

export interface PurgeResult {
  /** The commits that held it. */
  readonly commits: readonly CommitId[];
  /** Commits that were computed from one of those. */
  readonly computed: readonly CommitName[];
  /** Other files with some of the same bytes, which therefore stay in the store. */
  readonly sameBytes: readonly SamePath[];
  /** Addresses of objects in other buckets that it referred to, and that stay there; absent where there are none. */
  readonly references?: readonly string[];
}

/** A commit as it will be: its new object and tree. */
interface Rewritten {
  readonly ref: Ref;
  readonly tree: Ref;
}

/** Throws `not-found` when no version has it. */
export async function purge(project: Project, request: PurgeRequest): Promise<PurgeResult> {
  if (request.dryRun) return look(project.reader, await project.snapshot(), request);
  await using begun = await project.begin();
  const shown = 'path' in request.what ? 'a path' : 'a commit';
  const apply = async (change: Change): Promise<PurgeResult> => {
    const result = await look(project.reader, change.snapshot, request);
    await new Rewrite(project.reader, change, begun.upload, request).run();
    await forgetResults(change);
    change.endHistory();
    return result;
  };
  return await project.update(`purge ${shown} of ${request.repo}`, apply, begun);
}

/** Takes away all results, and what jobs keep of their datums: paths too. */
async function forgetResults(change: Change): Promise<void> {
  for (const prefix of [resultsPrefix, ...besidePrefixes()]) {
    for await (const { key } of change.snapshot.items(prefix)) change.delete(key);
  }
  for await (const item of change.items(purgedPrefix)) {
    const record = decodePurged(item.value);
    if (record.olderResults) change.set({ ...item, value: encodePurged({ ...record, olderResults: false }) });
  }
  for await (const item of change.snapshot.items(jobKey(''))) {
    const job = decodeJob(item.value);
    if (!job.hasDatums) continue;
    const refs = jobRefList({ ...jobRefs(job, item.refs), datums: undefined });
    change.set({ key: item.key, value: encodeJob({ ...job, hasDatums: false }), refs });
  }
  for await (const item of change.snapshot.items(jobsPrefix)) {
    if (item.refs.length === 0) continue;
    const value = encodeJobEntry({ ...decodeJobEntry(item.value), indexed: undefined });
    change.set({ key: item.key, value, refs: [] });
  }
}

/** What would be purged, and what hangs on it. */
async function look(reader: BlobReader, snapshot: Snapshot, request: PurgeRequest): Promise<PurgeResult> {
  const directories = new Directories(reader);
  const bytes = new SameBytes(reader, request.signal);
  const commits = new Set<CommitId>();
  for await (const commit of commitsOf(snapshot, request.repo)) {
    const names = pathIn(commit, request);
    const entry = names && (await directories.find(rootOf(commit), names));
    if (!entry) continue;
    commits.add(commit.id);
    await bytes.add(entry);
  }
  if (commits.size === 0) {
    const shown = 'path' in request.what ? `${request.repo}:${request.what.path}` : request.what.commit;
    throw new PachError('not-found', {
      what: shown,
      why: 'no version has it',
      next: `pach list commit ${request.repo}`,
    });
  }
  const computed: CommitName[] = [];
  for await (const repo of snapshot.repos()) {
    for await (const commit of commitsOf(snapshot, repo.name)) {
      request.signal?.throwIfAborted();
      const provenance = await allProvenance(snapshot, commit);
      if (provenance.some((from) => from.repo === request.repo && commits.has(from.commit))) {
        computed.push({ repo: repo.name, branch: commit.branch, commit: commit.id });
      }
      const names = repo.name === request.repo ? pathIn(commit, request) : undefined;
      await bytes.search(repo.name, commit, names);
    }
  }
  const references = bytes.references.size > 0 ? { references: [...bytes.references] } : {};
  return { commits: [...commits], computed, sameBytes: bytes.found, ...references };
}

/** What is to go from a commit: the names of a path, none for all of it, undefined for nothing. */
function pathIn(commit: Commit, { what }: PurgeRequest): readonly Buffer[] | undefined {
  if ('path' in what) return parsePath(what.path);
  return commit.id === what.commit ? [] : undefined;
}

async function* commitsOf(snapshot: Snapshot, repo: string): AsyncGenerator<Commit> {
  await snapshot.repo(repo);
  for await (const { refs } of snapshot.commitItems(repo)) if (refs[0]) yield snapshot.commitAt(refs[0]);
}

class Rewrite {
  private readonly reader: BlobReader;
  private readonly change: Change;
  private readonly upload: Upload;
  private readonly request: PurgeRequest;
  private readonly directories: Directories;
  /** New trees by the hash of the old: most commits share most of theirs. */
  private readonly trees = new Map<string, Directory>();
  private readonly commits = new Map<string, Rewritten>();
  private readonly time = Date.now();

  constructor(reader: BlobReader, change: Change, upload: Upload, request: PurgeRequest) {
    this.reader = reader;
    this.change = change;
    this.upload = upload;
    this.request = request;
    this.directories = new Directories(reader, upload.nodes);
  }

  async run(): Promise<void> {
    const { snapshot } = this.change;
    const { repo } = this.request;
    for await (const item of snapshot.commitItems(repo)) {
      if (item.refs[0]) await this.rewriteCommit(item, await snapshot.commitAt(item.refs[0]));
    }
    for await (const branch of snapshot.branches(repo)) {
      if (!branch.head) continue;
      const rewritten = this.commits.get(hashKey(branch.head.commit.hash));
      const { commit, tree } = branch.head;
      const index = await this.rewriteIndex(branch.head.index);
      // Trees differ at other paths from now on, and names of paths must go, even where they are hashes.
      const head = {
        ...branch.head,
        commit: rewritten?.ref ?? commit,
        tree: rewritten?.tree ?? tree,
        index,
        changed: undefined,
      };
      this.change.setBranch({ ...branch, head });
    }
  }

  private async rewriteCommit(item: MapItem, commit: Commit): Promise<void> {
    const names = pathIn(commit, this.request);
    if (!names) return;
    const tree = await this.without(rootOf(commit), names);
    if (tree.ref.hash.equals(commit.tree.hash)) return;
    const { contentHash, files, bytes } = tree;
    const message = names.length === 0 ? 'purged' : commit.message;
    const body = encodeCommit({ ...commit, contentHash, files, bytes, message });
    const ref = await this.upload.nodes.add({ kind: 'commit', level: 0, refs: [tree.ref], body });
    this.commits.set(hashKey(commit.ref.hash), { ref, tree: tree.ref });
    this.change.set({ ...item, refs: [ref] });
    const purged = encodePurged({ time: this.time, who: this.change.author, olderResults: false });
    this.change.set({ key: purgedKey(commit.repo, commit.id), value: purged, refs: [] });
  }

  private async without(root: Directory, names: readonly Buffer[]): Promise<Directory> {
    const key = hashKey(root.ref.hash);
    const known = this.trees.get(key);
    if (known) return known;
    const tree =
      names.length === 0
        ? await this.directories.apply(undefined, [])
        : (await this.directories.find(root, names))
          ? await this.directories.set(root, names, undefined, 0)
          : root;
    this.trees.set(key, tree);
    return tree;
  }

  private async rewriteIndex(index: Ref): Promise<Ref> {
    const edits = [];
    for await (const item of new OrderedReader(this.reader, mapFormat, index).items()) {
      const [ref] = item.refs;
      const rewritten = ref && this.commits.get(hashKey(ref.hash));
      if (rewritten) edits.push({ key: item.key, item: { ...item, refs: [rewritten.ref] } });
    }
    return this.change.editIndex(index, edits);
  }
}
