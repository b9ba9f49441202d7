/**
 * The one door by which a branch gets a commit. Whoever comes through it says who makes the change,
 * when and why, and what must hold when it is published; conflicts are its result, not an error.
 */
import { PachError } from '../base/errors.ts';
import type { CommitId, CommitProvenance } from '../model/records/commit.ts';
import type { TreeEntry } from '../model/tree.ts';
import { newCommitId, type Change } from './change.ts';
import { Directories, type Directory } from './directories.ts';
import type { Project } from './project.ts';
import { declare, type Declares } from './provenance.ts';
import { collectedOr } from './renew.ts';
import { rootOf, type Branch, type Commit, type Snapshot } from './snapshot.ts';
import { refuseTriggered } from './triggers.ts';
import type { Upload } from './upload.ts';

export interface BranchName {
  readonly repo: string;
  readonly branch: string;
}

/** What must hold when a change is published. */
export type Precondition =
  /** Nothing: by path, the later change wins. */
  | { readonly kind: 'none' }
  /** The branch's head is this commit; undefined: the branch has no commits. */
  | { readonly kind: 'head'; readonly commit: CommitId | undefined }
  /**
   * The paths that an edit changes are as in the files that it was given: those of this commit, or of
   * the branch's head as it was when the edit began.
   */
  | { readonly kind: 'paths'; readonly commit?: CommitId };

/** What keeps a change from being made. */
export type Conflict =
  /** The head that the branch has instead. */
  | { readonly kind: 'head'; readonly commit: CommitId | undefined }
  /** A path that others have changed, and what is there now. */
  | { readonly kind: 'path'; readonly path: readonly Buffer[]; readonly entry: TreeEntry | undefined };

/** What became of a change. With conflicts nothing was changed; they are all that there are. */
export type EditResult =
  | { readonly kind: 'committed'; readonly commit: Commit; readonly isUnchanged: boolean }
  | { readonly kind: 'conflicts'; readonly conflicts: readonly Conflict[] };

/** The commit of a change without a precondition. */
export function committed(result: EditResult): Commit {
  if (result.kind === 'conflicts') throw new Error('a change without a precondition has no conflicts');
  return result.commit;
}

/** A change of a branch: where, why, and by default by whom and when. */
export interface EditRequest extends BranchName {
  readonly message: string;
  /** By default the project's. */
  readonly author?: string | undefined;
  /** When it was begun, in milliseconds since 1970; by default now. */
  readonly started?: number;
  /** When it was finished, for what was committed elsewhere before; by default now. See `NewCommit`. */
  readonly finished?: number | undefined;
  /** What the files at some paths were made of, where it is declared. */
  readonly declares?: Declares | undefined;
  readonly precondition?: Precondition;
  /** Whether the files may have references afterwards; undefined: if they may have some now. */
  readonly references?: boolean | undefined;
}

/** Makes other files of those of a branch (undefined: it has no commits); undefined for none. */
export type Edit = (
  directories: Directories,
  base: Directory | undefined,
  upload: Upload,
) => Promise<Directory | undefined>;

/** Bytes of what was new, and of the objects that were written. */
export interface EditCosts {
  readonly newBytes: number;
  readonly storedBytes: number;
}

/**
 * Commits what `edit` makes of a branch's files; the head stays when that is the same. Whatever it
 * comes to, nothing is being written any more afterwards. Throws `conflict` for a branch that only a
 * pipeline writes to.
 */
export async function commitEdit(
  project: Project,
  request: EditRequest,
  edit: Edit,
): Promise<{ result: EditResult; costs: EditCosts }> {
  const commit = { ...request, id: newCommitId(), started: request.started ?? Date.now() };
  await using begun = await project.begin(request.author);
  const { snapshot, upload } = begun;
  const directories = new Directories(project.reader, upload.nodes);
  try {
    const [base] = await Promise.all([baseOf(snapshot, commit), snapshot.repo(request.repo)]);
    const tree = (await edit(directories, base, upload)) ?? (await directories.apply(undefined, []));
    const result = await project.update(
      `put ${request.repo}@${request.branch}`,
      (change) => commitFiles(change, commit, { kind: 'edited', base, tree }),
      begun,
    );
    return { result, costs: { newBytes: upload.data.newBytes, storedBytes: upload.storedBytes } };
  } catch (error) {
    throw await collectedOr(project, upload, error);
  }
}

/** A commit as it is to be. */
export interface BranchCommit extends EditRequest {
  readonly id: CommitId;
  readonly started: number;
  readonly provenance?: readonly CommitProvenance[];
  readonly incomplete?: boolean | undefined;
}

/** The files of a commit. */
export type NewFiles =
  /** `base` was edited to `tree`; what differs is applied to what the branch has. */
  | { readonly kind: 'edited'; readonly base: Directory | undefined; readonly tree: Directory }
  /** All that a pipeline has computed, in place of what the branch has. */
  | { readonly kind: 'output'; readonly tree: Directory };

/**
 * Commits files as a part of `change`, into which their nodes are stored. An edit that changes nothing
 * makes no commit; what it declares is declared of the branch's head then.
 */
export async function commitFiles(change: Change, commit: BranchCommit, files: NewFiles): Promise<EditResult> {
  const result = await commitOnly(change, commit, files);
  const { declares } = commit;
  if (declares && result.kind === 'committed') await declare(change, result.commit, declares);
  return result;
}

async function commitOnly(change: Change, commit: BranchCommit, files: NewFiles): Promise<EditResult> {
  const { snapshot } = change;
  const branch = await branchFor(change, commit, files);
  const { precondition } = commit;
  if (precondition?.kind === 'head' && precondition.commit !== branch?.head?.id) {
    return { kind: 'conflicts', conflicts: [{ kind: 'head', commit: branch?.head?.id }] };
  }
  let { tree } = files;
  let { references } = commit;
  if (files.kind === 'edited') {
    const before = branch?.head && (await snapshot.commitAt(branch.head.commit));
    const current = before && rootOf(before);
    if (current?.ref.hash.toString('hex') !== files.base?.ref.hash.toString('hex')) {
      // What is compared below must be readable from the store, however large it was.
      await change.upload.finish();
      const directories = new Directories(snapshot.reader, change.upload.nodes);
      const conflicts = precondition?.kind === 'paths' ? await pathConflicts(directories, { ...files, current }) : [];
      if (conflicts.length > 0) return { kind: 'conflicts', conflicts };
      tree = await directories.rebase(files.base, tree, current);
      // Others may have brought some.
      references ||= before?.references;
    }
    const tellsAnew = before?.references === true && references === false;
    if (before && tree.ref.hash.equals(before.tree.hash) && !tellsAnew) {
      return { kind: 'committed', commit: before, isUnchanged: true };
    }
  }
  return { kind: 'committed', commit: await change.commit({ ...commit, references, tree }), isUnchanged: false };
}

async function branchFor(
  change: Change,
  { repo, branch: name }: BranchName,
  { kind }: NewFiles,
): Promise<Branch | undefined> {
  if (kind === 'output') return change.maybeBranch(repo, name);
  const [branch, { ticksOf }] = await Promise.all([change.maybeBranch(repo, name), change.snapshot.repo(repo)]);
  mayCommit(branch ?? { repo, name, provenance: [] }, ticksOf);
  return branch;
}

/** Throws `conflict` for a branch to which only an engine commits, and for one that its trigger moves. */
export function mayCommit(branch: Omit<Branch, 'head'>, ticksOf: string | undefined): void {
  mayChange(branch, ticksOf);
  refuseTriggered(branch);
}

/** Only its pipeline writes to a branch that follows others, and only ticks come to a repo of ticks. */
export function mayChange({ repo, name, provenance }: Omit<Branch, 'head'>, ticksOf: string | undefined): void {
  if (ticksOf !== undefined) {
    throw new PachError('conflict', {
      what: `${repo}@${name}`,
      why: `its commits are the ticks of pipeline ${ticksOf}, and nobody else commits to it`,
      next: `pach run cron ${ticksOf}`,
    });
  }
  if (provenance.length === 0) return;
  throw new PachError('conflict', {
    what: `${repo}@${name}`,
    why: 'it is the output of a pipeline, and only the pipeline commits to it',
    next: `pach run pipeline ${repo}`,
  });
}

async function pathConflicts(
  directories: Directories,
  { base, tree, current }: { readonly tree: Directory } & Record<'base' | 'current', Directory | undefined>,
): Promise<Conflict[]> {
  const found: Conflict[] = [];
  for await (const conflict of directories.conflicts(base, tree, current)) found.push({ kind: 'path', ...conflict });
  return found;
}

/** The files that an edit begins with. */
async function baseOf(
  snapshot: Snapshot,
  { repo, branch, id, precondition }: BranchCommit,
): Promise<Directory | undefined> {
  // All that a new commit will read is asked for at once: round trips are what it costs.
  snapshot.prefetchEntry(repo, id);
  const head = (await snapshot.maybeBranch(repo, branch))?.head;
  if (head) {
    snapshot.prefetch(head.tree);
    snapshot.prefetchNewest(head);
  }
  const as = precondition?.kind === 'paths' ? precondition.commit : undefined;
  if (as === undefined) return head && rootOf(await snapshot.commitAt(head.commit));
  const commit = await snapshot.maybeCommit(repo, as);
  if (commit) return rootOf(commit);
  throw new PachError('not-found', { what: `${repo}@${as}`, why: 'there is no such commit' });
}
