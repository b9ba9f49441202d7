/**
 * Commits that stay though an undo takes away what made them: those on which something was built since,
 * by their branches, as parents, and as what engines or people have computed from them.
 */
import { mapFormat, type MapItem } from '../../model/map.ts';
import { diffOrdered } from '../../model/ordered-diff.ts';
import type { CommitId } from '../../model/records/commit.ts';
import { decodeJob } from '../../model/records/pipelines.ts';
import type { Change } from '../change.ts';
import { branchKey, commitKey, declaredKey, jobKey, kindOf, lastPart, nameOf } from '../ref-keys.ts';
import { branchOf, type Commit } from '../snapshot.ts';
import type { Target } from './target.ts';

export class NeededCommits {
  private readonly change: Change;
  private readonly target: Target;
  /** Commits that the change takes away, by their keys. */
  private readonly leaving = new Map<string, Commit>();

  constructor(change: Change, target: Target) {
    this.change = change;
    this.target = target;
  }

  /** Takes their removal out of the change. */
  async keep(): Promise<void> {
    const { change } = this;
    const { snapshot } = change;
    for (const [text, item] of change.edits) {
      const key = Buffer.from(text, 'latin1');
      if (item || kindOf(key) !== 'commit') continue;
      const commit = await snapshot.maybeCommit(nameOf(key), lastPart(key) as CommitId);
      if (commit) this.leaving.set(text, commit);
    }
    if (this.leaving.size === 0) return;
    await this.keepOnBranches();
    // Of these somebody has said since what they were made of.
    for (const commit of this.leaving.values()) {
      if (await change.item(declaredKey(commit))) this.stays(commit.repo, commit.id);
    }
    for await (const item of this.added('commit/')) {
      const [ref] = item.refs;
      if (!ref || this.leaving.has(item.key.toString('latin1'))) continue;
      const { repo, parent, provenance } = await snapshot.commitAt(ref);
      if (parent !== undefined) this.stays(repo, parent);
      for (const from of provenance) this.stays(from.repo, from.commit);
    }
    for await (const { key } of this.added('used/')) {
      const [, repo = '', used = '', madeIn = '', made = ''] = key.toString().split('/');
      if (await change.item(commitKey(madeIn, made))) this.stays(repo, used);
    }
    for await (const { key } of this.added('jobs/')) {
      const job = await snapshot.item(jobKey(lastPart(key)));
      for (const { repo, commit } of job ? decodeJob(job.value).inputs : []) this.stays(repo, commit);
    }
  }

  private async keepOnBranches(): Promise<void> {
    const repos = new Set([...this.leaving.values()].map(({ repo }) => repo));
    for (const repo of repos) {
      for await (const item of this.change.items(branchKey(repo, ''))) {
        const { head } = branchOf(item);
        for (const commit of head ? [...this.leaving.values()] : []) {
          if (commit.repo !== repo || !head) continue;
          const found = await this.change.snapshot.asOf(head, commit.finished);
          if (found?.id === commit.id) this.stays(repo, commit.id);
        }
      }
    }
  }

  /** What was added since the operation and is still there. */
  private async *added(prefix: string): AsyncGenerator<MapItem> {
    const { head, reader } = this.change.snapshot;
    const { root } = this.target.operation;
    for await (const { new: item } of diffOrdered(reader, mapFormat, root, head.refs, Buffer.from(prefix))) {
      if (item && (await this.change.item(item.key))) yield item;
    }
  }

  /** With it stays what says what it was made of, and its parents. */
  private stays(repo: string, id: string): void {
    const text = commitKey(repo, id).toString('latin1');
    const commit = this.leaving.get(text);
    if (!commit) return;
    this.leaving.delete(text);
    this.change.edits.delete(text);
    this.change.edits.delete(declaredKey(commit).toString('latin1'));
    for (const [key, item] of this.change.edits) {
      if (!item && key.startsWith('used/') && key.endsWith(`/${repo}/${id}`)) this.change.edits.delete(key);
    }
    if (commit.parent !== undefined) this.stays(repo, commit.parent);
  }
}
