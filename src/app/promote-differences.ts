/**
 * What a promotion changes in the code of a pipeline, file by file, and what its next job has to do there.
 */
import { countChanges } from '../engine/output-changes.ts';
import type { recipeFor } from '../engine/job-start.ts';
import { inputsOf } from '../engine/run-graph.ts';
import type { BlobReader } from '../cache/blobs.ts';
import { entrySize, type TreeEntry } from '../model/tree.ts';
import { codeBytes } from '../pipelines/editing/versions.ts';
import { datumsOf, listJobs } from '../pipelines/jobs/jobs.ts';
import type { Experiment } from '../pipelines/experiment.ts';
import { planJob } from '../pipelines/jobs/plan.ts';
import { codeEntries, type Pipeline } from '../pipelines/pipelines.ts';
import { pfsInputs } from '../pipelines/spec/input.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import type { CodeFile, PipelineDifference } from '../shown/promotion.ts';
import { Directories } from '../versions/directories.ts';
import { changesOf, type FileChange } from '../versions/reading/files.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import type { OpenProject } from './open.ts';

/** More files of code than these are only counted. */
const codeFilesMax = 200;
/** Rates are told from so many datums of an older job. */
const ratesDatumsMax = 1000;
const ratesJobsMax = 10;

type Code = Pick<PipelineDifference, 'code' | 'codeFiles'>;

/** `draft` is readable meanwhile, though nothing of it is published. */
export async function codeDifference(reader: BlobReader, before: Pipeline | undefined, draft: Pipeline): Promise<Code> {
  const isSame = before
    ? (await codeBytes(reader, before)).equals(await codeBytes(reader, draft))
    : draft.code === undefined;
  if (isSame) return { code: 'same', codeFiles: null };
  const files: CodeFile[] = [];
  const counts = await countChanges(codeChanges(reader, before, draft), (change) => {
    if (files.length < codeFilesMax) files.push(codeFile(change));
  });
  return { code: before ? 'changed' : 'added', codeFiles: { ...counts, files } };
}

/** Each path is that at which commands see the file. */
async function* codeChanges(
  reader: BlobReader,
  before: Pipeline | undefined,
  draft: Pipeline,
): AsyncGenerator<FileChange> {
  const directories = new Directories(reader);
  const [old, now] = await Promise.all([
    before ? placesOf(reader, before) : new Map<string, TreeEntry>(),
    placesOf(reader, draft),
  ]);
  for (const to of [...new Set([...old.keys(), ...now.keys()])].sort()) {
    yield* changesOf(directories, to, old.get(to), now.get(to));
  }
}

async function placesOf(reader: BlobReader, pipeline: Pipeline): Promise<Map<string, TreeEntry>> {
  const entries = await codeEntries(reader, pipeline);
  return new Map(entries.map((entry, index) => [pipeline.spec.code[index]?.to ?? '/', entry]));
}

function codeFile({ path, change, old, new: now }: FileChange): CodeFile {
  return { path, change, old: old ? entrySize(old) : null, new: now ? entrySize(now) : null };
}

/** How many results a promotion makes again before it moves a pipeline. `asked`: instead of what the spec says. */
export function toVerify(
  { trust, verify = 0 }: Pick<PipelineSpec, 'trust' | 'verify'>,
  { change, datums }: Pick<PipelineDifference, 'change' | 'datums'>,
  asked: number | undefined,
): number {
  if (change === 'same') return 0;
  return Math.min(trust === 'recompute' ? Infinity : (asked ?? verify), datums?.elsewhere ?? 0);
}

/** What datums took on average. */
interface Rates {
  readonly ms: number;
  readonly bytes: number;
}

export interface NextJobOptions {
  readonly recipe: Awaited<ReturnType<typeof recipeFor>>;
  /** Where it is to run. */
  readonly place: string;
  /** What it is a part of then; undefined: production. */
  readonly experiment: Experiment | undefined;
}

/** Null where something that it reads is not there yet. */
export async function nextJob(
  { project }: Pick<OpenProject, 'project'>,
  draft: Pipeline,
  { recipe, place, experiment }: NextJobOptions,
): Promise<PipelineDifference['datums']> {
  const snapshot = await project.snapshot();
  const { spec } = draft;
  for (const { repo, cron } of pfsInputs(spec.input)) {
    if (!cron && !(await snapshot.maybeRepo(repo))) return null;
  }
  const inputs = await inputsOf(
    { branch: experiment?.branch, pinned: new Map() },
    snapshot,
    draft,
    experiment?.pipelines ?? [],
  );
  // What another one of the experiment is to make is not there yet.
  if (experiment && inputs.some(({ branch, commit }) => branch === experiment.branch && !commit)) return null;
  const everything = spec.reprocess === 'every_job';
  const plan = await planJob({ snapshot, spec, recipe, inputs, base: undefined, everything });
  const counts = { total: 0, computed: 0, elsewhere: 0, inputBytes: 0 };
  const seen = new Mean();
  for await (const step of plan.steps()) {
    if (step.kind === 'gone') continue;
    counts.total += 1;
    if (step.kind === 'known') {
      counts.computed += 1;
      if (step.result.outcome.place !== place) counts.elsewhere += 1;
      seen.add(step.result.outcome);
    } else counts.inputBytes += step.planned.datum.files.reduce((sum, { entry }) => sum + entrySize(entry), 0);
  }
  const rest = counts.total - counts.computed;
  const rates = rest === 0 ? { ms: 0, bytes: 0 } : (seen.rates ?? (await ratesBefore(snapshot, spec.name)));
  return {
    ...counts,
    seconds: rates ? (rest * rates.ms) / 1000 : null,
    bytes: rates ? Math.round(rest * rates.bytes) : null,
  };
}

class Mean {
  private count = 0;
  private ms = 0;
  private bytes = 0;

  add({
    stats,
  }: {
    readonly stats: { downloadMs: number; processMs: number; uploadMs: number; outputBytes: number };
  }): void {
    this.count += 1;
    this.ms += stats.downloadMs + stats.processMs + stats.uploadMs;
    this.bytes += stats.outputBytes;
  }

  get rates(): Rates | undefined {
    return this.count === 0 ? undefined : { ms: this.ms / this.count, bytes: this.bytes / this.count };
  }
}

/** As datums of the pipeline took with another command, code or image: the best guess where all is computed anew. */
async function ratesBefore(snapshot: Snapshot, pipeline: string): Promise<Rates | undefined> {
  for (const job of await listJobs(snapshot, pipeline, ratesJobsMax)) {
    const seen = new Mean();
    let looked = 0;
    for await (const { outcome } of datumsOf(snapshot.reader, job)) {
      if (outcome.state === 'success') seen.add(outcome);
      looked += 1;
      if (looked === ratesDatumsMax) break;
    }
    if (seen.rates) return seen.rates;
  }
  return undefined;
}
