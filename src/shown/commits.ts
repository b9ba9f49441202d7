/**
 * Commits as programs are shown them.
 */
import type { Commit } from '../versions/snapshot.ts';

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
}

export const commitJson =
  '{repo, branch, commit, parent, started, finished, message, author, bytes, files, provenance}';

export function commitInfo(commit: Commit): CommitInfo {
  const { repo, branch, id, parent, started, finished, message, author, bytes, files, provenance } = commit;
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
    provenance,
  };
}

export async function* commitInfos(commits: AsyncIterable<Commit>): AsyncGenerator<CommitInfo> {
  for await (const commit of commits) yield commitInfo(commit);
}
