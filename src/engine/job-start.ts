/**
 * How a job begins: with the lease of its pipeline and an entry of its own, or that of a job which
 * was broken off and goes on.
 */
import { PachError } from '../base/errors.ts';
import type { Executor } from '../execution/executor.ts';
import { canonicalJson, hashOf } from '../model/canonical.ts';
import type { CommitId } from '../model/records/commit.ts';
import { dropOldJobs, enterJob, newestJob, noCommit, setJob, type Job } from '../pipelines/jobs/jobs.ts';
import { takeLease, type Holder } from '../pipelines/jobs/lease.ts';
import type { JobInputs } from '../pipelines/jobs/plan.ts';
import { recipeOf, type Recipe } from '../pipelines/jobs/recipe.ts';
import { codeEntries, maybePipeline, missing, type Pipeline } from '../pipelines/pipelines.ts';
import type { Begun, Project } from '../versions/project.ts';
import { byEngine } from '../versions/publish.ts';

export interface StartOptions {
  readonly project: Project;
  readonly pipeline: Pipeline;
  readonly branch: string;
  readonly inputs: JobInputs;
  readonly executor: Executor;
  /** The place for which the engine runs what was promoted there. */
  readonly place?: string | undefined;
  /** Of the pipeline's jobs for this branch only so many stay; all where it is not said. */
  readonly jobsKept?: number | undefined;
  /**
   * The newest job that was seen when it was found that another one is needed, null where there was none:
   * if there is a newer one now, or that one has ended since, somebody has been here meanwhile, and nothing
   * starts.
   */
  readonly after?: Pick<Job, 'id' | 'state'> | null | undefined;
}

export interface Started {
  /** The project as it is with the job in it, and where its end goes: what it comes to rely on stays until then. Its scope is the job's. */
  readonly begun: Begun;
  readonly job: Job;
  readonly recipe: Recipe;
  /** It was broken off, and goes on: results that name it were made by it, and not by one like it in another store. */
  readonly goesOn: boolean;
}

/** Throws `conflict` when another engine runs the pipeline for the same branch, or was faster (`after`), and `not-found` when it was deleted. */
export async function startJob(options: StartOptions, holder: Holder): Promise<Started> {
  const { project, pipeline, branch, executor, place } = options;
  const recipe = await recipeFor(options);
  await using begun = await project.begin();
  const [recipeRef] = await begun.upload.data.add([recipe]);
  if (!recipeRef) throw new Error('a recipe was not stored');
  const inputs = inputCommits(options.inputs);
  const started = await project.update(
    byEngine(`start job of ${pipeline.name}`),
    async (change) => {
      const identity = { pipeline: pipeline.name, branch, spec: pipeline.specRef, recipe: recipeRef, inputs };
      await takeLease(change, identity, holder);
      const { count, job: newest } = await newestJob(change.snapshot, pipeline.name, branch);
      const isSame = newest !== undefined && identityOf(newest).equals(identityOf(identity));
      const goesOn = isSame && newest.state === 'running';
      const { after } = options;
      const isSeen = after?.id === newest?.id && after?.state === newest?.state;
      if (after !== undefined && !goesOn && !isSeen) throw overtaken(pipeline.name);
      if (newest?.state === 'running' && !goesOn) {
        setJob(change, { ...newest, state: 'killed', reason: 'its engine is gone', finished: Date.now() });
      }
      const now = await maybePipeline(change.snapshot, pipeline.name, branch);
      if (!now && !(await maybePipeline(change.snapshot, pipeline.name)))
        throw await missing(change.snapshot, pipeline.name);
      // Git may have said since where its code comes from.
      const { codeOrigin } = now?.version === pipeline.version ? now : pipeline;
      const ranBy = { executor: executor.name, engine: holder.holder, place };
      const next: Job = goesOn
        ? { ...newest, ...ranBy, stopping: false }
        : {
            ...newJob({ ...pipeline, codeOrigin }, newest),
            ...identity,
            tries: isSame && newest.state === 'failure' ? (newest.tries ?? 1) + 1 : undefined,
            id: hashOf(identityOf(identity), attemptOf(count, newest)).toString('hex', 0, 16) as CommitId,
            ...ranBy,
          };
      setJob(change, next);
      await enterJob(change, next);
      const kept = options.jobsKept ?? pipeline.spec.keptJobs;
      if (kept !== undefined) await dropOldJobs(change, next, kept);
      return { job: next, goesOn };
    },
    begun,
  );
  return { ...started, begun: await project.begin(), recipe };
}

function overtaken(pipeline: string): PachError {
  const next = `pach list job -p ${pipeline}`;
  return new PachError('conflict', { what: `pipeline ${pipeline}`, why: 'another engine has just run it', next });
}

/** What tells a job from others of the same identity. Old ones are deleted, and their count comes again. */
function attemptOf(count: number, newest: Job | undefined): Buffer {
  return Buffer.from(`attempt ${count}${newest ? ` after ${newest.id}` : ''}`);
}

/** What a job's entry begins with. `newest`: the job before it, which is older by its time too. */
export function newJob(pipeline: Pipeline, newest: Job | undefined) {
  return {
    pipeline: pipeline.name,
    pipelineVersion: pipeline.version,
    state: 'running',
    started: Math.max(Date.now(), (newest?.started ?? 0) + 1),
    reason: '',
    counts: { total: 0, processed: 0, skipped: 0, failed: 0, recovered: 0 },
    stopping: false,
    codeOrigin: pipeline.codeOrigin,
    hasDatums: false,
    restarted: false,
    hasCode: pipeline.code !== undefined,
    spec: pipeline.specRef,
    datums: undefined,
    code: pipeline.code,
  } as const;
}

/** Inputs as a job's entry names them. */
export function inputCommits(inputs: JobInputs): Job['inputs'] {
  return inputs.map(({ repo, branch, commit }) => ({ repo, branch, commit: commit?.id ?? (noCommit as CommitId) }));
}

export async function recipeFor({
  project,
  pipeline,
  executor,
}: Omit<StartOptions, 'inputs' | 'branch'>): Promise<Recipe> {
  const [code, fingerprint] = await Promise.all([
    codeEntries(project.reader, pipeline),
    executor.fingerprint(pipeline.spec.transform.image),
  ]);
  const { spec, salt } = pipeline;
  const { resultsClass } = executor;
  return recipeOf({ spec, project: project.options.name, resultsClass, fingerprint, code, salt });
}

/** All that makes a job this one and no other, but for how often it was run. */
function identityOf({
  pipeline,
  branch,
  spec,
  recipe,
  inputs,
}: Pick<Job, 'pipeline' | 'branch' | 'spec' | 'recipe' | 'inputs'>): Buffer {
  return canonicalJson({
    pipeline,
    branch,
    spec: spec.hash.toString('hex'),
    recipe: recipe.hash.toString('hex'),
    inputs,
  });
}
