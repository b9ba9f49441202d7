/**
 * Why a datum was computed: which part of its key differs from the nearest earlier result.
 */
import type { BlobReader } from '../cache/blobs.ts';
import type { DatumRow } from '../model/records/pipelines.ts';
import type { Commit, Snapshot } from '../versions/snapshot.ts';
import { datumMap, jobDatumOf, listJobs, maybeJob, rowsOf, type Job, type JobDatum } from '../pipelines/jobs/jobs.ts';
import { readSpec } from '../pipelines/pipelines.ts';
import { pfsInputs } from '../pipelines/spec/input.ts';
import { datumState, type IdText } from './datums.ts';

interface Why {
  /** The job that ran it, which may be an earlier one. */
  readonly computedBy: string;
  /** The job of the nearest earlier result; undefined where there is none. */
  readonly comparedWith: string | undefined;
  /** Parts of the key that differ: `cmd`, `env.MODE`, `code /app`, `input images:/a.png`. */
  readonly differs: readonly string[];
}

/** The part of a recipe that is not compared by the names of its fields. */
interface RecipeDocument {
  readonly version: number;
  readonly executor: string;
  readonly platform: object;
  readonly code: readonly { readonly to: string }[];
}

/** What a key is made of, to be compared. */
interface KeyParts {
  readonly recipe: unknown;
  /** By a name for people: content hashes. */
  readonly inputs: ReadonlyMap<string, string>;
}

async function whyOf(snapshot: Snapshot, job: Job, datum: JobDatum): Promise<Why> {
  const { reader } = snapshot;
  const computedBy = datum.outcome.job;
  const earlier = await earlierResult(snapshot, job, datum);
  if (!earlier) return { computedBy, comparedWith: undefined, differs: [] };
  const [now, before] = await Promise.all([partsOf(reader, job, datum), partsOf(reader, earlier.job, earlier.datum)]);
  return { computedBy, comparedWith: earlier.job.id, differs: differences(now, before) };
}

export interface WhyInfo {
  readonly id: string;
  readonly state: string;
  readonly computedBy: string;
  readonly comparedWith: string | null;
  readonly differs: readonly string[];
  /** Why the output of its job did not become a branch's head, where that did not meet an expectation. */
  readonly rejected: string | null;
  /** All of it in one line. */
  readonly why: string;
}

export const whyJson =
  '{id, state, computedBy, comparedWith, differs: [part of the key], rejected: the reason or null, why}';

export async function whyInfo(snapshot: Snapshot, job: Job, datum: JobDatum, id: IdText): Promise<WhyInfo> {
  const state = datumState(job, datum);
  const why = await whyOf(snapshot, job, datum);
  const { computedBy, comparedWith = null, differs } = why;
  const rejected = job.state === 'rejected' ? job.reason : null;
  return { id: datum.id, state, computedBy, comparedWith, differs, rejected, why: whyText(state, why, id) };
}

function whyText(state: string, { computedBy, comparedWith, differs }: Why, id: IdText): string {
  if (state === 'skipped') return `job ${id(computedBy)} already computed it with the same key`;
  if (comparedWith === undefined) return 'it is new';
  if (differs.length === 0)
    return `its key is the same as in job ${id(comparedWith)}, but earlier results were ignored`;
  return `changed since job ${id(comparedWith)}: ${differs.join(', ')}`;
}

/** What differs between the jobs that computed two commits. */
export interface CommitCause {
  /** Versions of inputs; null where there was none. */
  readonly data: readonly { readonly repo: string; readonly from: string | null; readonly to: string | null }[];
  /** Places of code. */
  readonly code: readonly string[];
  /** The image, or the machine for plain processes. */
  readonly image: readonly string[];
  /** Other parts of the recipe: `cmd`, `env.MODE`. */
  readonly spec: readonly string[];
}

export const commitCauseJson = '{data: [{repo, from, to}], code: [place], image: ["image"|"machine"], spec: [field]}';

/** Undefined where one of them was not computed, or its job is gone. */
export async function commitCause(snapshot: Snapshot, before: Commit, after: Commit): Promise<CommitCause | undefined> {
  const [old, now] = await Promise.all([maybeJob(snapshot, before.id), maybeJob(snapshot, after.id)]);
  if (!old || !now) return undefined;
  const recipes = await Promise.all([old, now].map(({ recipe }) => snapshot.reader.plainChunk(recipe)));
  const [was, is] = recipes.map((bytes) => byPlace(JSON.parse(bytes.toString()) as RecipeDocument));
  const parts = changedPaths(was, is, '');
  const isImage = (part: string): boolean => part === 'image' || part === 'machine' || part.startsWith('machine.');
  const repos = new Set([...old.inputs, ...now.inputs].map(({ repo }) => repo));
  const idIn = (job: Job, repo: string): string | null =>
    job.inputs.find((input) => input.repo === repo && !/^0+$/.test(input.commit))?.commit ?? null;
  const data = [...repos].map((repo) => ({ repo, from: idIn(old, repo), to: idIn(now, repo) }));
  return {
    data: data.filter(({ from, to }) => from !== to),
    code: parts.filter((part) => part.startsWith('code ')).map((part) => part.slice('code '.length)),
    image: [...new Set(parts.filter(isImage).map((part) => part.replace(/\..*/, '')))],
    spec: parts.filter((part) => !part.startsWith('code ') && !isImage(part)),
  };
}

/** The same datum in the newest job of its pipeline before this one that had it with another key, or with none that counted. */
async function earlierResult(
  snapshot: Snapshot,
  job: Job,
  { id }: JobDatum,
): Promise<{ job: Job; datum: JobDatum } | undefined> {
  for (const earlier of await listJobs(snapshot, job.pipeline)) {
    if (earlier.started >= job.started || !earlier.datums) continue;
    const item = await datumMap(snapshot.reader, earlier.datums).find(Buffer.from(id, 'hex'));
    if (item) return { job: earlier, datum: jobDatumOf(item) };
  }
  return undefined;
}

async function partsOf(reader: BlobReader, job: Job, datum: JobDatum): Promise<KeyParts> {
  const [recipe, spec, rows] = await Promise.all([
    reader.plainChunk(job.recipe),
    readSpec(reader, job.spec),
    rowsOf(reader, datum),
  ]);
  const leaves = pfsInputs(spec.input);
  const shown = ({ input, path }: DatumRow): string => `input ${leaves[input]?.name ?? input}:${path}`;
  return {
    recipe: byPlace(JSON.parse(recipe.toString()) as RecipeDocument),
    inputs: new Map(rows.map((row) => [shown(row), row.hash.toString('hex')])),
  };
}

/** The recipe as people know its parts: code by where the command sees it, an image as a whole. */
function byPlace({ version, code, platform, ...recipe }: RecipeDocument): object {
  const places = Object.fromEntries(code.map(({ to, ...entry }) => [`code ${to}`, JSON.stringify(entry)]));
  const world = recipe.executor === 'process' ? { machine: platform } : { image: JSON.stringify(platform) };
  // Programs of another time may put more into a key.
  return { 'the format of keys': version, ...recipe, ...world, ...places };
}

function differences(now: KeyParts, before: KeyParts): string[] {
  const found = changedPaths(before.recipe, now.recipe, '');
  for (const [name, hash] of now.inputs) if (before.inputs.get(name) !== hash) found.push(name);
  for (const name of before.inputs.keys()) if (!now.inputs.has(name)) found.push(name);
  return found;
}

/** Names of what differs between two JSON values; lists of texts as a whole. */
function changedPaths(before: unknown, now: unknown, at: string): string[] {
  if (JSON.stringify(before) === JSON.stringify(now)) return [];
  if (!isObject(before) || !isObject(now)) return [at];
  const names = new Set([...Object.keys(before), ...Object.keys(now)]);
  return [...names].flatMap((name) => changedPaths(before[name], now[name], at === '' ? name : `${at}.${name}`));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
