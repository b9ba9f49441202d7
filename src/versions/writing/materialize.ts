/**
 * References of a branch become stored files: their bytes are read from where they lie, and stored, in one
 * commit. What a command that was killed has stored is not stored again.
 */
import { mapOrdered, Semaphore } from '../../base/async.ts';
import { PachError } from '../../base/errors.ts';
import type { BlobReader } from '../../cache/blobs.ts';
import { parsePath, pathOf } from '../../model/paths.ts';
import type { CommitId } from '../../model/records/commit.ts';
import type { FileContent } from '../../model/tree.ts';
import { storeStream, type ContentSink } from '../content.ts';
import { commitEdit, type BranchName, type EditCosts } from '../edit.ts';
import type { Project } from '../project.ts';
import { readParts } from '../reading/read.ts';
import { referencesIn, type ReferencedFile } from '../reading/references.ts';
import type { Directories, Directory } from '../directories.ts';
import { PendingTree } from './pending-tree.ts';
import { repeated } from './put.ts';

export interface MaterializeRequest extends BranchName {
  readonly message: string;
  /** All at and below it; `/` for all of the branch. */
  readonly path: string;
  /** Told of bytes and files as they are stored. */
  readonly progress: (bytes: number, files: number) => void;
  readonly signal: AbortSignal;
}

export interface MaterializeResult extends EditCosts {
  readonly commit: CommitId;
  /** True when there was nothing to do: then the branch's head is the commit. */
  readonly isUnchanged: boolean;
  readonly files: number;
  readonly bytes: number;
}

/** Files read at a time, and those of them that are large. */
const readsMax = 32;
const largeMax = 4;
const largeBytesMin = 1024 * 1024;
const pendingMax = 20_000;

/** Throws `not-found`; `conflict` when one of the files was changed meanwhile; and what reading an object throws. */
export function materialize(project: Project, request: MaterializeRequest): Promise<MaterializeResult> {
  return repeated(() => materializeOnce(project, request));
}

async function materializeOnce(project: Project, request: MaterializeRequest): Promise<MaterializeResult> {
  const { repo, branch, message } = request;
  const at = parsePath(request.path);
  const what = `${repo}@${branch}${at.length > 0 ? `:${request.path}` : ''}`;
  let files = 0;
  let bytes = 0;
  // All of the branch has none afterwards; the rest of it may have some.
  const references = at.length === 0 ? false : undefined;
  const change = { repo, branch, message, references, precondition: { kind: 'paths' } as const };
  const { result, costs } = await commitEdit(project, change, async (directories, base, upload) => {
    const entry = base && (await directories.find(base, at));
    if (!base || !entry) throw new PachError('not-found', { what, why: 'there is no such file' });
    const sink = { data: upload.data, nodes: upload.nodes };
    const store = reader(project.reader, sink, request);
    let root: Directory = base;
    let tree = new PendingTree();
    const apply = async (): Promise<void> => {
      if (tree.count > 0) root = await tree.apply(directories, root, Date.now());
      tree = new PendingTree();
    };
    for await (const { file, content } of mapOrdered(found(directories, request, entry, at), readsMax, store)) {
      request.signal.throwIfAborted();
      files += 1;
      bytes += file.content.size;
      request.progress(0, 1);
      tree.set(file.path, { ...file.entry, name: file.path.at(-1) as Buffer, content }, pathOf(file.path));
      if (tree.count < pendingMax) continue;
      await apply();
      // The next round reads what this one has written, which may have left memory by then.
      await upload.finish();
    }
    await apply();
    return root;
  });
  if (result.kind === 'conflicts') {
    const why = 'another writer has changed files of it meanwhile, and nothing was committed';
    throw new PachError('conflict', { what, why, next: 'run the same command again' });
  }
  return { commit: result.commit.id, isUnchanged: result.isUnchanged, files, bytes, ...costs };
}

async function* found(
  directories: Directories,
  { signal }: MaterializeRequest,
  ...of: [entry: Parameters<typeof referencesIn>[1], at: readonly Buffer[]]
): AsyncGenerator<ReferencedFile> {
  for await (const file of referencesIn(directories, ...of)) {
    signal.throwIfAborted();
    yield file;
  }
}

/** Reads a file and stores its bytes. */
function reader(
  from: BlobReader,
  sink: ContentSink,
  { progress, signal }: MaterializeRequest,
): (file: ReferencedFile) => Promise<{ file: ReferencedFile; content: FileContent }> {
  const large = new Semaphore(largeMax);
  async function* bytesOf({ content }: ReferencedFile): AsyncGenerator<Buffer> {
    for await (const { bytes } of readParts(from, content)) {
      signal.throwIfAborted();
      progress(bytes?.length ?? 0, 0);
      if (bytes) yield bytes;
    }
  }
  const read = async (file: ReferencedFile) => ({ file, content: await storeStream(sink, bytesOf(file)) });
  return (file) => (file.content.size < largeBytesMin ? read(file) : large.run(() => read(file), signal));
}
