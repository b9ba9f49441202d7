/**
 * Edges of lineage: that one thing was made of another, and by what. A thing is all of a commit, or
 * what lies at a path of it.
 */
import { isPachError } from '../../base/errors.ts';
import { canonicalJson, hashOf } from '../../model/canonical.ts';
import type { Snapshot } from '../../versions/snapshot.ts';
import { maybeJob, type Job } from '../jobs/jobs.ts';
import { readSpec } from '../pipelines.ts';

export interface Thing {
  readonly repo: string;
  readonly commit: string;
  /** Absolute; all of the commit where it is not said. */
  readonly path?: string;
}

/** Where code came from. */
export interface CodeInfo {
  /** Of places, names, bytes and executable bits. */
  readonly hash: string;
  readonly remote: string | null;
  readonly commit: string | null;
  /** True when it was changed since that commit; null where git knew nothing of it. */
  readonly dirty: boolean | null;
}

/** What a job ran, as far as it is there. */
export interface Ran {
  readonly pipeline: string;
  readonly version?: number;
  readonly job: string;
  readonly datum?: string;
  readonly image?: string;
  readonly code?: CodeInfo;
}

export interface Edge extends Partial<Ran> {
  /** What was used. */
  readonly from: Thing;
  /** What was made of it. */
  readonly to: Thing;
  /** An engine made it, or somebody says so. */
  readonly kind: 'computed' | 'declared';
}

export function thing(repo: string, commit: string, path: string | undefined): Thing {
  return path === undefined || path === '/' ? { repo, commit } : { repo, commit, path };
}

/** What jobs ran, each looked up once. */
export class RanJobs {
  private readonly snapshot: Snapshot;
  private readonly note: (text: string) => void;
  private readonly known = new Map<string, Promise<Ran | undefined>>();

  /** `note` is told what is not there any more. */
  constructor(snapshot: Snapshot, note: (text: string) => void) {
    this.snapshot = snapshot;
    this.note = note;
  }

  /** What made all of a commit: its job, or what is known where that was deleted. */
  ofCommit(repo: string, id: string, job: Job | undefined): Promise<Ran> {
    return job ? this.ofJob(job) : Promise.resolve({ pipeline: repo, job: id });
  }

  /** What made a datum that a job has: the job that ran it, or this one where that was deleted. */
  async ofDatum(job: Job, datum: { readonly id: string; readonly outcome: { readonly job: string } }): Promise<Ran> {
    const { job: ran } = datum.outcome;
    const known = ran === job.id ? undefined : await this.byId(ran);
    return { ...(known ?? (await this.ofJob(job))), job: ran, datum: datum.id };
  }

  private byId(id: string): Promise<Ran | undefined> {
    let found = this.known.get(id);
    if (!found) {
      found = maybeJob(this.snapshot, id).then((job) => job && this.ranOf(job));
      this.known.set(id, found);
    }
    return found;
  }

  private async ofJob(job: Job): Promise<Ran> {
    let found = this.known.get(job.id);
    if (!found) this.known.set(job.id, (found = this.ranOf(job)));
    return (await found) ?? { pipeline: job.pipeline, job: job.id };
  }

  private async ranOf(job: Job): Promise<Ran> {
    const { pipeline, pipelineVersion: version, id } = job;
    const ran = { pipeline, version, job: id };
    const { reader } = this.snapshot;
    try {
      const [spec, recipe] = await Promise.all([readSpec(reader, job.spec), reader.plainChunk(job.recipe)]);
      const code = spec.code.length > 0 ? codeInfo(recipe, job.codeOrigin) : undefined;
      return { ...ran, image: spec.transform.image, ...(code && { code }) };
    } catch (error) {
      if (!isPachError(error) || error.code !== 'damaged') throw error;
      this.note(`version ${version} of ${pipeline} can't be read, so its image and code are not shown: ${error.why}`);
      return ran;
    }
  }
}

/** `recipe`: the bytes of a job's. `origin`: where the code came from, as its pipeline keeps it. */
function codeInfo(recipe: Buffer, origin: string): CodeInfo {
  const { code } = JSON.parse(recipe.toString()) as { readonly code?: unknown };
  const [, remote, commit, changed] = /^(?:(.+) )?([0-9a-f]{40,64})( changed since)?$/.exec(origin) ?? [];
  return {
    hash: hashOf(canonicalJson(code ?? [])).toString('hex'),
    remote: remote ?? null,
    commit: commit ?? null,
    dirty: commit === undefined ? null : changed !== undefined,
  };
}
