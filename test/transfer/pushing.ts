/**
 * Pushes and pulls between projects as tests ask for them.
 */
import { expect } from 'vitest';
import { PachError } from '../../src/base/errors.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import type { Store } from '../../src/store/store.ts';
import { transfer, type TransferRequest, type TransferResult } from '../../src/transfer/transfer.ts';
import type { CommitId, CommitProvenance } from '../../src/model/records/commit.ts';
import { newCommitId } from '../../src/versions/change.ts';
import { commitFiles } from '../../src/versions/edit.ts';
import { Directories } from '../../src/versions/directories.ts';
import { createHeader } from '../../src/versions/header.ts';
import type { Project } from '../../src/versions/project.ts';
import { rootOf } from '../../src/versions/snapshot.ts';
import { checkProject } from '../../src/versions/upkeep/fsck.ts';
import { putFiles } from '../../src/versions/writing/put.ts';
import { openTestProject, silent, streamOf } from '../versions/project.ts';

/** A project without repos. */
export async function emptyProject(store: Store = new MemoryStore()): Promise<Project> {
  await createHeader(store, Date.now());
  const project = openTestProject(store);
  await project.create();
  return project;
}

export interface MoveOptions {
  readonly repos?: readonly string[];
  /** All of the repos where it is not said. */
  readonly branches?: readonly string[];
  readonly withProvenance?: boolean;
  readonly withResults?: boolean;
  /** Pipelines of which results alone go along. */
  readonly resultsOf?: readonly string[];
  readonly verb?: TransferRequest['verb'];
  readonly origin?: TransferRequest['origin'];
  readonly signal?: AbortSignal;
  readonly progress?: TransferRequest['progress'];
}

/** Moves `repo[@branch]`s, all of `data` where none is named. */
export async function move(source: Project, target: Project, options: MoveOptions = {}): Promise<TransferResult> {
  const { repos = ['data'], withProvenance = false, withResults = false, resultsOf, verb = 'push', origin } = options;
  const snapshot = await source.snapshot();
  const branches = [];
  for (const repo of repos) {
    for await (const { name } of snapshot.branches(repo)) {
      if (options.branches?.includes(name) ?? true) branches.push({ repo, branch: name });
    }
  }
  return transfer({
    verb,
    what: 'push data',
    target,
    source: { project: source, snapshot },
    wanted: { repos, branches, withProvenance, withResults, resultsOf },
    url: 'memory:other',
    origin,
    signal: options.signal ?? new AbortController().signal,
    progress: options.progress ?? (() => undefined),
  });
}

/** The error of a push that is refused, which leaves the target as it was. */
export async function refused(source: Project, target: Project, options?: MoveOptions): Promise<PachError> {
  const { token } = await target.load();
  const error: unknown = await move(source, target, options).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect((await target.load()).token).toBe(token);
  expect(error).toBeInstanceOf(PachError);
  expect((error as PachError).code).toBe('conflict');
  return error as PachError;
}

/** Commits one small file. */
export async function put(
  project: Project,
  address: string,
  path: string,
  text: string | Uint8Array = path,
): Promise<CommitId> {
  const [repo = '', branch = 'master'] = address.split('@');
  const sources = [{ kind: 'stream' as const, stream: streamOf(text) }];
  const request = { repo, branch, message: path, sources, target: path, watch: silent };
  return (await putFiles(project, request)).commit;
}

/** Commits what is computed from other commits: the files of the first of them. */
export async function compute(project: Project, address: string, from: readonly CommitProvenance[]): Promise<CommitId> {
  const [repo = '', branch = 'master'] = address.split('@');
  const id = newCommitId();
  await project.update('compute', async (change) => {
    const [first] = from;
    const input = first && (await change.snapshot.maybeCommit(first.repo, first.commit));
    const before = (await change.maybeBranch(repo, branch))?.head;
    const base = before && rootOf(await change.snapshot.commitAt(before.commit));
    const tree = input
      ? rootOf(input)
      : await new Directories(project.reader, change.upload.nodes).apply(undefined, []);
    const commit = { id, repo, branch, message: '', started: Date.now(), provenance: from };
    await commitFiles(change, commit, { kind: 'output', tree: base && !input ? base : tree });
  });
  return id;
}

/** Entries of the refs below these, as text, places left out. */
export async function refsText(project: Project, ...kinds: readonly string[]): Promise<Record<string, string>> {
  const snapshot = await project.snapshot();
  const found: Record<string, string> = {};
  for (const kind of kinds) {
    for await (const { key, value, refs } of snapshot.items(Buffer.from(kind))) {
      found[key.toString()] = [value, ...refs.map(({ hash }) => hash)].map((bytes) => bytes.toString('hex')).join(' ');
    }
  }
  return found;
}

/** A check of the whole project by somebody who has nothing in memory. */
export async function expectWhole(project: Project): Promise<void> {
  const other = openTestProject(project.options.store);
  const { findings } = await checkProject(other, { readShare: 1, random: () => 0, progress: () => undefined });
  expect(findings).toEqual([]);
}
