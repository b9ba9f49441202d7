/**
 * A bisect that judges what a pipeline makes of each commit: it runs on a branch of the search, with
 * the other inputs as they were when the search began. Results are reused as in every job.
 */
import { PachError } from '../base/errors.ts';
import type { Tell } from '../engine/events.ts';
import { graphFor } from '../engine/run-graph.ts';
import type { CommitId } from '../model/records/commit.ts';
import { pfsInputs } from '../pipelines/spec/input.ts';
import { byEngine } from '../versions/publish.ts';
import { deleteBranch } from '../versions/refs.ts';
import type { Commit, Snapshot } from '../versions/snapshot.ts';
import type { OpenProject } from './open.ts';
import { graphInSession } from './run-pipelines.ts';
import { RunSession, type LocalSessionRequest } from './run-session.ts';
import type { Settings } from './settings.ts';

export interface BisectPipelineRequest extends Pick<LocalSessionRequest, 'executor' | 'secretsFrom'> {
  readonly pipeline: string;
}

/** What of a pipeline a search pins. */
export interface Pinned {
  readonly inputs: Readonly<Record<string, string>>;
  readonly version: number;
}

/** Workers of all pipelines that are kept for the next step. */
const idleWorkersMax = 32;

/** Versions of all that a pipeline reads from outside. Throws `usage` where it does not read `repo`. */
export async function pinnedBy(snapshot: Snapshot, pipeline: string, repo: string): Promise<Pinned> {
  const { order } = await graphFor(snapshot, [pipeline], undefined);
  const made = new Set(order.map(({ name }) => name));
  const read = order.flatMap(({ spec }) => pfsInputs(spec.input)).filter((input) => !made.has(input.repo));
  if (!read.some((input) => input.repo === repo)) {
    throw new PachError('usage', { what: `--pipeline ${pipeline}`, why: `it does not read ${repo}` });
  }
  const inputs: Record<string, string> = {};
  for (const { repo: other, branch } of read) {
    // A repo that is read on two branches can't be pinned to one version.
    const isOnce = read.every((input) => input.repo !== other || input.branch === branch);
    const head = (await snapshot.maybeBranch(other, branch))?.head;
    if (other !== repo && isOnce && head) inputs[other] = head.id;
  }
  return { inputs, version: order.at(-1)?.version ?? 0 };
}

export class BisectPipeline implements AsyncDisposable {
  private readonly session: RunSession;
  private readonly pipeline: string;
  private readonly branch: string;

  private constructor(session: RunSession, pipeline: string, branch: string) {
    this.session = session;
    this.pipeline = pipeline;
    this.branch = branch;
  }

  static async open(
    settings: Settings,
    opened: OpenProject,
    { pipeline, branch, ...request }: BisectPipelineRequest & { readonly branch: string },
  ): Promise<BisectPipeline> {
    return new BisectPipeline(
      await RunSession.open(settings, opened, { ...request, idleWorkersMax }),
      pipeline,
      branch,
    );
  }

  /** The output for an input; undefined where a job failed. Throws `conflict` where the pipeline was updated meanwhile. */
  async outputFor(
    commit: Commit,
    { inputs, version }: Pinned,
    { tell, signal }: { readonly tell: Tell; readonly signal: AbortSignal },
  ): Promise<CommitId | undefined> {
    const { project } = this.session;
    const snapshot = await project.snapshot();
    const pinned = new Map([[commit.repo, commit]]);
    for (const [repo, id] of Object.entries(inputs)) {
      const input = await snapshot.maybeCommit(repo, id as CommitId);
      if (input) pinned.set(repo, input);
    }
    const run = { names: [this.pipeline], branch: this.branch, pinned, workers: undefined, recompute: 0, jobsKept: 1 };
    for await (const { pipeline, job } of graphInSession(this.session, { ...run, tell, signal })) {
      if (pipeline.name === this.pipeline && pipeline.version !== version) {
        const why = 'it was updated since this search began';
        const next = 'run the same command with --restart';
        throw new PachError('conflict', { what: `pipeline ${pipeline.name}`, why, next });
      }
      if (job.state === 'killed') throw new PachError('failed', { what: `job ${job.id}`, why: 'it was stopped' });
      if (job.state !== 'success') return undefined;
      if (pipeline.name === this.pipeline) return job.output;
    }
    return undefined;
  }

  /** Deletes the branches of the search. What was computed stays as results, for jobs of the pipeline too. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.clear();
    } finally {
      await this.session[Symbol.asyncDispose]();
    }
  }

  private async clear(): Promise<void> {
    const { project } = this.session;
    const { order } = await graphFor(await project.snapshot(), [this.pipeline], undefined);
    for (const { name } of order) {
      if (!(await (await project.snapshot()).maybeBranch(name, this.branch))) continue;
      const deed = byEngine(`delete branch ${name}@${this.branch} of a search`);
      await deleteBranch(project, name, this.branch, { deed });
    }
  }
}
