/**
 * What was made of which commits, found by the commit that was used.
 */
import { declaredPrefix, jobsPrefix, usedPrefix, usedRepoPrefix } from '../../versions/ref-keys.ts';
import type { Snapshot } from '../../versions/snapshot.ts';
import { notEntered, usedCommits } from '../jobs/jobs.ts';

interface Name {
  readonly repo: string;
  readonly commit: string;
}

/** Which commits were made of which, and of which repos something was declared. */
export class Uses {
  private readonly snapshot: Snapshot;
  /** Of jobs that older programs ran, which are not entered. */
  private old: Promise<ReadonlyMap<string, readonly Name[]>> | undefined;
  private readonly users = new Map<string, Promise<readonly Name[]>>();
  private readonly declaredRepos = new Map<string, Promise<boolean>>();

  constructor(snapshot: Snapshot) {
    this.snapshot = snapshot;
  }

  async any(repo: string, commit: string): Promise<boolean> {
    return (await this.of(repo, commit)).length > 0;
  }

  /** The commits that were made of one. */
  of(repo: string, commit: string): Promise<readonly Name[]> {
    const key = `${repo}@${commit}`;
    let found = this.users.get(key);
    if (!found) this.users.set(key, (found = this.read(repo, commit)));
    return found;
  }

  /** The commits of a repo that something was made of. */
  async ofRepo(repo: string): Promise<readonly string[]> {
    const ids = new Set<string>();
    for await (const { key } of this.snapshot.items(usedRepoPrefix(repo))) ids.add(key.toString().split('/')[2] ?? '');
    for (const key of (await this.older()).keys()) if (key.startsWith(`${repo}@`)) ids.add(key.split('@')[1] ?? '');
    return [...ids];
  }

  /** True where something was declared of a commit of a repo. */
  hasDeclared(repo: string): Promise<boolean> {
    let found = this.declaredRepos.get(repo);
    if (!found) this.declaredRepos.set(repo, (found = this.hasItem(declaredPrefix(repo))));
    return found;
  }

  private async hasItem(prefix: Buffer): Promise<boolean> {
    for await (const _ of this.snapshot.items(prefix)) return true;
    return false;
  }

  private async read(repo: string, commit: string): Promise<readonly Name[]> {
    const found = new Map<string, Name>();
    for await (const { key } of this.snapshot.items(usedPrefix({ repo, commit }))) {
      const [, , , user = '', id = ''] = key.toString().split('/');
      found.set(`${user}@${id}`, { repo: user, commit: id });
    }
    for (const name of (await this.older()).get(`${repo}@${commit}`) ?? [])
      found.set(`${name.repo}@${name.commit}`, name);
    return [...found.values()];
  }

  private older(): Promise<ReadonlyMap<string, readonly Name[]>> {
    return (this.old ??= this.readOlder());
  }

  /** A look at each pipeline and branch, and at the jobs of older programs only. */
  private async readOlder(): Promise<ReadonlyMap<string, readonly Name[]>> {
    const found = new Map<string, Name[]>();
    for await (const key of this.snapshot.groups(jobsPrefix, 2)) {
      const [, pipeline = '', branch = ''] = key.split('/');
      for await (const job of notEntered(this.snapshot, pipeline, branch)) {
        if (job.output !== job.id) continue;
        for (const { repo, commit } of usedCommits(job)) {
          const used = `${repo}@${commit}`;
          found.set(used, [...(found.get(used) ?? []), { repo: pipeline, commit: job.id }]);
        }
      }
    }
    return found;
  }
}
