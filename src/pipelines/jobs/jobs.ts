/**
 * Jobs as they are kept in a project's refs, and the datums of each (FORMAT.md section 6).
 */
import { decodeRows } from '../../model/records/rows.ts';
import { PachError } from '../../base/errors.ts';
import type { BlobReader } from '../../cache/blobs.ts';
import { candidatesMax, severalBegin } from '../../model/ids.ts';
import { mapFormat, type MapItem } from '../../model/map.ts';
import { OrderedReader } from '../../model/ordered.ts';
import {
  decodeDatum,
  decodeJob,
  encodeJob,
  jobRefList,
  jobRefs,
  type DatumRecord,
  type JobRecord,
  type JobRefs,
} from '../../model/records/pipelines.ts';
import { decodeJobEntry, encodeJobEntry } from '../../model/records/job-entry.ts';
import type { Ref } from '../../model/refs.ts';
import { type DirectoryContent, directoryOf, entrySize, fileContentOf, type TreeEntry } from '../../model/tree.ts';
import type { Change } from '../../versions/change.ts';
import { Directories } from '../../versions/directories.ts';
import { readRange } from '../../versions/reading/read.ts';
import {
  checkKey,
  commitKey,
  failedKey,
  jobKey,
  jobsPrefix,
  jobTimeKey,
  jobTimePrefix,
  lastPart,
  usedKey,
} from '../../versions/ref-keys.ts';
import type { Snapshot } from '../../versions/snapshot.ts';
import { hasPipeline } from '../pipelines.ts';

/** Which references it has is said by them, whatever `hasDatums` and `hasCode` say. */
export type Job = JobRecord & JobRefs;

/** A datum of a job, with the tree of its result. */
export interface JobDatum extends DatumRecord {
  /** 64 hex digits. */
  readonly id: string;
  readonly result: Ref;
}

const idPattern = /^[0-9a-f]{1,32}$/;

function jobOf(item: MapItem): Job {
  const record = decodeJob(item.value);
  return Object.assign(record, jobRefs(record, item.refs));
}

/** Sets a job's entry. */
export function setJob(change: Change, job: Job): void {
  const value = encodeJob({ ...job, hasDatums: job.datums !== undefined, hasCode: job.code !== undefined });
  change.set({ key: jobKey(job.id), value, refs: jobRefList(job) });
}

/**
 * Enters a job under its time: a new one, and again one that has ended, with its index of paths. Commits
 * of jobs before it that older programs ran are entered under what was used for them.
 */
export async function enterJob(change: Change, job: Job, paths?: Ref): Promise<void> {
  const indexed = paths && job.datums?.hash;
  const key = jobTimeKey(job);
  change.set({ key, value: encodeJobEntry({ entered: true, indexed }), refs: paths ? [paths] : [] });
  for await (const old of notEntered(change.snapshot, job.pipeline, job.branch)) {
    if (old.id !== job.id) enterMade(change, old);
  }
}

/** Enters a job, without an index of paths, and the commit that it made. */
export function enterMade(change: Change, job: Job): void {
  const made = { repo: job.pipeline, commit: job.id };
  if (job.output === job.id) for (const from of usedCommits(job)) change.setUsed(from, made);
  change.set({ key: jobTimeKey(job), value: encodeJobEntry({ entered: true }), refs: [] });
}

/**
 * Jobs of a pipeline for a branch whose commits are not entered under what was used for them, newest
 * first: those that older programs ran since the last one of a program that does.
 */
export async function* notEntered(snapshot: Snapshot, pipeline: string, branch: string): AsyncGenerator<Job> {
  const prefix = jobTimePrefix(pipeline, branch);
  for await (const { key, value } of snapshot.itemsBefore(prefix, Buffer.concat([prefix, Buffer.from([0xff])]))) {
    if (decodeJobEntry(value).entered) return;
    const job = await maybeJob(snapshot, lastPart(key));
    if (job) yield job;
  }
}

/** The versions that a job read, each once, without branches that had no commits. */
export function usedCommits({ inputs }: Pick<Job, 'inputs'>): Job['inputs'] {
  const used = inputs.filter(({ commit }) => !isNone(commit));
  return used.filter(({ repo, commit }, index) => {
    return used.findIndex((other) => other.repo === repo && other.commit === commit) === index;
  });
}

/** Has jobs that make results again, and no commits: what they make goes nowhere. */
export const verificationBranch = 'verification';

/** How a job's inputs name a branch without commits. */
export const noCommit = '0'.repeat(32);

export function isNone(commit: string): boolean {
  return commit === noCommit;
}

export async function maybeJob(snapshot: Snapshot, id: string): Promise<Job | undefined> {
  const item = await snapshot.item(jobKey(id));
  return item && jobOf(item);
}

/** The job of an id, or of the unique beginning of one. Throws `not-found`. */
export async function findJob(snapshot: Snapshot, text: string): Promise<Job> {
  const found: MapItem[] = [];
  if (idPattern.test(text)) {
    for await (const item of snapshot.items(jobKey(text))) {
      found.push(item);
      if (found.length > candidatesMax) break;
    }
  }
  const [only, second] = found;
  if (only && !second) return jobOf(only);
  const ids = found.map(({ key }) => lastPart(key));
  const why = second ? severalBegin('jobs', text, ids) : 'there is no such job';
  throw new PachError('not-found', { what: `job ${text}`, why, next: 'pach list job' });
}

/** The job that a text names: as `findJob`, or the newest one of a pipeline that is no verification. */
export async function jobNamed(snapshot: Snapshot, text: string): Promise<Job> {
  if (await hasPipeline(snapshot, text)) {
    // Of verifications one is kept.
    const newest = await listJobs(snapshot, text, 2);
    const job = newest.find(({ branch }) => branch !== verificationBranch) ?? newest[0];
    if (job) return job;
  }
  return findJob(snapshot, text);
}

/** Jobs of one pipeline, or of all, newest first; `number`: only so many, for which the others are not read. */
export async function listJobs(snapshot: Snapshot, pipeline?: string, number = Infinity): Promise<Job[]> {
  const jobs: Job[] = [];
  if (number === Infinity && (await isLargeShare(snapshot, pipeline))) {
    for await (const item of snapshot.items(jobKey(''))) {
      const job = jobOf(item);
      if (pipeline === undefined || job.pipeline === pipeline) jobs.push(job);
    }
  } else {
    for (const id of await newestIds(snapshot, pipeline, number)) {
      const job = await maybeJob(snapshot, id);
      if (job) jobs.push(job);
    }
  }
  return jobs.sort((a, b) => b.started - a.started || (a.id < b.id ? -1 : 1));
}

/** True when to read all jobs is less than to look for each one of a pipeline: they lie in the order of their ids. */
async function isLargeShare(snapshot: Snapshot, pipeline: string | undefined): Promise<boolean> {
  if (pipeline === undefined) return true;
  const [own, all] = await Promise.all([snapshot.lastItem(jobTimePrefix(pipeline)), snapshot.lastItem(jobKey(''))]);
  return own.count * 16 > all.count;
}

/** Of the newest jobs, by their times; of each branch of a pipeline only so many are looked at. */
async function newestIds(snapshot: Snapshot, pipeline: string | undefined, number: number): Promise<string[]> {
  const found: { readonly id: string; readonly started: string }[] = [];
  const branches =
    pipeline === undefined ? snapshot.groups(jobsPrefix, 2) : snapshot.groups(jobTimePrefix(pipeline), 1);
  for await (const branch of branches) {
    const prefix = Buffer.from(`${branch}/`);
    let left = number;
    for await (const { key } of snapshot.itemsBefore(prefix, Buffer.concat([prefix, Buffer.from([0xff])]))) {
      if (left <= 0) break;
      left -= 1;
      const [started = '', id = ''] = key.subarray(prefix.length).toString().split('/');
      found.push({ id, started });
    }
  }
  found.sort((a, b) => (a.started === b.started ? (a.id < b.id ? -1 : 1) : a.started < b.started ? 1 : -1));
  return found.slice(0, number).map(({ id }) => id);
}

/** Jobs of a pipeline for a branch, newest first. */
export async function* jobsOn(snapshot: Snapshot, pipeline: string, branch: string): AsyncGenerator<Job> {
  const prefix = jobTimePrefix(pipeline, branch);
  for await (const { key } of snapshot.itemsBefore(prefix, Buffer.concat([prefix, Buffer.from([0xff])]))) {
    const job = await maybeJob(snapshot, lastPart(key));
    if (job) yield job;
  }
}

/** The newest job of a pipeline for a branch, and how many it had. */
export async function newestJob(
  snapshot: Snapshot,
  pipeline: string,
  branch: string,
): Promise<{ count: number; job: Job | undefined }> {
  const { count, last } = await snapshot.lastItem(jobTimePrefix(pipeline, branch));
  return { count, job: last && (await maybeJob(snapshot, lastPart(last.key))) };
}

/**
 * Deletes the oldest jobs of a pipeline for a branch, so that `kept` stay, `newest` among them. Results
 * stay, and so does the job that made the branch's head, which the next one begins with.
 */
export async function dropOldJobs(
  change: Change,
  newest: Pick<Job, 'id' | 'pipeline' | 'branch'>,
  kept: number,
): Promise<void> {
  const { pipeline, branch } = newest;
  const { snapshot } = change;
  const head = (await snapshot.maybeBranch(pipeline, branch))?.head?.id;
  const others: { readonly key: Buffer; readonly id: string }[] = [];
  for await (const { key } of snapshot.items(jobTimePrefix(pipeline, branch))) {
    const id = lastPart(key);
    if (id !== newest.id) others.push({ key, id });
  }
  for (const { key, id } of others.slice(0, Math.max(0, others.length + 1 - kept))) {
    if (id === head) continue;
    const job = await maybeJob(snapshot, id);
    change.delete(key);
    change.delete(jobKey(id));
    change.delete(checkKey(pipeline, id));
    // Of a job that failed or was rejected only its id leads to its output.
    const isAside = job?.state === 'failure' || job?.state === 'rejected';
    if (isAside && (await snapshot.maybeCommit(pipeline, job.id))) {
      change.delete(commitKey(pipeline, id));
      change.delete(failedKey(pipeline, id));
      for (const from of usedCommits(job)) change.delete(usedKey(from, { repo: pipeline, commit: id }));
    }
  }
}

export function datumMap(reader: BlobReader, datums: Ref): OrderedReader<MapItem> {
  return new OrderedReader(reader, mapFormat, datums);
}

export function jobDatumOf(item: MapItem): JobDatum {
  const [result] = item.refs;
  const id = item.key.toString('hex');
  if (!result) throw new PachError('damaged', { what: `datum ${id}`, why: 'it has no result' });
  return { ...decodeDatum(item.value), id, result };
}

/** All datums of a job, in the order of their ids. */
export async function* datumsOf(reader: BlobReader, job: Pick<Job, 'datums'>): AsyncGenerator<JobDatum> {
  if (!job.datums) return;
  for await (const item of datumMap(reader, job.datums).items()) yield jobDatumOf(item);
}

/** The datum of an id, or of the unique beginning of one. Throws `not-found`. */
export async function findDatum(reader: BlobReader, job: Job, text: string): Promise<JobDatum> {
  const found: MapItem[] = [];
  if (job.datums && /^[0-9a-f]{1,64}$/.test(text)) {
    const map = datumMap(reader, job.datums);
    const whole = Buffer.from(text.slice(0, text.length & ~1), 'hex');
    const at = whole.length > 0 ? map.items(await map.rank(whole)) : map.items();
    for await (const item of at) {
      const id = item.key.toString('hex');
      if (id.startsWith(text)) found.push(item);
      else if (id > text) break;
      if (found.length > candidatesMax) break;
    }
  }
  const [only, second] = found;
  if (only && !second) return jobDatumOf(only);
  const ids = found.map(({ key }) => key.toString('hex'));
  const why = second ? severalBegin('datums', text, ids) : `there is no such datum in job ${job.id}`;
  throw new PachError('not-found', { what: `datum ${text}`, why, next: `pach list datum ${job.id}` });
}

/** The newest failed datum of the newest of these jobs that has one. `jobs`: newest first. */
export async function newestFailure(
  reader: BlobReader,
  jobs: readonly Job[],
): Promise<{ readonly job: Job; readonly datum: JobDatum } | undefined> {
  for (const job of jobs) {
    let newest: JobDatum | undefined;
    if (job.counts.failed === 0) continue;
    for await (const datum of datumsOf(reader, job)) {
      if (datum.outcome.state !== 'failed') continue;
      if (!newest || datum.outcome.stats.startedMs > newest.outcome.stats.startedMs) newest = datum;
    }
    if (newest) return { job, datum: newest };
  }
  return undefined;
}

/** What a result's tree holds. */
export interface ResultTree {
  readonly out: DirectoryContent | undefined;
  readonly log: TreeEntry | undefined;
  readonly files: TreeEntry | undefined;
}

export async function readResult(reader: BlobReader, result: Ref): Promise<ResultTree> {
  const entries = new Directories(reader).readerAt(result);
  const [out, log, files] = await Promise.all(['out', 'log', 'files'].map((name) => entries.find(Buffer.from(name))));
  return { out: directoryOf(out), log, files };
}

/** The files of a datum, wherever they are kept. */
export async function rowsOf(reader: BlobReader, datum: JobDatum): Promise<DatumRecord['files']> {
  if (datum.files.length > 0) return datum.files;
  const { files } = await readResult(reader, datum.result);
  return files ? decodeRows(await bytesOf(reader, files)) : [];
}

/** All bytes of a file of a result. */
export async function bytesOf(reader: BlobReader, entry: TreeEntry): Promise<Buffer> {
  const parts = await readRange(reader, fileContentOf(entry), 0, entrySize(entry));
  return Buffer.concat(parts.map((part) => part.bytes ?? Buffer.alloc(part.zeros)));
}
