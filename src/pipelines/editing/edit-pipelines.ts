/**
 * Making, changing and deleting pipelines, each in one operation.
 */
import { randomBytes } from 'node:crypto';
import { PachError } from '../../base/errors.ts';
import { decodeLease } from '../../model/records/pipelines.ts';
import type { BlobReader } from '../../cache/blobs.ts';
import { chunkBytesMax, type Ref } from '../../model/refs.ts';
import type { Change } from '../../versions/change.ts';
import type { IngestOptions } from '../../versions/writing/ingest.ts';
import type { Begun, Project } from '../../versions/project.ts';
import { byEngine } from '../../versions/publish.ts';
import { branchKey, jobKey, jobTimePrefix, lastPart, leaseKey, pipelineKey, toldKey } from '../../versions/ref-keys.ts';
import { deleteResults, dropCommits } from '../../versions/refs.ts';
import { enterMade, maybeJob, setJob } from '../jobs/jobs.ts';
import { isHeld } from '../jobs/lease.ts';
import { hashOf } from '../../model/canonical.ts';
import type { FolderMemory } from '../../local/folder-memory.ts';
import { originOf, storeCode } from '../code.ts';
import {
  findPipeline,
  hasPipeline,
  listPipelines,
  maybePipeline,
  missing,
  setPipeline,
  specBytes,
  type Pipeline,
} from '../pipelines.ts';
import { mustBeFree, mustMeetNone } from '../experiment.ts';
import { readersOf } from '../readers.ts';
import type { PipelineSpec } from '../spec/spec.ts';
import { ticksSince, resumedTicks } from '../ticks.ts';
import { checkGraph, enterPipeline } from './enter.ts';
import { dropTicks } from './ticks-repos.ts';
import { setInputTriggers } from './input-triggers.ts';
import { placeFor, runsElsewhere, type Promotion } from './places.ts';
import { forgetPromoted, keepPromoted } from './promoted.ts';
import { codeBytes, newestVersion } from './versions.ts';

export interface SetOptions {
  /** Only what the pipelines are on a branch of their own changes. */
  readonly branch?: string | undefined;
  /** Pipelines that are there already are changed; otherwise they are a conflict. */
  readonly update: boolean;
  /** Results so far are not taken any more. */
  readonly reprocess: boolean;
  /** Moves them to a place, whose engine alone runs them from then on. */
  readonly promotion?: Promotion | undefined;
  /** No person asked for it: it follows files as they are saved. */
  readonly isEngines?: true;
  readonly signal: AbortSignal;
  /** Told of what of the code is left out. */
  readonly skipped: IngestOptions['skipped'];
  /** What is remembered of the code's files, which are not read again. */
  readonly seen?: FolderMemory | undefined;
  /** Git is not asked where code comes from: `recordOrigin` comes later. */
  readonly withoutOrigin?: boolean;
}

interface Prepared {
  readonly spec: PipelineSpec;
  readonly specRef: Ref;
  readonly code: Ref | undefined;
  readonly codeOrigin: string;
}

/** Makes or changes pipelines, all or none. Resolves to them as they are now. */
export async function setPipelines(
  project: Project,
  specs: readonly PipelineSpec[],
  options: SetOptions,
): Promise<Pipeline[]> {
  await using begun = await project.begin();
  const prepared: Prepared[] = [];
  for (const spec of specs) {
    const bytes = checkedBytes(spec);
    const [specRef] = await begun.upload.data.add([{ hash: hashOf(bytes), bytes }]);
    // git may take longer than all else.
    const [code, codeOrigin] = await Promise.all([
      storedCode(project, begun, spec, options),
      options.withoutOrigin ? '' : originOf(spec.code),
    ]);
    if (specRef) prepared.push({ spec, specRef, code, codeOrigin });
  }
  const names = specs.map(({ name }) => name).join(', ');
  return await project.update(
    { what: deedOf(options, names), isEngines: options.isEngines },
    async (change) => {
      await checkGraph(change, specs, options.branch);
      const pipelines: Pipeline[] = [];
      for (const each of prepared) pipelines.push(await setOne(change, each, options));
      return pipelines;
    },
    begun,
  );
}

function deedOf({ branch, update, promotion }: SetOptions, names: string): string {
  if (promotion) {
    return `promote pipeline ${names} to ${promotion.place}${branch === undefined ? '' : ` on branch ${branch}`}`;
  }
  return `${update ? 'update' : 'create'} pipeline ${names}`;
}

async function storedCode(
  project: Project,
  { snapshot, upload }: Begun,
  { name, code }: PipelineSpec,
  { branch, seen: memory, signal, skipped }: SetOptions,
): Promise<Ref | undefined> {
  const known = memory && { memory, version: await maybePipeline(snapshot, name, branch) };
  return storeCode(project, upload, code, { signal, skipped, ...(known && { known }) });
}

/** A spec as it is stored. Throws `usage` for what does not fit a chunk. */
function checkedBytes(spec: PipelineSpec): Buffer {
  const bytes = specBytes(spec);
  if (bytes.length <= chunkBytesMax) return bytes;
  throw new PachError('usage', {
    what: `pipeline ${spec.name}`,
    why: 'its spec is too large to store',
    next: 'move data into a repo, and code into dev.code',
  });
}

/** Makes all pipelines but these on a branch what they are in production, as far as they are there. */
export async function dropVersions(project: Project, branch: string, but: readonly string[]): Promise<void> {
  await project.update(byEngine(`drop versions on branch ${branch}`), async (change) => {
    for (const { name } of await listPipelines(change.snapshot)) {
      const own = but.includes(name) ? undefined : await maybePipeline(change.snapshot, name, branch);
      if (own && (await maybePipeline(change.snapshot, name))) change.delete(pipelineKey(name, branch));
    }
  });
}

/** Stops a pipeline, or lets it run again. */
export async function stopPipeline(project: Project, name: string, stopped: boolean): Promise<Pipeline> {
  return project.update(`${stopped ? 'stop' : 'start'} pipeline ${name}`, async (change) => {
    const before = await findPipeline(change.snapshot, name);
    const starts = before.stopped && !stopped;
    const pipeline = { ...before, stopped, ...(starts && { ticksSince: resumedTicks(before, Date.now()) }) };
    setPipeline(change, pipeline);
    return pipeline;
  });
}

export interface DeleteOptions {
  /** Also while others read its output. */
  readonly force: boolean;
  /** Its output repo stays, as a repo like any other. */
  readonly keepRepo: boolean;
}

/** Deletes a pipeline with its jobs and results, and its output unless that is to stay. */
export async function deletePipeline(project: Project, name: string, options: DeleteOptions): Promise<void> {
  await project.update(`delete pipeline ${name}`, async (change) => {
    const { snapshot } = change;
    if (!(await hasPipeline(snapshot, name))) throw await missing(snapshot, name);
    for await (const { key } of snapshot.items(pipelineKey(name, ''))) change.delete(key);
    const readers = await readersOf(snapshot, { repo: name });
    if (readers.length > 0 && !options.keepRepo && !options.force) {
      throw new PachError('conflict', {
        what: `pipeline ${name}`,
        why: `${readers.join(', ')} ${readers.length === 1 ? 'reads' : 'read'} its output`,
        next: `pach delete pipeline ${name} --force`,
        or: `pach delete pipeline ${name} --keep-repo`,
      });
    }
    for await (const { key, value } of snapshot.items(leaseKey(name, ''))) {
      const lease = decodeLease(value);
      if (isHeld(lease)) {
        const why = `${lease.holder} is running it`;
        throw new PachError('conflict', { what: `pipeline ${name}`, why, next: `pach stop job ${name}` });
      }
      change.delete(key);
    }
    await setInputTriggers(change, (await maybePipeline(snapshot, name))?.spec, undefined);
    change.delete(pipelineKey(name));
    await forgetPromoted(change, name);
    for await (const { key } of snapshot.items(toldKey(name))) change.delete(key);
    for await (const { key } of snapshot.items(jobTimePrefix(name))) {
      const job = options.keepRepo ? await maybeJob(snapshot, lastPart(key)) : undefined;
      // A commit that stays is explained by its job, which has its spec and code.
      if (job && (await snapshot.maybeCommit(name, job.id))) {
        setJob(change, { ...job, datums: undefined });
        // An older program may have run it, and no job comes after it that would enter its commit.
        enterMade(change, job);
      } else {
        change.delete(key);
        change.delete(jobKey(lastPart(key)));
      }
    }
    await deleteResults(change, name);
    for await (const branch of snapshot.branches(name)) {
      if (options.keepRepo) change.setBranch({ ...branch, provenance: [] });
      else change.delete(branchKey(name, branch.name));
    }
    await dropTicks(change, name, { keepRepos: options.keepRepo });
    if (!options.keepRepo) await dropCommits(change, name);
  });
}

/** Lets the next run of a pipeline ignore its results so far; it stays the version that it is. */
export async function forgetResults(project: Project, name: string, branch: string | undefined): Promise<void> {
  await project.update(`reprocess pipeline ${name}`, async (change) => {
    const own = branch === undefined ? undefined : await maybePipeline(change.snapshot, name, branch);
    const pipeline = own ?? (await findPipeline(change.snapshot, name));
    setPipeline(change, { ...pipeline, salt: newSalt() }, own && branch);
  });
}

function newSalt(): string {
  return randomBytes(8).toString('hex');
}

async function setOne(change: Change, prepared: Prepared, options: SetOptions): Promise<Pipeline> {
  const { spec, specRef, code, codeOrigin } = prepared;
  const { name } = spec;
  const { branch: own } = options;
  const before = await maybePipeline(change.snapshot, name, own);
  const isKnown = await hasPipeline(change.snapshot, name);
  const repo = await change.snapshot.maybeRepo(name);
  const exists = new PachError('conflict', {
    what: `pipeline ${name}`,
    why: before ? 'it already exists' : 'a repo with this name already exists',
    next: before ? 'pach update pipeline -f SPEC' : 'choose another name for the pipeline',
  });
  if (before && !options.update) throw exists;
  if (!isKnown && repo) throw exists;
  const isUnchanged =
    before !== undefined && !options.reprocess && (await isSame(change.snapshot.reader, before, prepared));
  const place = placeFor(before, options.promotion, name);
  if (own === undefined) await mustMeetNone(change.snapshot, spec);
  else if (place) await mustBeFree(change.snapshot, spec, own);
  if (isUnchanged && place?.isSame !== false) return before;
  if (before?.place !== undefined && !options.promotion) throw runsElsewhere(before, 'update', own);
  const now = Date.now();
  const pipeline: Pipeline = {
    name,
    spec,
    specRef,
    code,
    codeOrigin,
    version: isUnchanged && !place?.runsAnew ? before.version : (await newestVersion(change.snapshot, name)) + 1,
    created: before?.created ?? now,
    updated: now,
    stopped: before?.stopped ?? false,
    salt: options.reprocess ? newSalt() : ((before ?? (await maybePipeline(change.snapshot, name)))?.salt ?? ''),
    ticksSince: ticksSince(spec, before, now),
    place: place?.name,
    pinned: place?.pinned,
  };
  // An experiment is taken away, not taken back.
  if (place && own === undefined) await keepPromoted(change, before, place, isUnchanged);
  await enterPipeline(change, pipeline, { before, branch: own });
  return pipeline;
}

/** True when a version would do what the one before does: times of code files are no change. */
async function isSame(reader: BlobReader, before: Pipeline, { spec, specRef, code }: Prepared): Promise<boolean> {
  if (!before.specRef.hash.equals(specRef.hash)) return false;
  const [old, now] = await Promise.all([codeBytes(reader, before), codeBytes(reader, { spec, code })]);
  return old.equals(now);
}
