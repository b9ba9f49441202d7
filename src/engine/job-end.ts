/**
 * How a job is written down once its datums are done, or once it is clear that they will not be.
 */
import { PachError } from '../base/errors.ts';
import type { OutsideLinks } from '../model/records/pipelines.ts';
import type { Ref } from '../model/refs.ts';
import { maybeFailed, sameDatums, setCheck, setFailed } from '../pipelines/jobs/beside.ts';
import { datumsOf, enterJob, maybeJob, setJob, usedCommits, type Job } from '../pipelines/jobs/jobs.ts';
import { PathEdits, storedPaths } from '../pipelines/jobs/paths.ts';
import type { BaseJob } from '../pipelines/jobs/plan.ts';
import { unionOf, type UnionOptions, type UnionResult } from '../results/outputs.ts';
import type { Rechecked } from '../results/recheck.ts';
import type { Directory } from '../versions/directories.ts';
import type { Publisher } from '../results/publisher.ts';
import { commitFiles, committed } from '../versions/edit.ts';
import { byEngine } from '../versions/publish.ts';
import { rootOf, type Commit } from '../versions/snapshot.ts';
import { checkOutput, unmetSizes, type Tested } from './expectations.ts';
import type { JobDatums, JobOptions, JobStart } from './job-run.ts';
import type { JobWatch } from './job-watch.ts';

export interface JobResult {
  readonly job: Job;
  /** Output before, and now; the same one when nothing changed. */
  readonly before: Commit | undefined;
  readonly after: Commit | undefined;
  /** Datums that were run again; undefined where none were to be. */
  readonly recomputed: readonly Rechecked[] | undefined;
  /** Of the datums that it looked at. */
  readonly outside: OutsideLinks | undefined;
}

export interface EndOptions {
  readonly options: JobOptions;
  readonly start: JobStart;
  readonly watch: JobWatch;
}

/** Makes the output commit and writes down how the job ended. `publisher` keeps what a check of the output gives. */
export async function finishJob(of: EndOptions, ran: JobDatums, publisher: Publisher): Promise<JobResult> {
  const { options, start, watch } = of;
  const { project, pipeline, branch } = options;
  const { base, begun } = start;
  const { map: datums, counts, failed, recomputed, outside } = ran;
  let union: Output | undefined;
  let failure = counts.failed > 0 && !failed ? `${counts.failed} of ${counts.total} datums failed` : '';
  try {
    union = await outputOf(of, ran);
  } catch (error) {
    if (!(error instanceof PachError) || error.code !== 'conflict') throw error;
    failure = error.message;
  }
  const made = union && failure === '' ? { tree: union.root, failed } : undefined;
  const tested = made && (await testOutput(of, made, publisher));
  return project.update(
    byEngine(`job of ${pipeline.name}`),
    async (change) => {
      await watch.hold(change);
      const head = (await change.snapshot.maybeBranch(pipeline.name, branch))?.head;
      const before = head && (await change.snapshot.commitAt(head.commit));
      const { root: tree, withEmptyFolders, references } = union ?? {};
      const isHead = made && before && (await isSame(of, before, made));
      const unmet = made && !isHead ? unmetBy(of, { output: made.tree, before }, tested) : [];
      const state = failure !== '' ? 'failure' : unmet.length > 0 ? 'rejected' : 'success';
      const reason = failure || unmet.join('; ');
      const finished = Date.now();
      const codeOrigin = (await maybeJob(change.snapshot, start.job.id))?.codeOrigin ?? start.job.codeOrigin;
      const ended = { ...start.job, codeOrigin, state, reason, counts, finished, datums, withEmptyFolders } as const;
      const provenance = usedCommits(start.job);
      const message = `job of ${pipeline.name}, version ${pipeline.version}`;
      const { id, started } = ended;
      const incomplete = made?.failed ? true : undefined;
      const commit = { id, repo: pipeline.name, branch, message, provenance, started, incomplete, references };
      let after = before;
      if (!tree) after = undefined;
      else if (state !== 'success') after = await change.commitAside({ ...commit, tree });
      else if (!isHead) {
        after = committed(await commitFiles(change, commit, { kind: 'output', tree }));
      }
      const baseNow = base && (await maybeJob(change.snapshot, base.job.id));
      // A datum that was restarted since this job began is for the next one.
      const restarted = (baseNow?.restarted ?? false) && !base?.job.restarted;
      const job = { ...ended, output: after?.id, restarted, incomplete };
      setJob(change, job);
      if (tested?.check) setCheck(change, job, tested.check.result);
      if (made?.failed && after?.id === job.id) setFailed(change, after, made.failed, counts.failed);
      await enterJob(change, job, union?.paths);
      // It stays the base of the next job, which has all of it now.
      if (base?.job.restarted && baseNow && after?.id === base.output.id) {
        setJob(change, { ...baseNow, restarted: false });
      }
      watch.end(change);
      return { job, before, after, recomputed, outside };
    },
    begun,
  );
}

/** What is needed of a job that comes to no end. */
interface Abandoned extends Pick<EndOptions, 'watch'> {
  readonly options: Pick<JobOptions, 'project' | 'pipeline'>;
  readonly start: Pick<JobStart, 'job'>;
}

/** Writes down that a job did not come to its end; what was published of it stays. */
export async function abandonJob(
  { options, start, watch }: Abandoned,
  { state, reason, counts }: Pick<Job, 'reason' | 'counts'> & { readonly state: 'killed' | 'failure' },
): Promise<Job> {
  const { project, pipeline } = options;
  return project.update(byEngine(`job of ${pipeline.name}`), async (change) => {
    await watch.holdLease(change);
    const now = (await maybeJob(change.snapshot, start.job.id)) ?? start.job;
    const why = now.stopping ? 'it was stopped' : reason;
    const { codeOrigin } = now;
    const job = { ...start.job, codeOrigin, state, reason: why, counts, finished: Date.now() };
    setJob(change, job);
    watch.end(change);
    return job;
  });
}

/** Ends the lease of a job that goes on elsewhere; what was published of it stays. */
export async function leaveJob({ options, watch }: EndOptions): Promise<void> {
  const { project, pipeline } = options;
  await project.update(byEngine(`leave job of ${pipeline.name}`), async (change) => {
    await watch.holdLease(change);
    watch.end(change);
  });
}

/** What a job would commit. */
interface Made {
  readonly tree: Directory;
  /** Datums that it would leave out. */
  readonly failed: Ref | undefined;
}

/** True when the branch's head is that: the same files from the same versions and spec, without the same datums. */
async function isSame(
  { start: { base, job, begun } }: EndOptions,
  head: Commit,
  { tree, failed }: Made,
): Promise<boolean> {
  if (base?.output.id !== head.id || !head.tree.hash.equals(tree.ref.hash)) return false;
  const same = job.inputs.every(({ commit }, index) => commit === base.job.inputs[index]?.commit);
  if (!same || base.job.inputs.length !== job.inputs.length || !base.job.spec.hash.equals(job.spec.hash)) return false;
  if (!failed && !head.incomplete) return true;
  const before = await maybeFailed(begun.snapshot, head);
  return before !== undefined && failed !== undefined && sameDatums(begun.snapshot.reader, before, failed);
}

/** Holds an output that is not its branch's head already against what is expected of it; undefined where nothing is. */
async function testOutput(of: EndOptions, made: Made, publisher: Publisher): Promise<Tested | undefined> {
  const { options, start } = of;
  const { spec, name } = options.pipeline;
  if (!spec.expect) return undefined;
  const snapshot = await options.project.snapshot();
  const head = (await snapshot.maybeBranch(name, options.branch))?.head;
  const before = head && (await snapshot.commitAt(head.commit));
  if (before && (await isSame(of, before, made))) return undefined;
  const { check } = spec.expect;
  if (!check || unmetSizes(spec, made.tree, before).length > 0) return {};
  // The command reads it from the store.
  await start.begun.upload.finish();
  return { check: await checkOutput(of, check, { output: made.tree, publisher }) };
}

/** What an output does not meet, which is about to become the head after `before`. Throws `conflict` where that was not tested. */
function unmetBy(
  { options: { pipeline } }: EndOptions,
  { output, before }: { readonly output: Directory; readonly before: Commit | undefined },
  tested: Tested | undefined,
): string[] {
  const { spec, name } = pipeline;
  const sizes = unmetSizes(spec, output, before);
  if (sizes.length > 0 || !spec.expect?.check) return sizes;
  if (tested?.check) return tested.check.unmet === undefined ? [] : [tested.check.unmet];
  const why = 'its output branch was changed while the job ended';
  throw new PachError('conflict', { what: `pipeline ${name}`, why, next: `pach run pipeline ${name}` });
}

/** The files of a job's output, and its index of paths. */
type Output = UnionResult & { readonly paths: Ref };

/** Makes the output and the index of a job of those of the job before it, by what differs. */
async function outputOf({ options, start: { base, begun, job } }: EndOptions, { map }: JobDatums): Promise<Output> {
  const { project, signal } = options;
  const { reader } = project;
  const before = base && beginningOf(base);
  const indexed = before && base && (await storedPaths(begun.snapshot, base.job));
  const paths = new PathEdits(reader);
  const isWhole = before === undefined || indexed !== undefined;
  const changed = isWhole ? paths.change.bind(paths) : () => Promise.resolve();
  const union = await unionOf({ reader, upload: begun.upload, before, datums: map, now: job.started, signal, changed });
  // A program that keeps no index ran the job before.
  if (!isWhole) for await (const datum of datumsOf(reader, { datums: map })) await paths.change(undefined, datum);
  return { ...union, paths: await paths.store(indexed, begun.upload) };
}

/** What a job's output begins with; nothing where that has no empty folders, though datums made them. */
function beginningOf({ job: { datums, withEmptyFolders }, output }: BaseJob): UnionOptions['before'] {
  if (!datums || withEmptyFolders === undefined) return undefined;
  return { datums, root: rootOf(output), withEmptyFolders, references: output.references ?? false };
}
