/**
 * The history of a git repository to commits of a branch. A commit here says in the last line of its
 * message which one of git it was, so a later import goes on from there, also after a kill.
 */
import { mapOrdered } from '../base/async.ts';
import { PachError } from '../base/errors.ts';
import type { CommitId } from '../model/records/commit.ts';
import { newCommitId, type Change } from '../versions/change.ts';
import { Directories, type Directory } from '../versions/directories.ts';
import { commitFiles, type BranchCommit, type BranchName } from '../versions/edit.ts';
import type { Project } from '../versions/project.ts';
import { createRepo } from '../versions/refs.ts';
import { collectedOr } from '../versions/renew.ts';
import { rootOf, type Commit } from '../versions/snapshot.ts';
import type { IngestOptions } from '../versions/writing/ingest.ts';
import { repeated } from '../versions/writing/put.ts';
import { byPath, Editing, missingFolder, namesOf, type MissingFile } from './editing.ts';
import { importedFrom, messageOf, type GitCommit } from './git-commit.ts';
import { shownPath, type GitHistory, type Path } from './git.ts';
import type { Objects } from './objects.ts';
import type { DataDifference, DataReader, Wanted } from './reader.ts';

export interface ImportOptions extends BranchName {
  readonly project: Project;
  readonly git: GitHistory;
  readonly reader: DataReader;
  readonly objects: Objects;
  /** Of the repo, where it is made. */
  readonly description: string;
  /** Looks for objects, and stores nothing. */
  readonly dryRun: boolean;
  readonly watch: Pick<IngestOptions, 'progress' | 'signal'>;
}

export interface ImportedCommit {
  readonly git: string;
  /** Undefined in a dry run. */
  readonly commit: CommitId | undefined;
  /** Files that came with it, and their bytes. */
  readonly files: number;
  readonly bytes: number;
  /** Files that it has in git and not here. */
  readonly missing: number;
}

export interface ImportResult {
  readonly commits: readonly ImportedCommit[];
  /** Git commits that an earlier import has brought. */
  readonly known: number;
  /** Git commits that change no data. */
  readonly skipped: number;
  readonly missing: readonly MissingFile[];
  /** Bytes of the objects that were written. */
  readonly storedBytes: number;
}

/** A commit as it is to be, and what is told of it. */
interface Made {
  readonly commit: BranchCommit;
  readonly base: Directory | undefined;
  readonly tree: Directory;
  readonly told: ImportedCommit;
}

/** A git commit with what it changes. */
interface Step {
  readonly commit: GitCommit;
  readonly difference: DataDifference;
  /** It was imported before, and not all of it. */
  readonly isRepeated?: boolean;
}

/** Steps that are published together have no more changes; a larger one is published alone. */
const changesMax = 2000;
const stepsMax = 50;
/** After so many bytes, or so long, what was read is published: a kill loses no more. */
const bytesMax = 256 * 1024 * 1024;
const publishMs = 1000;
const entriesAhead = 32;

/**
 * Imports what is new. Throws `conflict` where the branch has commits that are no import of this line of
 * git's history.
 */
export async function importHistory(options: ImportOptions): Promise<ImportResult> {
  const importer = new Importer(options);
  return importer.run();
}

class Importer {
  private readonly options: ImportOptions;
  private readonly commits: ImportedCommit[] = [];
  private readonly missing = new Map<string, MissingFile>();
  /** Paths that the branch's head lacks. */
  private absent = new Set<Path>();
  private head: Commit | undefined;
  private hasRepo = true;
  private known = 0;
  private skipped = 0;
  private storedBytes = 0;
  private steps: Step[] = [];

  constructor(options: ImportOptions) {
    this.options = options;
  }

  async run(): Promise<ImportResult> {
    const { git, reader, watch } = this.options;
    const done = await this.begun();
    let isNew = done === undefined;
    for await (const { commit, changes } of git.steps()) {
      watch.signal?.throwIfAborted();
      await reader.advance(changes);
      if (!isNew) {
        this.known += 1;
        if (commit.id !== done?.id) continue;
        isNew = true;
        await reader.settle();
        if (done.missing > 0) await this.complete(commit);
        continue;
      }
      const difference = await reader.difference();
      if (difference) await this.add({ commit, difference });
      else this.skipped += 1;
    }
    if (!isNew) throw this.notOnLine(done?.id ?? '');
    await this.flush();
    const { commits, known, skipped, missing, storedBytes } = this;
    return { commits, known, skipped, missing: [...missing.values()], storedBytes };
  }

  /** Which git commit the branch's head was; undefined where it has none. */
  private async begun(): Promise<{ readonly id: string; readonly missing: number } | undefined> {
    const { project, repo, branch } = this.options;
    const snapshot = await project.snapshot();
    if (!(await snapshot.maybeRepo(repo))) {
      this.hasRepo = false;
      return undefined;
    }
    const head = (await snapshot.maybeBranch(repo, branch))?.head;
    this.head = head && (await snapshot.commitAt(head.commit));
    if (!this.head) return undefined;
    const from = importedFrom(this.head.message);
    if (from) return from;
    throw new PachError('conflict', {
      what: `${repo}@${branch}`,
      why: 'it has commits that were not imported, and an import only follows its own',
      next: `name another repo or branch: --repo ${repo}@NAME`,
    });
  }

  private notOnLine(id: string): PachError {
    const { repo, branch, git } = this.options;
    return new PachError('conflict', {
      what: `${repo}@${branch}`,
      why: `it was imported up to git commit ${id}, which is not on the line of first parents of ${git.head}`,
      next: `name another repo or branch: --repo ${repo}@NAME`,
    });
  }

  /** Looks again for what the head lacks: objects may have come meanwhile. */
  private async complete(commit: GitCommit): Promise<void> {
    const { reader, project } = this.options;
    const root = this.head && rootOf(this.head);
    const directories = new Directories(project.reader);
    const { added: all, lost } = await reader.all();
    const added = new Map<Path, Wanted>();
    for (const [path, wanted] of all) {
      if (!root || !(await directories.find(root, namesOf(path)))) added.set(path, wanted);
    }
    if (added.size + lost.length > 0)
      await this.add({ commit, difference: { removed: [], added, lost }, isRepeated: true });
  }

  private async add(step: Step): Promise<void> {
    const changes = [...this.steps, step].reduce(
      (sum, { difference: { removed, added } }) => sum + removed.length + added.size,
      0,
    );
    if (changes > changesMax || this.steps.length >= stepsMax) await this.flush();
    this.steps.push(step);
  }

  private async flush(): Promise<void> {
    while (this.steps.length > 0) {
      const done = this.options.dryRun ? await this.look() : await repeated(() => this.publish());
      this.steps = this.steps.slice(done);
    }
  }

  /** Commits the steps that wait, as many as are worth a change. Resolves to how many those are. */
  private async publish(): Promise<number> {
    const { project, repo, branch, description } = this.options;
    if (!this.hasRepo) await createRepo(project, repo, description);
    this.hasRepo = true;
    await using begun = await project.begin();
    const { upload } = begun;
    const begunMs = performance.now();
    const editing = new Editing({ ...this.options, upload, absent: this.absent });
    try {
      const made: Made[] = [];
      let root = this.head && rootOf(this.head);
      let [done, unchanged] = [0, 0];
      for (const { commit: from, difference, isRepeated } of this.steps) {
        const { tree, files, bytes } = await editing.edit(root, from, difference);
        done += 1;
        if (root ? !tree.ref.hash.equals(root.ref.hash) : tree.files > 0) {
          const missing = editing.absent.size;
          const commit = { repo, branch, id: newCommitId(), message: messageOf(from, missing), ...factsOf(from) };
          const told = { git: from.id, commit: commit.id, files, bytes, missing };
          made.push({ commit, base: root, tree, told });
          root = tree;
        } else if (!isRepeated) unchanged += 1;
        if (editing.bytes >= bytesMax || performance.now() - begunMs >= publishMs) break;
      }
      const commitAll = (change: Change): Promise<Commit | undefined> => this.commitAll(change, made);
      this.head = await project.update(`import ${repo}@${branch}`, commitAll, begun);
      this.commits.push(...made.map(({ told }) => told));
      this.skipped += unchanged;
      this.absent = editing.absent;
      this.tell(editing.missing);
      this.storedBytes += upload.storedBytes;
      return done;
    } catch (error) {
      throw await collectedOr(project, upload, error);
    }
  }

  private async commitAll(change: Change, made: readonly Made[]): Promise<Commit | undefined> {
    let { head } = this;
    for (const { commit, base, tree } of made) {
      const precondition = { kind: 'head', commit: head?.id } as const;
      const result = await commitFiles(change, { ...commit, precondition }, { kind: 'edited', base, tree });
      if (result.kind === 'conflicts') {
        const what = `${commit.repo}@${commit.branch}`;
        throw new PachError('conflict', { what, why: 'somebody else has committed to it meanwhile' });
      }
      head = result.commit;
    }
    return head;
  }

  /** What the steps that wait would bring. Resolves to how many those are. */
  private async look(): Promise<number> {
    const { objects, watch } = this.options;
    for (const { commit, difference } of this.steps) {
      const { added, lost } = difference;
      const missing: MissingFile[] = lost.map((each) => missingFolder(each, commit));
      let bytes = 0;
      const found = mapOrdered(added, entriesAhead, async ([path, wanted]): Promise<void> => {
        if (wanted.kind !== 'object') return;
        const why = await objects.lacks(wanted.object, watch.signal);
        if (why !== undefined) missing.push({ path: shownPath(path), hash: wanted.object.hash, why, git: commit.id });
        else bytes += wanted.size ?? 0;
      });
      for await (const _ of found) watch.progress(0, 1);
      const files = added.size - (missing.length - lost.length);
      this.commits.push({ git: commit.id, commit: undefined, files, bytes, missing: missing.length });
      this.tell(missing.sort(byPath));
    }
    return this.steps.length;
  }

  private tell(missing: readonly MissingFile[]): void {
    for (const each of missing) {
      const key = `${each.path}\0${each.hash}`;
      if (!this.missing.has(key)) this.missing.set(key, each);
    }
  }
}

/** Author and times of a commit here. No commit is of the future. */
function factsOf({ author, authored, committed }: GitCommit): Pick<BranchCommit, 'author' | 'started' | 'finished'> & {
  readonly started: number;
} {
  const finished = Math.min(committed, Date.now());
  return { author, started: Math.min(authored, finished), finished };
}
