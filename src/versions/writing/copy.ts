/**
 * Copies within a project: what is stored already gets another name, so no bytes move.
 */
import { PachError } from '../../base/errors.ts';
import { fileTime } from '../../base/file-time.ts';
import { parsePath, pathOf } from '../../model/paths.ts';
import { directoryOf, nounOf, type TreeEntry } from '../../model/tree.ts';
import { Directories, sameContent, type Directory, type DirectoryEdit } from '../directories.ts';
import { commitEdit, committed, type BranchName, type Edit } from '../edit.ts';
import type { Project } from '../project.ts';
import type { MadeOf } from '../provenance.ts';
import type { File } from '../reading/files.ts';
import { hasReferences } from '../reading/references.ts';
import type { Commit } from '../snapshot.ts';
import { repeated } from './put.ts';

export interface CopyRequest extends BranchName {
  readonly message: string;
  /** What is copied, of any version of the project. */
  readonly source: File;
  /** True when that version may have references. */
  readonly mayRefer?: boolean | undefined;
  /** A path; one that ends in `/` (or is empty) is the folder to copy into, under the source's own name. */
  readonly target: string;
  /** What the copy is declared to be made of. */
  readonly madeOf?: readonly MadeOf[];
}

/**
 * Copies a file or a folder into a branch, as one commit. What lies in a folder that is there already stays,
 * but for what the copy has under the same names. The branch's head comes back when nothing changes.
 */
export async function copyFiles(project: Project, request: CopyRequest): Promise<Commit> {
  const { repo, branch, message, source, target, madeOf } = request;
  const own = parsePath(source.path).slice(-1);
  const into = target === '' || target.endsWith('/');
  const at = [...parsePath(target), ...(into ? own : [])];
  const declares = madeOf && { paths: [pathOf(at)], sources: madeOf };
  const mayRefer = request.mayRefer && (await hasReferences(new Directories(project.reader), source.entry));
  const references = mayRefer || undefined;
  const copy: Edit = (directories, base) => withCopy(directories, base, { entry: source.entry, at });
  const { result } = await repeated(() => commitEdit(project, { repo, branch, message, declares, references }, copy));
  return committed(result);
}

async function withCopy(
  directories: Directories,
  base: Directory | undefined,
  { entry, at }: { readonly entry: TreeEntry; readonly at: readonly Buffer[] },
): Promise<Directory | undefined> {
  const copy = directoryOf(entry);
  const name = at.at(-1);
  if (!name) {
    if (copy) return merged(directories, { copy, there: base, at });
    throw new Error('a file is copied to a path');
  }
  const there = base && (await directories.find(base, at));
  if (there && sameContent(there, entry)) return base;
  checkKinds(at, there, entry);
  if (!copy) return directories.set(base, at, { ...entry, name }, Date.now());
  const content = await merged(directories, { copy, there: directoryOf(there), at });
  // The root of a version has no time of its own.
  const { mtimeSeconds, mtimeNanoseconds } = there ?? (entry.name.length > 0 ? entry : fileTime(Date.now()));
  const folder = { name, kind: 'directory', executable: false, mtimeSeconds, mtimeNanoseconds, content } as const;
  return directories.set(base, at, folder, Date.now());
}

/** A folder over one that is there. What has equal content stays as it is, times included. */
async function merged(
  directories: Directories,
  {
    copy,
    there,
    at,
  }: { readonly copy: Directory; readonly there: Directory | undefined; readonly at: readonly Buffer[] },
): Promise<Directory> {
  if (!there) return copy;
  const edits: DirectoryEdit[] = [];
  for await (const { key, old, new: entry } of directories.diff(there, copy)) {
    if (!entry || (old && sameContent(old, entry))) continue;
    const path = [...at, key];
    checkKinds(path, old, entry);
    const content = directoryOf(entry);
    const below = directoryOf(old);
    if (old && below && content) {
      edits.push({ ...old, content: await merged(directories, { copy: content, there: below, at: path }) });
    } else edits.push(entry);
  }
  return directories.apply(there, edits);
}

/** Throws `conflict` where a folder would take the place of something else, or something else that of a folder. */
function checkKinds(at: readonly Buffer[], there: TreeEntry | undefined, { kind }: TreeEntry): void {
  if (!there || (there.kind === 'directory') === (kind === 'directory')) return;
  throw new PachError('conflict', {
    what: pathOf(at),
    why: `there is a ${nounOf(there.kind)} at this path, and the source has a ${nounOf(kind)}`,
    next: there.kind === 'directory' ? 'end the target with / to copy it into that folder' : 'delete it first',
  });
}
