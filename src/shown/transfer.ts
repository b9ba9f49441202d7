/**
 * What went from one store to another, and where repos come from, as programs are shown it.
 */
import type { RemoteBranch, Remote } from '../transfer/remotes.ts';
import type { TransferResult } from '../transfer/transfer.ts';

export interface TransferInfo extends Omit<TransferResult, 'branches'> {
  readonly url: string;
  readonly project: string;
  readonly branches: readonly {
    readonly repo: string;
    readonly branch: string;
    readonly old: string | null;
    readonly new: string | null;
    readonly commits: number;
  }[];
}

export const transferJson =
  '{url, project, branches: [{repo, branch, old, new, commits}], commits, storedBytes, ahead: [{repo, branch, commits}], missing: [{repo, branch, commit}], pipelines: [name], jobs, results, resultsWithheld}; url: the other store; project: where the commits are now; branches: those that moved, with their heads (null: none); commits: how many came that were not there; storedBytes: bytes of all objects written; ahead: branches that have more where they were to move to; missing: what the commits were made of, and is not there; pipelines, jobs, results: how many came with --results; resultsWithheld: true where results stay because of a purge there';

export function transferInfo({
  url,
  project,
  branches,
  ...result
}: TransferResult & { readonly url: string; readonly project: string }): TransferInfo {
  const moved = branches.map((each) => ({ ...each, old: each.old ?? null, new: each.new ?? null }));
  return { url, project, branches: moved, ...result };
}

export interface RemoteInfo {
  readonly repo: string;
  readonly url: string;
  readonly project: string;
  readonly store: string;
}

export const remoteJson = '{repo, url, project, store}; store: the id of the store at that address';

export function remoteInfo({ repo, url, project, storeId }: Remote): RemoteInfo {
  return { repo, url, project, store: storeId };
}

/** A repo and how it stands to its origin. */
export interface RemoteStatus extends RemoteInfo {
  readonly branches: readonly RemoteBranch[];
  readonly problem: string | null;
}

export function remoteStatus(
  remote: Remote & { readonly branches: readonly RemoteBranch[]; problem?: string | undefined },
): RemoteStatus {
  return { ...remoteInfo(remote), branches: remote.branches, problem: remote.problem ?? null };
}
