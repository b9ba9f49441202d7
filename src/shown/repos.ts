/**
 * Repos and branches as programs are shown them.
 */
import type { Branch, Repo, Snapshot } from '../versions/snapshot.ts';

export interface RepoInfo {
  readonly repo: string;
  readonly created: string;
  readonly description: string;
  /** Bytes at the heads of all branches together. */
  readonly bytes: number;
  readonly branches: readonly string[];
}

export const repoJson = '{repo, created, description, bytes, branches}; bytes: at the heads of all branches';

export async function repoInfo(snapshot: Snapshot, repo: Repo): Promise<RepoInfo> {
  const branches: string[] = [];
  let bytes = 0;
  for await (const branch of snapshot.branches(repo.name)) {
    branches.push(branch.name);
    if (branch.head) bytes += (await snapshot.commitAt(branch.head.commit)).bytes;
  }
  const { name, created, description } = repo;
  return { repo: name, created: new Date(created).toISOString(), description, bytes, branches };
}

/** All repos of a project, in the order of their names. */
export async function* repoInfos(snapshot: Snapshot): AsyncGenerator<RepoInfo> {
  for await (const repo of snapshot.repos()) yield await repoInfo(snapshot, repo);
}

export interface BranchInfo {
  readonly repo: string;
  readonly branch: string;
  /** Null while the branch has no commits. */
  readonly head: string | null;
  readonly provenance: Branch['provenance'];
  /** Absent for a branch without one. */
  readonly trigger?: TriggerInfo;
}

/** When a branch takes the head of another one; conditions that there are not are null. */
export interface TriggerInfo {
  readonly branch: string;
  readonly all: boolean;
  /** Bytes. */
  readonly size: number | null;
  readonly commits: number | null;
  readonly cronSpec: string | null;
  readonly rateLimitSpec: string | null;
  readonly timezone: string;
  /** The pipeline for whose input the branch was made. */
  readonly pipeline: string | null;
}

export const branchJson =
  '{repo, branch, head, provenance, trigger?: {branch, all, size, commits, cronSpec, rateLimitSpec, timezone, pipeline}}; trigger: when it takes the head of another branch, where it does';

export function branchInfo({ repo, name, head, provenance, trigger }: Branch): BranchInfo {
  return { repo, branch: name, head: head?.id ?? null, provenance, ...(trigger && { trigger: triggerInfo(trigger) }) };
}

function triggerInfo(trigger: NonNullable<Branch['trigger']>): TriggerInfo {
  const { branch, all, bytes, commits, cron, rateLimit, timezone, pipeline } = trigger;
  return {
    branch,
    all,
    size: bytes ?? null,
    commits: commits ?? null,
    cronSpec: cron ?? null,
    rateLimitSpec: rateLimit ?? null,
    timezone: timezone ?? 'UTC',
    pipeline: pipeline ?? null,
  };
}

/** The branches of a repo, in the order of their names. Throws `not-found`. */
export async function* branchInfos(snapshot: Snapshot, repo: string): AsyncGenerator<BranchInfo> {
  await snapshot.repo(repo);
  for await (const branch of snapshot.branches(repo)) yield branchInfo(branch);
}
