/**
 * Keys in a project's map of refs and in a branch's index of commits (FORMAT.md section 6).
 */
import type { CommitId } from '../model/records/commit.ts';
import type { Hash } from '../model/refs.ts';

export function repoKey(repo: string): Buffer {
  return Buffer.from(`repo/${repo}`);
}

export function branchKey(repo: string, branch: string): Buffer {
  return Buffer.from(`branch/${repo}/${branch}`);
}

/** `id` may be the beginning of one. */
export function commitKey(repo: string, id: CommitId | string): Buffer {
  return Buffer.from(`commit/${repo}/${id}`);
}

/** A pipeline, or what it is on a branch of its own. */
export function pipelineKey(pipeline: string, branch?: string): Buffer {
  return Buffer.from(`pipeline/${pipeline}${branch === undefined ? '' : `@${branch}`}`);
}

/** What a promoted pipeline was before a promotion, by their order; without that the beginning of the keys of all of them. */
export function promotedKey(pipeline: string, order?: number): Buffer {
  return Buffer.from(`promoted/${pipeline}/${order === undefined ? '' : order.toString(16).padStart(8, '0')}`);
}

/** `id` may be the beginning of one. */
export function jobKey(id: string): Buffer {
  return Buffer.from(`job/${id}`);
}

/** All jobs by their pipelines, branches and times. */
export const jobsPrefix = Buffer.from('jobs/');

/** A job by its pipeline, branch and the time it started, in milliseconds since 1970. */
export function jobTimeKey(job: { pipeline: string; branch: string; started: number; id: string }): Buffer {
  return Buffer.from(`jobs/${job.pipeline}/${job.branch}/${job.started.toString(16).padStart(16, '0')}/${job.id}`);
}

/** Beginning of the keys of all jobs of a pipeline, or of those for one branch. */
export function jobTimePrefix(pipeline: string, branch?: string): Buffer {
  return Buffer.from(`jobs/${pipeline}/${branch === undefined ? '' : `${branch}/`}`);
}

/** All results of the project. */
export const resultsPrefix = Buffer.from('result/');

export function resultKey(key: Hash): Buffer {
  return Buffer.from(`result/${key.toString('hex')}`);
}

/** The datums that are left out of a commit, since they failed. */
export function failedKey(repo: string, commit: string): Buffer {
  return Buffer.from(`failed/${repo}/${commit}`);
}

/** What a command that checked the output of a job has printed. */
export function checkKey(pipeline: string, job: string): Buffer {
  return Buffer.from(`check/${pipeline}/${job}`);
}

/** Beginnings of these keys for a repo, or for all. */
export function besidePrefixes(repo?: string): readonly Buffer[] {
  return ['failed', 'check'].map((kind) => Buffer.from(`${kind}/${repo === undefined ? '' : `${repo}/`}`));
}

export const leasesPrefix = Buffer.from('lease/');

export function leaseKey(pipeline: string, branch: string): Buffer {
  return Buffer.from(`lease/${pipeline}/${branch}`);
}

/** A hook, by the name that it has in the store. */
export function hookKey(hook: string): Buffer {
  return Buffer.from(`hooks/${hook}`);
}

/** What a hook has told of a pipeline; without one the beginning of the keys of all. */
export function toldKey(pipeline: string, hook = ''): Buffer {
  return Buffer.from(`hook/${pipeline}/${hook}`);
}

/** Which times of the schedule of a pipeline's cron input are done, by the input's repo. */
export function ticksKey(pipeline: string, repo: string): Buffer {
  return Buffer.from(`ticks/${pipeline}/${repo}`);
}

/** Where a repo was cloned from, or is pushed to. */
export function remoteKey(repo: string): Buffer {
  return Buffer.from(`remote/${repo}`);
}

/** Beginning of the keys of all commits that were purged. */
export const purgedPrefix = Buffer.from('purged/');

/** That something of a commit was purged; without one the beginning of the keys of all of a repo. */
export function purgedKey(repo: string, commit = ''): Buffer {
  return Buffer.from(`purged/${repo}/${commit}`);
}

/** When engines last collected garbage by themselves. */
export const garbageKey = Buffer.from('upkeep/garbage');

/** How far reading all data has come. */
export const scrubKey = Buffer.from('upkeep/scrub');

/** That one commit was made of another: found by the one that was used. */
export function usedKey(from: { repo: string; commit: string }, to: { repo: string; commit: string }): Buffer {
  return Buffer.from(`used/${from.repo}/${from.commit}/${to.repo}/${to.commit}`);
}

/** Beginning of the keys of all commits that were made of one. */
export function usedPrefix({ repo, commit }: { repo: string; commit: string }): Buffer {
  return Buffer.from(`used/${repo}/${commit}/`);
}

/** The same for all commits that were made of any of a repo. */
export function usedRepoPrefix(repo: string): Buffer {
  return Buffer.from(`used/${repo}/`);
}

/** What was declared of a commit, by the time when that was finished, in milliseconds since 1970. */
export function declaredKey({ repo, finished, id }: { repo: string; finished: number; id: string }): Buffer {
  return Buffer.from(`declared/${repo}/${finished.toString(16).padStart(16, '0')}/${id}`);
}

/** Beginning of the keys of all that was declared of a repo's commits. */
export function declaredPrefix(repo: string): Buffer {
  return Buffer.from(`declared/${repo}/`);
}

/** A commit's place in a branch's index, from its finish time in milliseconds since 1970. */
export function timeKey(time: number): Buffer {
  const key = Buffer.alloc(8);
  key.writeBigUInt64BE(BigInt(Math.max(0, Math.floor(time))));
  return key;
}

/** What a key of the map of refs is for: `repo`, `branch`, and so on. */
export function kindOf(key: Buffer): string {
  return key.toString('latin1').split('/', 1)[0] as string;
}

/** The repo or pipeline of a key. */
export function nameOf(key: Buffer): string {
  const [, name = ''] = key.toString().split('/');
  return name.split('@')[0] as string;
}

/** The last part of a key. */
export function lastPart(key: Buffer): string {
  return key.toString().slice(key.lastIndexOf('/') + 1);
}
