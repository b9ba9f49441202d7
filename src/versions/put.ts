/**
 * Changes to the files of a branch, each one commit: put and delete. What was put concurrently
 * by others stays; by path, the later change wins.
 */
import { realpath, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { PachError } from '../base/errors.ts';
import { nameOfText, parsePath } from '../model/paths.ts';
import type { CommitId } from '../model/records/commit.ts';
import { entryHash, type TreeEntry } from '../model/tree.ts';
import { newCommitId } from './change.ts';
import { storeStream } from './content.ts';
import { Directories, sameContent, type Directory } from './directories.ts';
import { ingestFile, ingestFolder, type IngestOptions } from './ingest.ts';
import type { Project } from './project.ts';
import { rootOf, type Commit, type Snapshot } from './snapshot.ts';
import type { Upload } from './upload.ts';

export interface BranchName {
  readonly repo: string;
  readonly branch: string;
}

export type PutSource =
  | { readonly kind: 'path'; readonly path: string; readonly recursive: boolean }
  | { readonly kind: 'stream'; readonly stream: AsyncIterable<Uint8Array> };

export interface PutRequest extends BranchName {
  readonly message: string;
  readonly sources: readonly PutSource[];
  /** A path; one that ends in `/` (or is empty) is the folder to put into. */
  readonly target: string;
  readonly watch: Pick<IngestOptions, 'progress' | 'skipped' | 'signal'>;
}

export interface PutResult {
  readonly commit: CommitId;
  /** Files and symlinks read. */
  readonly files: number;
  /** Bytes read. */
  readonly bytes: number;
  /** Plain bytes of the chunks that were new. */
  readonly newBytes: number;
  /** Bytes of the objects that were written. */
  readonly storedBytes: number;
}

/** Puts files into a branch as one commit. */
export async function putFiles(project: Project, request: PutRequest): Promise<PutResult> {
  if (request.sources.length > 1 && request.target !== '' && !request.target.endsWith('/')) {
    throw new PachError('usage', {
      what: `target ${request.target}`,
      why: 'several sources need a folder to go to',
      next: `the same with ${request.target}/`,
    });
  }
  let files = 0;
  let bytes = 0;
  const progress = (moreBytes: number, moreFiles: number): void => {
    files += moreFiles;
    bytes += moreBytes;
    request.watch.progress(moreBytes, moreFiles);
  };
  const watch = { ...request.watch, progress };
  const { commit, upload } = await commitEdit(project, request, async (directories, base, writing) => {
    const sink = { data: writing.data, nodes: writing.nodes };
    let root = base;
    for (const source of request.sources) {
      root = await putOne({ ...watch, sink, directories }, root, source, request.target);
    }
    watch.signal?.throwIfAborted();
    return root;
  });
  return { commit: commit.id, files, bytes, newBytes: upload.data.newBytes, storedBytes: upload.storedBytes };
}

export interface DeleteRequest extends BranchName {
  readonly message: string;
  readonly paths: readonly string[];
  /** Needed for directories. */
  readonly recursive: boolean;
}

/** Deletes files of a branch as one commit. */
export async function deleteFiles(project: Project, request: DeleteRequest): Promise<Commit> {
  const { commit } = await commitEdit(project, request, async (directories, base) => {
    let root = base;
    for (const path of request.paths) {
      const names = parsePath(path);
      const what = `${request.repo}@${request.branch}:${path}`;
      const entry = root && (await directories.find(root, names));
      if (!root || !entry) throw new PachError('not-found', { what, why: 'there is no such file' });
      if (entry.kind === 'directory' && !request.recursive) {
        throw new PachError('usage', { what, why: 'it is a directory', next: `pach delete file ${what} -r` });
      }
      root =
        names.length > 0
          ? await directories.set(root, names, undefined, Date.now())
          : await directories.apply(undefined, []);
    }
    return root;
  });
  return commit;
}

type Edit = (directories: Directories, base: Directory | undefined, upload: Upload) => Promise<Directory | undefined>;

/** Commits what `edit` makes of a branch's files; the head stays when that is the same. */
async function commitEdit(
  project: Project,
  where: BranchName & { readonly message: string },
  edit: Edit,
): Promise<{ commit: Commit; upload: Upload }> {
  const started = Date.now();
  const id = newCommitId();
  const snapshot = await project.snapshot();
  await snapshot.repo(where.repo);
  const upload = await project.upload();
  const directories = new Directories(project.reader, upload.nodes);
  const base = await filesOf(snapshot, where);
  const edited = (await edit(directories, base, upload)) ?? (await directories.apply(undefined, []));
  const commit = await project.update(`put ${where.repo}@${where.branch}`, upload, async (change) => {
    await change.snapshot.repo(where.repo);
    const head = (await change.snapshot.maybeBranch(where.repo, where.branch))?.head;
    const before = head && (await change.snapshot.commitAt(head.commit));
    const current = before && rootOf(before);
    const unmoved = (current && base && current.ref.hash.equals(base.ref.hash)) || (!current && !base);
    // What is compared below must be readable from the store, however large it was.
    if (!unmoved) await upload.finish();
    const tree = unmoved ? edited : await directories.rebase(base, edited, current);
    if (before && tree.ref.hash.equals(before.tree.hash)) return before;
    return change.commit({ ...where, id, tree, started });
  });
  return { commit, upload };
}

async function filesOf(snapshot: Snapshot, { repo, branch }: BranchName): Promise<Directory | undefined> {
  const head = (await snapshot.maybeBranch(repo, branch))?.head;
  return head && rootOf(await snapshot.commitAt(head.commit));
}

async function putOne(
  options: IngestOptions,
  root: Directory | undefined,
  source: PutSource,
  target: string,
): Promise<Directory | undefined> {
  const into = target === '' || target.endsWith('/');
  const names = parsePath(target);
  const now = Date.now();
  if (source.kind === 'stream') {
    const name = names.at(-1);
    if (into || !name) {
      throw new PachError('usage', {
        what: `target ${target || '/'}`,
        why: 'what comes from standard input needs a file name',
        next: 'pach put file repo@branch:/name -f -',
      });
    }
    const content = await storeStream(options.sink, counted(source.stream, options));
    options.progress(0, 1);
    const mtime = { mtimeSeconds: Math.floor(now / 1000), mtimeNanoseconds: (now % 1000) * 1_000_000 };
    return replace(options, root, names, { name, kind: 'file', executable: false, ...mtime, content });
  }
  const info = await stat(source.path).catch((error: NodeJS.ErrnoException) => {
    const why = error.code === 'ENOENT' ? 'there is no such file or folder' : `it can't be read (${error.code})`;
    throw new PachError(error.code === 'ENOENT' ? 'not-found' : 'denied', { what: source.path, why, cause: error });
  });
  const path = Buffer.from(nameOfText(source.path));
  const named =
    info.isDirectory() && /(^|\/)\.{0,2}\/*$/.test(source.path) ? [] : [nameOfText(basename(resolve(source.path)))];
  const at = into ? [...names, ...named] : names;
  if (!info.isDirectory()) {
    if (!info.isFile()) {
      throw new PachError('failed', { what: source.path, why: 'sockets, devices and FIFOs are not stored' });
    }
    // A link named on the command line is what it leads to, as for cp.
    const file = await ingestFile(options, path);
    return replace(options, root, at, { name: at.at(-1) as Buffer, kind: 'file', ...file });
  }
  if (!source.recursive) {
    throw new PachError('usage', {
      what: source.path,
      why: 'it is a folder',
      next: `the same command with -r`,
    });
  }
  // The folder may be named through a link; what lies in it is taken without following any.
  return putFolder(options, root, nameOfText(await realpath(source.path)), at, now);
}

async function putFolder(
  options: IngestOptions,
  root: Directory | undefined,
  path: Buffer,
  at: readonly Buffer[],
  now: number,
): Promise<Directory> {
  const before = root && (await options.directories.find(root, at));
  const base = before?.content.form === 'directory' ? before.content : undefined;
  const content = await ingestFolder(options, path, base);
  const name = at.at(-1);
  if (!name) return content;
  const mtime = { mtimeSeconds: Math.floor(now / 1000), mtimeNanoseconds: (now % 1000) * 1_000_000 };
  return replace(
    options,
    root,
    at,
    before && base ? { ...before, content } : { name, kind: 'directory', executable: false, ...mtime, content },
  );
}

/** Sets an entry; one that was there with equal content keeps its time. */
async function replace(
  options: IngestOptions,
  root: Directory | undefined,
  at: readonly Buffer[],
  entry: TreeEntry,
): Promise<Directory> {
  const before = root && (await options.directories.find(root, at));
  if (root && before && sameContent(before, entry) && sameNode(before, entry)) return root;
  if (before && before.kind !== entry.kind && (before.kind === 'directory' || entry.kind === 'directory')) {
    throw new PachError('conflict', {
      what: `/${at.join('/')}`,
      why: `a ${before.kind} lies there, and this is a ${entry.kind}`,
      next: before.kind === 'directory' ? 'end the target with / to put into it' : 'delete it first',
    });
  }
  return options.directories.set(root, at, entry, Date.now());
}

/** For directories: the same down to their entries' times. */
function sameNode(a: TreeEntry, b: TreeEntry): boolean {
  if (a.content.form !== 'directory' || b.content.form !== 'directory') return true;
  return a.content.ref.hash.equals(b.content.ref.hash) && entryHash(a).equals(entryHash(b));
}

async function* counted(stream: AsyncIterable<Uint8Array>, options: IngestOptions): AsyncGenerator<Uint8Array> {
  for await (const bytes of stream) {
    options.signal?.throwIfAborted();
    options.progress(bytes.length, 0);
    yield bytes;
  }
}
