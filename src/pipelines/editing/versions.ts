/**
 * What pipelines were: a version is its spec, its code and where that came from. The newest one is
 * the pipeline's entry; older ones are kept by the jobs that ran them.
 */
import { PachError } from '../../base/errors.ts';
import type { BlobReader } from '../../cache/blobs.ts';
import { parsePath } from '../../model/paths.ts';
import type { Ref } from '../../model/refs.ts';
import { Directories, type Directory } from '../../versions/directories.ts';
import type { Project } from '../../versions/project.ts';
import type { Snapshot } from '../../versions/snapshot.ts';
import { canonicalJson } from '../../model/canonical.ts';
import { listJobs, type Job } from '../jobs/jobs.ts';
import { codeDocument } from '../jobs/recipe.ts';
import { codeEntries, everyPipeline, hasPipeline, missing, readSpec, type Pipeline } from '../pipelines.ts';
import type { PipelineSpec } from '../spec/spec.ts';

/** A version of a pipeline that is not its newest. */
export interface OldVersion {
  readonly version: number;
  readonly spec: PipelineSpec;
  /** The newest job that ran it. */
  readonly job: Job;
}

/** What a name and number stand for; `own` is the branch on which it is a version of its own. */
export type FoundVersion =
  | { readonly pipeline: Pipeline; readonly own: string | undefined }
  | { readonly old: OldVersion };

/**
 * The highest number that a version has, also of what it is on branches of its own: a number means one
 * version. Jobs may have run a higher one, which was undone.
 */
export async function newestVersion(snapshot: Snapshot, name: string): Promise<number> {
  let newest = Math.max(0, ...(await listJobs(snapshot, name)).map(({ pipelineVersion }) => pipelineVersion));
  for await (const { pipeline } of everyPipeline(snapshot)) {
    if (pipeline.name === name) newest = Math.max(newest, pipeline.version);
  }
  return newest;
}

/** The version of a pipeline with this number, on `branch` when it is given. Throws `not-found`. */
export async function findVersion(
  snapshot: Snapshot,
  name: string,
  { version, branch }: { readonly version: number; readonly branch: string | undefined },
): Promise<FoundVersion> {
  if (!(await hasPipeline(snapshot, name))) throw await missing(snapshot, name);
  for await (const { pipeline, branch: own } of everyPipeline(snapshot)) {
    if (pipeline.name !== name || pipeline.version !== version) continue;
    if (branch === undefined || own === branch) return { pipeline, own };
  }
  const jobs = await listJobs(snapshot, name);
  const job = jobs.find((each) => each.pipelineVersion === version && (branch === undefined || each.branch === branch));
  if (job) return { old: { version, spec: await readSpec(snapshot.reader, job.spec), job } };
  const newest = Math.max(0, ...jobs.map((each) => each.pipelineVersion));
  throw new PachError('not-found', {
    what: `pipeline ${name}@${version}`,
    why: version <= newest ? 'it was not kept, because no job ran it' : 'there is no such version yet',
    next: `pach list job -p ${name} -o json`,
  });
}

/** What a job ran. */
export interface JobCode {
  readonly spec: PipelineSpec;
  /** Undefined where there was no code. */
  readonly code: Ref | undefined;
}

/** Throws `not-found` for a job whose code was not kept. */
export async function codeOfJob(snapshot: Snapshot, job: Job): Promise<JobCode> {
  const { reader } = snapshot;
  const spec = await readSpec(reader, job.spec);
  if (spec.code.length === 0) return { spec, code: undefined };
  const code = job.code ?? (await sameCode(snapshot, job));
  if (code) return { spec, code };
  throw new PachError('not-found', {
    what: `the code of job ${job.id}`,
    why: 'an older version of this program ran the job and did not keep the code of earlier versions',
    ...(job.codeOrigin !== '' && { next: `get it from where it came from: ${job.codeOrigin}` }),
  });
}

/** Jobs of older programs name no code: it is there while the pipeline still has what their recipe says. */
async function sameCode(snapshot: Snapshot, job: Job): Promise<Ref | undefined> {
  const recipe = JSON.parse((await snapshot.reader.plainChunk(job.recipe)).toString()) as { readonly code?: unknown };
  for await (const { pipeline } of everyPipeline(snapshot)) {
    if (pipeline.name !== job.pipeline || !pipeline.code) continue;
    if (canonicalJson(recipe.code ?? []).equals(await codeBytes(snapshot.reader, pipeline))) return pipeline.code;
  }
  return undefined;
}

/** Equal for code that does the same: places, names, bytes and executable bits. */
export async function codeBytes(reader: BlobReader, pipeline: Pick<Pipeline, 'spec' | 'code'>): Promise<Buffer> {
  return canonicalJson(codeDocument(pipeline.spec, await codeEntries(reader, pipeline)));
}

/** Code as commands see it: a directory with each of its places at its path. Nothing of it is published. */
export async function codeTree(project: Project, { spec, code }: JobCode): Promise<Directory> {
  await using begun = await project.begin();
  const { upload } = begun;
  const directories = new Directories(project.reader, upload.nodes);
  let root = await directories.apply(undefined, []);
  for (const [index, entry] of (await codeEntries(project.reader, { code })).entries()) {
    const names = parsePath(spec.code[index]?.to ?? '/');
    const name = names.at(-1);
    if (name) root = await directories.set(root, names, { ...entry, name }, 0);
  }
  return root;
}
