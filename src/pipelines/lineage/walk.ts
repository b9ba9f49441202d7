/**
 * What the steps of one walk through lineage share: what they have read, and what they have given.
 */
import type { Commit, Snapshot } from '../../versions/snapshot.ts';
import { maybeJob, type Job } from '../jobs/jobs.ts';
import { JobPaths } from '../jobs/paths.ts';
import { RanJobs } from './edges.ts';
import { Uses } from './uses.ts';

export interface LineageOptions {
  /** Towards what was made of it. */
  readonly down: boolean;
  /** Steps at most. */
  readonly depth: number;
  readonly signal: AbortSignal;
  /** Told what is not there any more, and what that leaves out. */
  readonly note: (text: string) => void;
}

/** A commit and the job that made it, as far as they are there. */
export interface Known {
  readonly commit: Commit | undefined;
  /** Undefined for a commit that no job made. */
  readonly job: Job | undefined;
}

export class Walk {
  readonly snapshot: Snapshot;
  readonly options: LineageOptions;
  readonly ran: RanJobs;
  readonly uses: Uses;
  private readonly commits = new Map<string, Promise<Known>>();
  private readonly paths = new Map<string, Promise<JobPaths | undefined>>();
  private readonly notes = new Set<string>();
  private readonly given = new Set<string>();

  constructor(snapshot: Snapshot, options: LineageOptions) {
    this.snapshot = snapshot;
    this.options = options;
    this.ran = new RanJobs(snapshot, (text) => this.note(text));
    this.uses = new Uses(snapshot);
  }

  /** True the first time that it is asked of these words. */
  isNew(...words: readonly string[]): boolean {
    const key = words.join('\0');
    if (this.given.has(key)) return false;
    this.given.add(key);
    return true;
  }

  note(text: string): void {
    if (this.notes.has(text)) return;
    this.notes.add(text);
    this.options.note(text);
  }

  known(repo: string, id: string): Promise<Known> {
    const key = `${repo}@${id}`;
    let found = this.commits.get(key);
    if (!found) this.commits.set(key, (found = this.read(repo, id)));
    return found;
  }

  /** The paths of a job's datums; undefined where those were purged. */
  async pathsOf(job: Job): Promise<JobPaths | undefined> {
    let found = this.paths.get(job.id);
    if (!found) this.paths.set(job.id, (found = JobPaths.of(this.snapshot, job)));
    const paths = await found;
    if (!paths) {
      const what = `${job.pipeline}@${job.id}`;
      this.note(`what the datums of ${what} read and wrote was purged, so only commits are shown there`);
    }
    return paths;
  }

  private async read(repo: string, id: string): Promise<Known> {
    const { snapshot } = this;
    const [commit, job] = await Promise.all([snapshot.maybeCommit(repo, id as Commit['id']), maybeJob(snapshot, id)]);
    return { commit, job: job?.pipeline === repo && job.output === id ? job : undefined };
  }
}
