/**
 * What a sync would change, found as a put finds it, but with nothing stored: chunks are only
 * named, and new nodes stay in memory until they were compared.
 */
import { readlink } from 'node:fs/promises';
import { hashKey, type Ref } from '../../model/refs.ts';
import { encodeNode, type Node, type NodeSink, type NodeSource } from '../../model/node.ts';
import { nameOfText } from '../../model/paths.ts';
import type { TreeEntry } from '../../model/tree.ts';
import type { ContentSink } from '../content.ts';
import { Directories } from '../directories.ts';
import { changesOf, type FileChange } from '../reading/files.ts';
import type { Project } from '../project.ts';
import { mayCommit } from '../edit.ts';
import { SeenFolders, type PutRequest } from './put.ts';
import { OwnFolders } from './own-folders.ts';
import { putSource } from './put-source.ts';
import { rootOf } from '../snapshot.ts';
import { Unreadable } from './unreadable.ts';

export interface Trial {
  /** Files and links, in order of paths. */
  readonly changes: AsyncIterable<FileChange>;
  /** True where not even an empty folder would come or go. */
  readonly isSame: boolean;
  /** What could not be read, and would stay as it is there. */
  readonly unreadable: readonly string[];
}

export interface TrialRequest extends Omit<PutRequest, 'sources' | 'message' | 'append'> {
  /** With a slash at its end. */
  readonly folder: string;
  readonly deleteOthers: boolean;
}

/** Throws what the sync itself would. */
export async function trySync(project: Project, request: TrialRequest): Promise<Trial> {
  const { repo, folder, target, deleteOthers, watch } = request;
  const snapshot = await project.snapshot();
  const { ticksOf } = await snapshot.repo(repo);
  const branch = await snapshot.maybeBranch(repo, request.branch);
  mayCommit(branch ?? { repo, name: request.branch, provenance: [] }, ticksOf);
  const base = branch?.head && rootOf(await snapshot.commitAt(branch.head.commit));
  const { sink, directories } = trialSink(project.reader);
  await using seen = new SeenFolders(project, request);
  const source = { kind: 'path', path: folder, recursive: true, deleteOthers } as const;
  const own = new OwnFolders(project.options.store);
  const unreadable = new Unreadable(request.skipUnreadable ?? false, watch.skipped);
  const options = {
    ...watch,
    own,
    unreadable,
    sink,
    directories,
    finish: () => Promise.resolve(),
    seen: await seen.of(source),
  };
  const root = await putSource(options, base, source, target);
  unreadable.check();
  const [before, after] = [base && (await directories.find(base, [])), root && (await directories.find(root, []))];
  async function* changes(): AsyncGenerator<FileChange> {
    for await (const change of changesOf(directories, '/', before, after)) {
      yield {
        ...change,
        new: change.new && (await withTarget(change.new, folder + change.path.slice(target.length + 1))),
      };
    }
  }
  const isSame = base?.ref.hash.equals(root?.ref.hash ?? base.ref.hash) ?? root === undefined;
  return { changes: changes(), isSame, unreadable: unreadable.paths };
}

/** Takes contents as a put does, and stores nothing. `directories` finds what it took, and what `stored` has. */
export function trialSink(stored: NodeSource): { readonly sink: ContentSink; readonly directories: Directories } {
  const memory = new NodeMemory(stored);
  return { sink: { data: { add: namesOnly }, nodes: memory }, directories: new Directories(memory, memory) };
}

/** Where chunks would be referred to. */
function namesOnly(blobs: Parameters<ContentSink['data']['add']>[0]): Promise<Ref[]> {
  return Promise.resolve(blobs.map(({ hash }) => ({ type: 'chunk', hash })));
}

/** A long link is a chunk, which nobody has stored. */
async function withTarget(entry: TreeEntry, path: string): Promise<TreeEntry> {
  if (entry.kind !== 'symlink' || entry.content.form === 'inline') return entry;
  return { ...entry, content: { form: 'inline', bytes: await readlink(nameOfText(path), { encoding: 'buffer' }) } };
}

class NodeMemory implements NodeSource, NodeSink {
  private readonly stored: NodeSource;
  private readonly fresh = new Map<string, Node>();

  constructor(stored: NodeSource) {
    this.stored = stored;
  }

  add(node: Node): Ref {
    const { hash } = encodeNode(node);
    this.fresh.set(hashKey(hash), node);
    return { type: 'node', hash };
  }

  async node(ref: Ref): Promise<Node> {
    return this.fresh.get(hashKey(ref.hash)) ?? this.stored.node(ref);
  }
}
