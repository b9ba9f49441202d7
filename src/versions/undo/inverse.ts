/**
 * The inverse of an operation on the refs as they are now: each key that it changed gets what it had
 * before. What engines have computed meanwhile stays, with the commits that it was computed from; a
 * later change of a person stands in the way.
 */
import type { Change } from '../change.ts';
import { mapFormat, type MapItem } from '../../model/map.ts';
import { OrderedReader } from '../../model/ordered.ts';
import { diffOrdered, sameItem, type Difference } from '../../model/ordered-diff.ts';
import type { CommitId } from '../../model/records/commit.ts';
import { decodeDeclared } from '../../model/records/declared.ts';
import { decodeRepo, encodeCommitEntry } from '../../model/records/refs.ts';
import { forgetProvenance, refuseCycle } from '../provenance.ts';
import { branchKey, commitKey, kindOf, lastPart, nameOf, pipelineKey, repoKey } from '../ref-keys.ts';
import { branchOf, Snapshot, type Branch } from '../snapshot.ts';
import { checkTrigger } from '../triggers.ts';
import type { LaterChanges } from './later.ts';
import { NeededCommits } from './needed-commits.ts';
import type { Target } from './target.ts';

/** What engines have written since stays as it is. */
const enginesKinds: ReadonlySet<string> = new Set([
  'job',
  'jobs',
  'result',
  'used',
  'hook',
  'hooks',
  'ticks',
  'failed',
  'check',
]);

export class Inverse {
  private readonly change: Change;
  private readonly target: Target;
  private readonly later: LaterChanges;
  private readonly before: Snapshot;
  /** Pipelines that the operation made, changed or deleted. */
  private readonly pipelines = new Set<string>();
  /** Repos that stay though the operation made them. */
  readonly keptRepos: string[] = [];

  constructor(change: Change, target: Target, later: LaterChanges) {
    const { head, reader } = change.snapshot;
    this.change = change;
    this.target = target;
    this.later = later;
    this.before = new Snapshot({ ...head, refs: target.before }, reader);
  }

  /** Adds the edits to the change. Throws `conflict` naming a later operation that stands in the way. */
  async run(): Promise<void> {
    const { before, operation } = this.target;
    for await (const each of diffOrdered(this.before.reader, mapFormat, before, operation.root)) await this.take(each);
    await new NeededCommits(this.change, this.target).keep();
    for (const key of this.keysOf('repo', 'removed')) await this.removeRepo(lastPart(key));
    for (const kind of ['branch', 'commit', 'pipeline']) {
      for (const key of this.keysOf(kind, 'set')) await this.checkRepo(key);
    }
    for (const key of this.keysOf('branch', 'set')) await this.addCommits(key);
    for (const key of this.keysOf('branch', 'set')) await this.checkTriggers(key);
    for (const key of this.keysOf('declared', 'set')) await this.checkDeclared(key);
  }

  /** Keys of a kind that this change sets or removes. */
  private keysOf(kind: string, how: 'set' | 'removed'): Buffer[] {
    const all = [...this.change.edits].filter(
      ([key, item]) => key.startsWith(`${kind}/`) && (how === 'set') === Boolean(item),
    );
    return all.map(([key]) => Buffer.from(key, 'latin1'));
  }

  private async take({ key, old, new: made }: Difference<MapItem>): Promise<void> {
    const kind = kindOf(key);
    if (kind === 'pipeline') this.pipelines.add(nameOf(key));
    // A lease ends by itself.
    if (kind === 'lease') return;
    const now = await this.change.snapshot.item(key);
    if (isSame(now, old)) return;
    if (isSame(now, made)) return this.set(key, old);
    if (enginesKinds.has(kind)) return;
    if (await this.later.of(key)) throw await this.later.blocked(textOf(key), key);
    if (kind !== 'branch' || !now) return;
    this.setBranch(branchOf(now), old && branchOf(old));
    const text = key.toString('latin1');
    if (isSame(this.change.edits.get(text), now)) this.change.edits.delete(text);
  }

  private set(key: Buffer, item: MapItem | undefined): void {
    if (item) this.change.set(item);
    else this.change.delete(key);
  }

  /** A branch to which an engine has committed since keeps those commits. */
  private setBranch(now: Branch, before: Branch | undefined): void {
    if (before) this.change.setBranch({ ...before, head: now.head });
    else if (now.head && !now.trigger) this.change.setBranch({ ...now, provenance: [] });
    else this.change.delete(branchKey(now.repo, now.name));
  }

  /** Takes a repo away, unless it has what an engine has computed. */
  private async removeRepo(repo: string): Promise<void> {
    const { change, later } = this;
    const branches: Branch[] = [];
    for await (const item of change.items(branchKey(repo, ''))) {
      if (await later.of(item.key)) throw await later.blocked(textOf(item.key), item.key);
      branches.push(branchOf(item));
    }
    const commits: Buffer[] = [];
    for await (const { key } of change.items(commitKey(repo, ''))) {
      if (await later.of(key)) throw await later.blocked(textOf(key), key);
      commits.push(key);
    }
    const runs = await this.hasPipeline(repo);
    if (!runs && branches.length === 0 && !this.pipelines.has(repo)) {
      // Only ids lead to these commits, from which engines have computed.
      for (const key of commits) change.delete(key);
      await forgetProvenance(change, repo);
      return;
    }
    if (!runs && branches.length + commits.length === 0) return;
    change.edits.delete(repoKey(repo).toString('latin1'));
    await this.release(repo);
    this.keptRepos.push(repo);
    if (!runs) for (const branch of branches) change.setBranch({ ...branch, provenance: [] });
  }

  /** Ticks that stay without their pipeline are commits like any others. */
  private async release(name: string): Promise<void> {
    const { ticksOf, ...repo } = await this.change.snapshot.repo(name);
    if (ticksOf !== undefined && !(await this.hasPipeline(ticksOf))) this.change.setRepo(repo);
  }

  /** True where something of the pipeline stays, be it on a branch only. */
  private async hasPipeline(name: string): Promise<boolean> {
    if (await this.change.item(pipelineKey(name))) return true;
    for await (const _ of this.change.items(pipelineKey(name, ''))) return true;
    return false;
  }

  /** What comes back needs the repo that it was in, not another one of the same name. */
  private async checkRepo(key: Buffer): Promise<void> {
    const repo = nameOf(key);
    const [item, before] = await Promise.all([this.change.item(repoKey(repo)), this.before.maybeRepo(repo)]);
    if (item && (!before || decodeRepo(item.value).created === before.created)) return;
    throw await this.later.blocked(`repo ${repo}`, repoKey(repo));
  }

  /** The opposite trigger may have been set meanwhile. */
  private async checkTriggers(key: Buffer): Promise<void> {
    const branch = branchOf(this.change.edits.get(key.toString('latin1')) as MapItem);
    if (branch.trigger) await checkTrigger(this.change, branch, branch.trigger);
  }

  /** The opposite may have been declared meanwhile. */
  private async checkDeclared(key: Buffer): Promise<void> {
    const { edits, snapshot } = this.change;
    const commit = { repo: nameOf(key), id: lastPart(key) as CommitId };
    const { declarations } = decodeDeclared((edits.get(key.toString('latin1')) as MapItem).value);
    for (const { from } of declarations) await refuseCycle(snapshot, commit, from);
  }

  /** A branch that comes back brings those of its commits along that are not there any more. */
  private async addCommits(key: Buffer): Promise<void> {
    const branch = branchOf(this.change.edits.get(key.toString('latin1')) as MapItem);
    if (!branch.head) return;
    const index = new OrderedReader(this.before.reader, mapFormat, branch.head.index);
    for await (const { value, refs } of index.backward()) {
      const at = commitKey(branch.repo, value.toString('hex'));
      const found = await this.change.item(at);
      if (!found) this.change.set({ key: at, value: encodeCommitEntry(), refs });
      else if (refs[0] && !found.refs[0]?.hash.equals(refs[0].hash)) throw await this.later.blocked(textOf(at), at);
      else if (!(await this.later.rewrote(branch.repo))) return;
    }
  }
}

function isSame(a: MapItem | undefined, b: MapItem | undefined): boolean {
  return a && b ? sameItem(mapFormat, a, b) : a === b;
}

/** What a key stands for, as people call it. */
function textOf(key: Buffer): string {
  const [kind = '', name = '', part] = key.toString().split('/');
  if (kind === 'declared') return `what was declared of ${name}@${lastPart(key)}`;
  return `${kind} ${part === undefined ? name : `${name}@${part}`}`;
}
