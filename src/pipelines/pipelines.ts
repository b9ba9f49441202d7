/**
 * The pipelines of a project: each a spec and its code, a version of them, and an output repo of
 * the pipeline's name (FORMAT.md section 6).
 */
import { PachError } from '../base/errors.ts';
import type { BlobReader } from '../cache/blobs.ts';
import { checkBranchName } from '../model/address.ts';
import type { MapItem } from '../model/map.ts';
import { decodePipeline, encodePipeline, type PipelineRecord } from '../model/records/pipeline.ts';
import type { Ref } from '../model/refs.ts';
import type { TreeEntry } from '../model/tree.ts';
import type { Change } from '../versions/change.ts';
import { Directories } from '../versions/directories.ts';
import { lastPart, pipelineKey } from '../versions/ref-keys.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import type { PipelineSpec } from './spec/spec.ts';

export interface Pipeline extends PipelineRecord {
  readonly name: string;
  readonly spec: PipelineSpec;
  readonly specRef: Ref;
  /** The tree with an entry for each place of its code; undefined where it has none. */
  readonly code: Ref | undefined;
}

/** `branch`: what it is on a branch of its own, when it is something there. */
export async function maybePipeline(snapshot: Snapshot, name: string, branch?: string): Promise<Pipeline | undefined> {
  const item = await entryOf(snapshot, name, branch);
  return item && pipelineOf(snapshot.reader, name, item);
}

/** As `maybePipeline`. Throws `not-found`. */
export async function findPipeline(snapshot: Snapshot, name: string, branch?: string): Promise<Pipeline> {
  const pipeline = await maybePipeline(snapshot, name, branch);
  if (pipeline) return pipeline;
  throw await missing(snapshot, name, { branch });
}

/** The branches on which a pipeline is something of its own, in order. */
async function branchesOf(snapshot: Snapshot, name: string): Promise<string[]> {
  const branches: string[] = [];
  for await (const { key } of snapshot.items(pipelineKey(name, ''))) {
    const [, branch] = lastPart(key).split('@');
    if (branch !== undefined) branches.push(branch);
  }
  return branches;
}

/** True where there is a pipeline of that name, be it on a branch only. */
export async function hasPipeline(snapshot: Snapshot, name: string): Promise<boolean> {
  if (await entryOf(snapshot, name)) return true;
  return (await branchesOf(snapshot, name)).length > 0;
}

/** In the order of their names; those that are something else on `branch` as they are there. */
export async function listPipelines(snapshot: Snapshot, branch?: string): Promise<Pipeline[]> {
  const pipelines = new Map<string, Pipeline>();
  for await (const item of snapshot.items(pipelineKey(''))) {
    const [name = '', own] = lastPart(item.key).split('@');
    if (own === undefined ? !pipelines.has(name) : own === branch) {
      pipelines.set(name, await pipelineOf(snapshot.reader, name, item));
    }
  }
  return [...pipelines.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Those that are something of their own on a branch, as they are there, in the order of their names. */
export async function pipelinesOn(snapshot: Snapshot, branch: string): Promise<Pipeline[]> {
  const pipelines: Pipeline[] = [];
  for await (const item of snapshot.items(pipelineKey(''))) {
    const [name = '', own] = lastPart(item.key).split('@');
    if (own === branch) pipelines.push(await pipelineOf(snapshot.reader, name, item));
  }
  return pipelines;
}

/** All there are, and what they are on branches of their own. */
export async function* everyPipeline(
  snapshot: Pick<Snapshot, 'items' | 'reader'>,
): AsyncGenerator<{ readonly pipeline: Pipeline; readonly branch: string | undefined }> {
  for await (const item of snapshot.items(pipelineKey(''))) {
    const [name = '', branch] = lastPart(item.key).split('@');
    yield { pipeline: await pipelineOf(snapshot.reader, name, item), branch };
  }
}

/** `not-found` of a pipeline: it is nowhere, or somewhere else, where `verb` finds it. */
export async function missing(
  snapshot: Snapshot,
  name: string,
  { branch, verb = 'inspect' }: { readonly branch?: string | undefined; readonly verb?: 'inspect' | 'run' } = {},
): Promise<PachError> {
  const what = `pipeline ${name}`;
  const [first, ...more] = await branchesOf(snapshot, name);
  if (branch !== undefined && (await entryOf(snapshot, name))) {
    const why = `it has no version of its own on branch ${branch}`;
    return new PachError('not-found', { what, why, next: `pach ${verb} pipeline ${name}` });
  }
  if (first === undefined) {
    const why = `there is no such pipeline in project ${snapshot.head.project}`;
    return new PachError('not-found', { what, why, next: 'pach list pipeline' });
  }
  const why = `it is only on ${more.length > 0 ? 'branches' : 'branch'} ${[first, ...more].join(', ')}`;
  const next = `pach ${verb} pipeline ${name} --branch ${first}`;
  return new PachError('not-found', { what, why, next, or: 'pach create pipeline -f SPEC' });
}

/** Throws `usage` where `branch` is no name. */
export function setPipeline(change: Change, pipeline: Pipeline, branch?: string): void {
  if (branch !== undefined) checkBranchName(branch);
  change.set(pipelineItem(pipelineKey(pipeline.name, branch), pipeline));
}

/** A pipeline as an entry of the refs. */
export function pipelineItem(key: Buffer, pipeline: Pipeline): MapItem {
  const refs = [pipeline.specRef, ...(pipeline.code ? [pipeline.code] : [])];
  return { key, value: encodePipeline(pipeline), refs };
}

/** What lies at each place of a pipeline's code, in the order of the spec. */
export async function codeEntries(reader: BlobReader, { code }: Pick<Pipeline, 'code'>): Promise<TreeEntry[]> {
  if (!code) return [];
  const entries: TreeEntry[] = [];
  for await (const entry of new Directories(reader).readerAt(code).items()) entries.push(entry);
  return entries.sort((a, b) => Number(a.name.toString()) - Number(b.name.toString()));
}

/** Fields that have other names where they are stored: stores of all programs have those. */
const storedNames: Readonly<Record<string, string>> = { resourceLimits: 'limits', devLimits: 'bounds' };
const namesOfStored = new Map(Object.entries(storedNames).map(([name, stored]) => [stored, name]));

/** Fields that specs of older programs do not have. */
const addedLater: Partial<PipelineSpec> = {
  hide: [],
  timezone: 'UTC',
  missedTicks: 'one',
  deadlineMs: undefined,
  keptJobs: undefined,
  keptTicks: undefined,
  expect: undefined,
  onDatumFailure: undefined,
  retry: undefined,
  trust: undefined,
  verify: undefined,
};

/** A spec as it is stored: one chunk. */
export function specBytes(spec: PipelineSpec): Buffer {
  const fields = Object.entries(spec).map(([name, value]) => [storedNames[name] ?? name, value as unknown]);
  return Buffer.from(JSON.stringify(Object.fromEntries(fields)));
}

/** The spec that a chunk holds, as it was understood when it was stored. */
export async function readSpec(reader: BlobReader, ref: Ref): Promise<PipelineSpec> {
  return specOfBytes(await reader.plainChunk(ref));
}

/** The spec that `specBytes` gave, of this or of an older program. */
export function specOfBytes(bytes: Buffer): PipelineSpec {
  const stored = JSON.parse(bytes.toString()) as Record<string, unknown>;
  const fields = Object.entries(stored).map(([name, value]) => [namesOfStored.get(name) ?? name, value]);
  return { ...addedLater, ...(Object.fromEntries(fields) as PipelineSpec) };
}

/** `edges@exp` names no pipeline, though the key of one on a branch ends so. */
async function entryOf(snapshot: Snapshot, name: string, branch?: string): Promise<MapItem | undefined> {
  return name.includes('@') ? undefined : snapshot.item(pipelineKey(name, branch));
}

/** The pipeline of this name that an entry of the refs holds. */
export async function pipelineOf(
  reader: BlobReader,
  name: string,
  { value, refs: [specRef, code] }: Pick<MapItem, 'value' | 'refs'>,
): Promise<Pipeline> {
  if (!specRef) throw new PachError('damaged', { what: `pipeline ${name}`, why: 'it has no spec' });
  return { ...decodePipeline(value), name, spec: await readSpec(reader, specRef), specRef, code };
}
