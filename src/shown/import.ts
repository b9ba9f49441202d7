/**
 * What an import has brought, as programs are shown it.
 */
import type { ImportResult } from '../imports/import.ts';
import type { LeftOut } from '../imports/reader.ts';

export const importJson =
  '{repo, branch, git: {branch, head}, commits: [{git, commit, files, bytes, missing}], known, skipped, missing: [{path, hash, why, git}], leftOut: [{path, why}], pipelines: [{stage, pipeline, file, state, notes}], notTranslated: [{name, why}], notes, files, bytes, storedBytes}; commits: those made now, oldest first, with what was read for each, and how many files of git it lacks; known: git commits that were imported before; skipped: that change no data; missing: files whose bytes could not be had, each with the first git commit that has it; then the exit code is 1; pipelines: specs made of stages of DVC, of which none that was there is overwritten (state kept); notTranslated: stages without a spec';

interface Report extends ImportResult {
  readonly gitBranch: string | undefined;
  readonly gitHead: string;
  readonly leftOut: readonly LeftOut[];
  readonly specs: Specs | undefined;
  readonly notes: readonly string[];
}

interface Specs {
  readonly pipelines: readonly object[];
  readonly untold: readonly object[];
}

export function importInfo(
  { gitBranch, gitHead, commits, specs, ...report }: Report,
  { repo, branch }: { readonly repo: string; readonly branch: string },
): object {
  return {
    repo,
    branch,
    git: { branch: gitBranch ?? null, head: gitHead },
    commits,
    ...report,
    pipelines: specs?.pipelines ?? [],
    notTranslated: specs?.untold ?? [],
    files: commits.reduce((sum, each) => sum + each.files, 0),
    bytes: commits.reduce((sum, each) => sum + each.bytes, 0),
  };
}
