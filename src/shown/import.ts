/**
 * What an import has brought, as programs are shown it.
 */
import type { ImportResult } from '../imports/import.ts';
import type { LeftOut } from '../imports/reader.ts';

export const importJson =
  '{repo, branch, git: {branch, head}, commits: [{git, commit, files, bytes, missing}], known, skipped, missing: [{path, hash, why, git}], leftOut: [{path, why}], notes, files, bytes, storedBytes}; commits: those made now, oldest first, with what was read for each, and how many files of git it lacks; known: git commits that were imported before; skipped: that change no data; missing: files whose bytes could not be had, each with the first git commit that has it; then the exit code is 1';

interface Report extends ImportResult {
  readonly gitBranch: string | undefined;
  readonly gitHead: string;
  readonly leftOut: readonly LeftOut[];
  readonly notes: readonly string[];
}

export function importInfo(
  { gitBranch, gitHead, commits, ...report }: Report,
  { repo, branch }: { readonly repo: string; readonly branch: string },
): object {
  return {
    repo,
    branch,
    git: { branch: gitBranch ?? null, head: gitHead },
    commits,
    ...report,
    files: commits.reduce((sum, each) => sum + each.files, 0),
    bytes: commits.reduce((sum, each) => sum + each.bytes, 0),
  };
}
