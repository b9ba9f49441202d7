/**
 * Commits as programs are shown them.
 */
import type { DeclaredRecord } from '../model/records/declared.ts';
import { allProvenance, maybeDeclared } from '../versions/provenance.ts';
import type { Commit, Snapshot } from '../versions/snapshot.ts';

export interface CommitInfo {
  readonly repo: string;
  readonly branch: string;
  readonly commit: string;
  readonly parent: string | null;
  readonly started: string;
  readonly finished: string;
  readonly message: string;
  readonly author: string;
  readonly bytes: number;
  readonly files: number;
  readonly provenance: Commit['provenance'];
  /** There where datums that failed are left out of it. */
  readonly incomplete?: true;
}

export const commitJson =
  '{repo, branch, commit, parent, started, finished, message, author, bytes, files, provenance, incomplete?}; incomplete: true where datums that failed are left out of it';

/** With all that it is known to have been made of, computed or declared. */
export async function commitInfo(snapshot: Snapshot, commit: Commit): Promise<CommitInfo> {
  const { repo, branch, id, parent, started, finished, message, author, bytes, files } = commit;
  return {
    repo,
    branch,
    commit: id,
    parent: parent ?? null,
    started: new Date(started).toISOString(),
    finished: new Date(finished).toISOString(),
    message,
    author,
    bytes,
    files,
    provenance: await allProvenance(snapshot, commit),
    ...(commit.incomplete && { incomplete: true }),
  };
}

export async function* commitInfos(snapshot: Snapshot, commits: AsyncIterable<Commit>): AsyncGenerator<CommitInfo> {
  for await (const commit of commits) yield await commitInfo(snapshot, commit);
}

export interface CommitDetails extends CommitInfo {
  /** What somebody has declared of it; null where nobody has. */
  readonly declared: {
    readonly madeOf: readonly {
      readonly path: string;
      readonly from: { readonly repo: string; readonly branch: string; readonly commit: string; readonly path: string };
    }[];
    readonly spec: string | null;
    readonly who: string;
    readonly time: string;
  } | null;
}

export const commitDetailsJson =
  '{…the fields of list commit, declared: {madeOf: [{path, from: {repo, branch, commit, path}}], spec, who, time} or null}';

export async function commitDetails(snapshot: Snapshot, commit: Commit): Promise<CommitDetails> {
  const [info, declared] = await Promise.all([commitInfo(snapshot, commit), maybeDeclared(snapshot, commit)]);
  return { ...info, declared: declared ? declaredInfo(declared) : null };
}

function declaredInfo({ declarations, spec, who, time }: DeclaredRecord): CommitDetails['declared'] {
  const madeOf = declarations.map(({ path, from, fromPath }) => ({ path, from: { ...from, path: fromPath } }));
  return { madeOf, spec: spec || null, who, time: new Date(time).toISOString() };
}
