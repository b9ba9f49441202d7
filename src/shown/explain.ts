/**
 * One file of a version, for a person who has to justify it: what it was computed from, by what, when
 * and by whom.
 */
import { isPachError, PachError } from '../base/errors.ts';
import { formatAddress, type Address } from '../model/address.ts';
import { bytesOfText, parsePath, pathOf } from '../model/paths.ts';
import { entryHash, entrySize, type TreeEntry } from '../model/tree.ts';
import { pfsInputs } from '../pipelines/spec/input.ts';
import { maybeJob, rowsOf, type Job, type JobDatum } from '../pipelines/jobs/jobs.ts';
import { JobPaths, writtenPaths } from '../pipelines/jobs/paths.ts';
import { RanJobs, type Ran } from '../pipelines/lineage/edges.ts';
import { readSpec } from '../pipelines/pipelines.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import { Directories } from '../versions/directories.ts';
import { declaredFor } from '../versions/provenance.ts';
import { commitsBefore } from '../versions/reading/history.ts';
import { resolveCommit } from '../versions/resolve.ts';
import { rootOf, type Commit, type Snapshot } from '../versions/snapshot.ts';

export interface ExplainedInput {
  /** The folder below /pfs; null where the spec can't be read. */
  readonly name: string | null;
  readonly repo: string;
  readonly commit: string;
  readonly path: string;
  readonly hash: string;
  /** Whether it still is what was read. */
  readonly state: 'there' | 'deleted' | 'purged';
  /** Who committed that version and when; null where it was deleted. */
  readonly author: string | null;
  readonly finished: string | null;
}

export interface ExplainedRun extends Ran {
  readonly executor: string;
  readonly cmd: readonly string[] | null;
  readonly stdin: readonly string[] | null;
  readonly started: string;
  readonly seconds: number;
  readonly commandSeconds: number;
  /** Who ran the job that computed it; null where that made no commit that is still there. */
  readonly author: string | null;
  readonly inputs: readonly ExplainedInput[];
}

/** What somebody declared of a version. */
export interface ExplainedDeclaration {
  readonly commit: string;
  readonly madeOf: readonly {
    readonly path: string;
    readonly from: { readonly repo: string; readonly commit: string; readonly path: string };
  }[];
  readonly spec: string | null;
  readonly who: string;
  readonly time: string;
}

export interface Explained {
  readonly file: {
    readonly repo: string;
    readonly commit: string;
    readonly path: string;
    readonly hash: string;
    readonly bytes: number;
  };
  /** The commit that put it there. */
  readonly put: {
    readonly commit: string;
    readonly author: string;
    readonly finished: string;
    readonly message: string;
  };
  /** Null for a file that no pipeline of this project computed. */
  readonly computed: ExplainedRun | null;
  readonly declared: readonly ExplainedDeclaration[];
}

export const explainedJson =
  '{file: {repo, commit, path, hash, bytes}, put: {commit, author, finished, message}, computed: {pipeline, version, job, datum, image, code, executor, cmd, stdin, started, seconds, commandSeconds, author, inputs: [{name, repo, commit, path, hash, state, author, finished}]} or null, declared: [{commit, madeOf: [{path, from: {repo, commit, path}}], spec, who, time}]}; state: there, deleted or purged';

/** What made a file, as far as it is there. */
export interface Made {
  readonly job: Job;
  readonly datum: JobDatum;
  readonly spec: PipelineSpec | undefined;
}

export interface Found {
  readonly commit: Commit;
  readonly path: string;
  readonly entry: TreeEntry;
  readonly made: Made | undefined;
}

/** The file of an address and the datum that wrote it. Throws `not-found`, and `usage` for a folder. */
export async function findFile(snapshot: Snapshot, address: Address): Promise<Found> {
  const what = formatAddress(address);
  const commit = await resolveCommit(snapshot, address);
  const names = parsePath(address.path ?? '/');
  const entry = await new Directories(snapshot.reader).find(rootOf(commit), names);
  if (!entry) throw new PachError('not-found', { what, why: 'that version has no such file' });
  if (entry.kind === 'directory') {
    const next = `pach list file ${what}`;
    throw new PachError('usage', { what, why: 'it is not a file: name one file', next });
  }
  const path = pathOf(names);
  return { commit, path, entry, made: await madeBy(snapshot, commit, path) };
}

async function madeBy(snapshot: Snapshot, { repo, id }: Commit, path: string): Promise<Made | undefined> {
  const { reader } = snapshot;
  const job = await maybeJob(snapshot, id);
  const paths = job?.pipeline === repo && job.output === id ? await JobPaths.of(snapshot, job) : undefined;
  if (!job || !paths) return undefined;
  const bytes = bytesOfText(path);
  for await (const datum of paths.writersOf(path)) {
    for await (const written of writtenPaths(reader, datum)) {
      if (written.equals(bytes)) return { job, datum, spec: await maybeSpec(snapshot, job) };
    }
  }
  return undefined;
}

async function maybeSpec({ reader }: Snapshot, job: Job): Promise<PipelineSpec | undefined> {
  return readSpec(reader, job.spec).catch((error: unknown) => {
    if (isPachError(error, 'damaged')) return undefined;
    throw error;
  });
}

/** `note` is told what is not there any more. */
export async function explained(
  snapshot: Snapshot,
  { commit, path, entry, made }: Found,
  { note, signal }: { readonly note: (text: string) => void; readonly signal: AbortSignal },
): Promise<Explained> {
  const { repo, id } = commit;
  const address: Address = { repo, ref: id, ancestry: [], path };
  const { value: last = commit } = await commitsBefore(snapshot, address, { path, signal }).next();
  return {
    file: { repo, commit: id, path, hash: entryHash(entry).toString('hex'), bytes: entrySize(entry) },
    put: {
      commit: last.id,
      author: last.author,
      finished: new Date(last.finished).toISOString(),
      message: last.message,
    },
    computed: made ? await runOf(snapshot, made, note) : null,
    declared: await declarationsOf(snapshot, commit, path),
  };
}

async function declarationsOf(snapshot: Snapshot, commit: Commit, path: string): Promise<ExplainedDeclaration[]> {
  const found = new Map<string, ExplainedDeclaration & { madeOf: ExplainedDeclaration['madeOf'][number][] }>();
  for await (const { declaration, record, commit: of } of declaredFor(snapshot, commit, path)) {
    const { spec, who, time } = record;
    const known = found.get(of.id);
    const kept = known ?? { commit: of.id, madeOf: [], spec: spec || null, who, time: new Date(time).toISOString() };
    const { from, fromPath } = declaration;
    kept.madeOf.push({ path: declaration.path, from: { repo: from.repo, commit: from.commit, path: fromPath } });
    found.set(of.id, kept);
  }
  return [...found.values()];
}

async function runOf(snapshot: Snapshot, made: Made, note: (text: string) => void): Promise<ExplainedRun> {
  const { job, datum, spec } = made;
  const { stats, job: ran } = datum.outcome;
  const by = await snapshot.maybeCommit(job.pipeline, ran);
  const { downloadMs, processMs, uploadMs } = stats;
  return {
    ...(await new RanJobs(snapshot, note).ofDatum(job, datum)),
    executor: (await maybeJob(snapshot, ran))?.executor ?? job.executor,
    cmd: spec?.transform.cmd ?? null,
    stdin: spec?.transform.stdin ?? null,
    started: new Date(stats.startedMs).toISOString(),
    seconds: (downloadMs + processMs + uploadMs) / 1000,
    commandSeconds: processMs / 1000,
    author: by?.author ?? null,
    inputs: await inputsOf(snapshot, made),
  };
}

async function inputsOf(snapshot: Snapshot, { job, datum, spec }: Made): Promise<ExplainedInput[]> {
  const directories = new Directories(snapshot.reader);
  const leaves = spec && pfsInputs(spec.input);
  const inputs: ExplainedInput[] = [];
  for (const { input: number, path, hash } of await rowsOf(snapshot.reader, datum)) {
    const { repo = '', commit: id } = job.inputs[number] ?? {};
    const commit = id && (await snapshot.maybeCommit(repo, id));
    const entry = commit ? await directories.find(rootOf(commit), parsePath(path)) : undefined;
    const isSame = entry !== undefined && entryHash(entry).equals(hash);
    inputs.push({
      name: leaves?.[number]?.name ?? null,
      repo,
      commit: id ?? '',
      path,
      hash: hash.toString('hex'),
      state: commit ? (isSame ? 'there' : 'purged') : 'deleted',
      author: commit ? commit.author : null,
      finished: commit ? new Date(commit.finished).toISOString() : null,
    });
  }
  return inputs;
}
