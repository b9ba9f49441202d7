/**
 * Changes to the files of a branch, each one commit: put and delete. What was put concurrently
 * by others stays; by path, the later change wins.
 */
import { resolve } from 'node:path';
import { PachError } from '../../base/errors.ts';
import { shellWord } from '../../base/shell.ts';
import { StatCache } from '../../local/stat-cache.ts';
import { parsePath, pathOf, textOfName } from '../../model/paths.ts';
import type { CommitId } from '../../model/records/commit.ts';
import { commitEdit, committed, type BranchName, type Conflict, type Edit } from '../edit.ts';
import type { IngestOptions } from './ingest.ts';
import type { Project } from '../project.ts';
import type { MadeOf } from '../provenance.ts';
import { placeOf, putSource, type PutSource } from './put-source.ts';
import { CollectedError } from '../renew.ts';
import { OwnFolders } from './own-folders.ts';
import type { Commit } from '../snapshot.ts';
import { timesSettleMs, type Seen } from './unread.ts';
import { Unreadable } from './unreadable.ts';

const attemptsMax = 3;

export interface PutRequest extends BranchName {
  readonly message: string;
  readonly sources: readonly PutSource[];
  /** A path; one that ends in `/` (or is empty) is the folder to put into. */
  readonly target: string;
  /** Adds to the files that are there, instead of replacing them; not for folders and archives. */
  readonly append?: boolean;
  /** True when a source may give references. */
  readonly references?: boolean;
  /** What the files were made of, where it is declared. */
  readonly madeOf?: readonly MadeOf[];
  /** Commits what can be read; otherwise nothing where something can't. For files and folders of this machine. */
  readonly skipUnreadable?: boolean;
  readonly watch: Pick<IngestOptions, 'progress' | 'skipped' | 'signal'>;
  /** A folder of this machine's state, for what files look like, so that they are not read again. */
  readonly seenFolder?: string | undefined;
}

export interface PutResult {
  readonly commit: CommitId;
  /** True when the branch had all of it already: then its head is the commit. */
  readonly isUnchanged: boolean;
  /** Files and symlinks read. */
  readonly files: number;
  /** Bytes read. */
  readonly bytes: number;
  /** Plain bytes of the chunks that were new. */
  readonly newBytes: number;
  /** Bytes read that are in the store only once, since it had them already. */
  readonly savedBytes: number;
  /** Bytes of the objects that were written. */
  readonly storedBytes: number;
  /** Paths of this machine that were not stored, where there are any. */
  readonly leftOut?: readonly string[];
  /** Paths of this machine that could not be read, where there are any. */
  readonly unreadable?: readonly string[];
}

/**
 * Puts files into a branch as one commit. Throws `conflict` when bytes were to be added to a file
 * that others changed meanwhile.
 */
export async function putFiles(project: Project, request: PutRequest): Promise<PutResult> {
  if (request.sources.length > 1 && request.target !== '' && !request.target.endsWith('/')) {
    throw new PachError('usage', {
      what: `target ${request.target}`,
      why: 'several sources need a folder as their target',
      next: `name the folder ${request.target}/`,
    });
  }
  const repeatable = request.sources.every(({ kind }) => kind === 'path');
  return repeatable ? repeated(() => putOnce(project, request)) : putOnce(project, request);
}

async function putOnce(project: Project, request: PutRequest): Promise<PutResult> {
  let files = 0;
  let bytes = 0;
  let inlineBytes = 0;
  const progress = (moreBytes: number, moreFiles: number): void => {
    files += moreFiles;
    bytes += moreBytes;
    request.watch.progress(moreBytes, moreFiles);
  };
  const leftOut: string[] = [];
  const skipped = (path: string, why: string): void => {
    leftOut.push(path);
    request.watch.skipped(path, why);
  };
  const unreadable = new Unreadable(request.skipUnreadable ?? false, request.watch.skipped);
  const watch = { ...request.watch, progress, skipped, unreadable, own: new OwnFolders(project.options.store) };
  await using seen = new SeenFolders(project, request);
  // What was added to a file makes sense behind the bytes that it was added to, and nowhere else.
  const precondition = { kind: request.append ? 'paths' : 'none' } as const;
  const { repo, branch, message, references } = request;
  const paths = request.sources.map((source) => pathOf(placeOf(source, request.target)));
  const declares = request.madeOf && { paths, sources: request.madeOf };
  const change = { repo, branch, message, precondition, declares, references: references || undefined };
  const { result, costs } = await commitEdit(project, change, async (directories, base, writing) => {
    const inlined = (more: number): void => void (inlineBytes += more);
    const sink = { data: writing.data, nodes: writing.nodes, inlined };
    const appendTo = request.append ? project.reader : undefined;
    let root = base;
    for (const source of request.sources) {
      const finish = () => writing.finish();
      const options = { ...watch, sink, directories, finish, seen: await seen.of(source) };
      root = await putSource({ ...options, appendTo }, root, source, request.target);
    }
    watch.signal?.throwIfAborted();
    unreadable.check();
    return root;
  });
  if (result.kind === 'conflicts') throw notAppended(request, result.conflicts);
  await seen.keep();
  return {
    commit: result.commit.id,
    isUnchanged: result.isUnchanged,
    files,
    bytes,
    ...costs,
    savedBytes: Math.max(0, bytes - costs.newBytes - inlineBytes),
    ...(leftOut.length > 0 && { leftOut }),
    ...(unreadable.paths.length > 0 && { unreadable: unreadable.paths }),
  };
}

function notAppended({ repo, branch }: BranchName, [conflict]: readonly Conflict[]): PachError {
  const path = conflict?.kind === 'path' ? conflict.path.map(textOfName).join('/') : '';
  return new PachError('conflict', {
    what: `${repo}@${branch}:/${path}`,
    why: 'another writer has changed it meanwhile, and nothing was added',
    next: 'run the same command again',
  });
}

type SeenRequest = BranchName & Pick<PutRequest, 'target' | 'seenFolder'>;

/** What this machine remembers of the folders of one put. */
export class SeenFolders implements AsyncDisposable {
  private readonly project: Project;
  private readonly request: SeenRequest;
  private readonly settledMs = Date.now() - timesSettleMs;
  private readonly caches: StatCache[] = [];

  constructor(project: Project, request: SeenRequest) {
    this.project = project;
    this.request = request;
  }

  async of(source: PutSource): Promise<Seen | undefined> {
    const { repo, branch, target, seenFolder } = this.request;
    if (source.kind !== 'path' || !source.recursive || !seenFolder) return undefined;
    const parts = [this.project.options.name, repo, branch, target, resolve(source.path)];
    const cache = await StatCache.open(seenFolder, parts.join('\0'));
    this.caches.push(cache);
    return { cache, settledMs: this.settledMs };
  }

  /** Keeps what was seen now, once it is committed. */
  async keep(): Promise<void> {
    for (const cache of this.caches) await cache.commit();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const cache of this.caches) await cache[Symbol.asyncDispose]();
  }
}

export interface DeleteRequest extends BranchName {
  readonly message: string;
  readonly paths: readonly string[];
  /** Needed for directories. */
  readonly recursive: boolean;
}

/** Deletes files of a branch as one commit. */
export async function deleteFiles(project: Project, request: DeleteRequest): Promise<Commit> {
  const deletion: Edit = async (directories, base) => {
    let root = base;
    for (const path of request.paths) {
      const names = parsePath(path);
      const what = `${request.repo}@${request.branch}:${path}`;
      const entry = root && (await directories.find(root, names));
      if (!root || !entry) throw new PachError('not-found', { what, why: 'there is no such file' });
      if (entry.kind === 'directory' && !request.recursive) {
        throw new PachError('usage', {
          what,
          why: 'it is a folder',
          next: `pach delete file ${shellWord(what)} -r`,
        });
      }
      root =
        names.length > 0
          ? await directories.set(root, names, undefined, Date.now())
          : await directories.apply(undefined, []);
    }
    return root;
  };
  const { repo, branch, message } = request;
  const { result } = await repeated(() => commitEdit(project, { repo, branch, message }, deletion));
  return committed(result);
}

/** Runs again what a garbage collection came in the way of. */
export async function repeated<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof CollectedError) || attempt >= attemptsMax) throw error;
    }
  }
}
