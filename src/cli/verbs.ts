/**
 * All verbs, in the order of `pach --help`.
 */
import type { Verb } from './verb.ts';
import { createBranchVerb, deleteBranchVerb, listBranchVerb } from './verbs/branches.ts';
import { inspectCommitVerb, listCommitVerb, logVerb } from './verbs/commits.ts';
import { diffFileVerb, globFileVerb, inspectFileVerb, listFileVerb } from './verbs/files.ts';
import { getFileVerb } from './verbs/get-file.ts';
import { mountsVerb, mountVerb, unmountVerb } from './verbs/mounts.ts';
import { deleteFileVerb, putFileVerb } from './verbs/put-file.ts';
import {
  createProjectVerb,
  createRepoVerb,
  deleteRepoVerb,
  inspectRepoVerb,
  listProjectVerb,
  listRepoVerb,
} from './verbs/repos.ts';
import { versionVerb } from './verbs/version.ts';

export const verbs: readonly Verb[] = [
  createRepoVerb,
  createBranchVerb,
  createProjectVerb,
  listRepoVerb,
  listBranchVerb,
  listCommitVerb,
  listFileVerb,
  listProjectVerb,
  inspectRepoVerb,
  inspectCommitVerb,
  inspectFileVerb,
  deleteRepoVerb,
  deleteBranchVerb,
  deleteFileVerb,
  putFileVerb,
  getFileVerb,
  globFileVerb,
  diffFileVerb,
  logVerb,
  mountVerb,
  unmountVerb,
  mountsVerb,
  versionVerb,
];
