/**
 * What a push or pull moves from one project to another: which branches by which commits, and which commits
 * these were made of. Reads both and changes nothing; whoever loses the race for the target's head plans anew.
 */
import { mapOrdered } from '../base/async.ts';
import type { MapItem } from '../model/map.ts';
import type { CommitId, CommitProvenance } from '../model/records/commit.ts';
import { decodeDeclared } from '../model/records/declared.ts';
import { decodePurged, encodePurged } from '../model/records/transfer.ts';
import { allProvenance } from '../versions/provenance.ts';
import {
  commitKey,
  declaredPrefix,
  lastPart,
  nameOf,
  purgedKey,
  purgedPrefix,
  resultsPrefix,
  timeKey,
} from '../versions/ref-keys.ts';
import type { BranchName } from '../versions/edit.ts';
import type { Branch, Commit, Repo, Snapshot } from '../versions/snapshot.ts';
import { compare, type Comparison } from './history.ts';
import { noOutputs, outputsOf, type Outputs } from './results.ts';

/** What is asked for. */
export interface Wanted {
  /** Made where the target lacks them, also without branches. */
  readonly repos: readonly string[];
  readonly branches: readonly BranchName[];
  /** Also the commits that these were made of, and those that those were made of. */
  readonly withProvenance: boolean;
  /** Also pipelines, jobs and results, as far as branches are outputs of pipelines. */
  readonly withResults: boolean;
  /** Pipelines of which results alone go along, so that nothing is computed again where they run. */
  readonly resultsOf?: readonly string[] | undefined;
}

/** A branch of the target that gets commits at its end. */
export interface Move extends BranchName {
  /** As the target has it; undefined: it is made. */
  readonly before: Branch | undefined;
  /** Oldest first; none for a branch without commits. As the source has them. */
  readonly commits: readonly Commit[];
  /** What is entered of the paths that they changed. */
  readonly changed: readonly MapItem[];
  /** As the source has it, where a trigger moves it there. */
  readonly trigger: Branch['trigger'];
  /** So many more bytes have its files at the end. */
  readonly growth: number;
  /** It is not asked for: others were made of what it has. */
  readonly isInput: boolean;
}

/** A branch that is asked for and gets nothing, or can't be moved. */
export interface Standing extends BranchName {
  readonly comparison: Comparison;
}

export interface Plan {
  /** Those that the target lacks. */
  readonly repos: readonly Repo[];
  readonly moves: readonly Move[];
  /** Commits whose entries the target lacks. */
  readonly commits: readonly Commit[];
  /** Of the map of refs, as the source has them: what is declared of commits, and which of them were purged. */
  readonly items: readonly MapItem[];
  readonly outputs: Outputs;
  /** What commits were made of, and the target will not have. */
  readonly missing: readonly CommitProvenance[];
  /** Branches that are equal, or of which the target has more. */
  readonly standing: readonly Standing[];
  /** Branches that have different histories. */
  readonly refused: readonly Standing[];
}

/** Commits that are read at a time. */
const readsAhead = 20;

export async function planTransfer(source: Snapshot, target: Snapshot, wanted: Wanted): Promise<Plan> {
  return new Planner(source, target).plan(wanted);
}

class Planner {
  private readonly source: Snapshot;
  private readonly target: Snapshot;
  private readonly commits = new Map<string, Commit>();
  private readonly missing = new Map<string, CommitProvenance>();
  private readonly refused: Standing[] = [];
  /** What others were made of: the newest commit of each branch. */
  private readonly inputs = new Map<string, CommitProvenance & { readonly finished: number }>();
  /** Commits whose provenance was looked at. */
  private readonly seen = new Set<string>();

  constructor(source: Snapshot, target: Snapshot) {
    this.source = source;
    this.target = target;
  }

  async plan({ repos: wanted, branches, withProvenance, withResults, resultsOf = [] }: Wanted): Promise<Plan> {
    const moves: Move[] = [];
    const standing: Standing[] = [];
    const { refused } = this;
    for (const name of branches) {
      const [own, before] = await Promise.all([this.sourceBranch(name), this.targetBranch(name)]);
      const line = { snapshot: this.source, head: own?.head };
      const comparison = await compare(line, { snapshot: this.target, head: before?.head });
      const { relation, shared } = comparison;
      if (relation === 'diverged' || relation === 'rewritten') refused.push({ ...name, comparison });
      else if (relation === 'ahead') moves.push(await this.move(own as Branch, before, { shared }));
      else if (own && !before) moves.push(await this.move(own, before, { shared }));
      else standing.push({ ...name, comparison });
    }
    for (const move of moves) await this.addCommits(move.commits, move);
    for (const commit of this.commits.values()) await this.addProvenance(commit, withProvenance);
    if (withProvenance) {
      for (const name of branches) await this.addOlderProvenance(name);
    }
    const made = withResults ? [...branches, ...this.inputs.values()] : [];
    const hasResults = withResults || resultsOf.length > 0;
    const outputs = hasResults ? await outputsOf(this.source, this.target, { branches: made, resultsOf }) : noOutputs;
    for (const commit of outputs.aside) await this.addCommits(await this.lacking(commit), commit);
    if (withProvenance) moves.push(...(await this.inputMoves(moves, outputs)));
    const repos = [...new Set([...wanted, ...[...branches, ...this.commits.values()].map(({ repo }) => repo)])];
    const items = [...(await this.declaredOf(repos)), ...(await this.purgedOf(repos, hasResults))];
    const missing = [...this.missing.values()];
    const commits = [...this.commits.values()];
    const lacking = await this.lackingRepos([...repos, ...outputs.inputs]);
    return { repos: lacking, moves, commits, items, outputs, missing, standing, refused };
  }

  private async lackingRepos(repos: readonly string[]): Promise<Repo[]> {
    const lacking: Repo[] = [];
    for (const name of new Set(repos)) {
      const repo = (await this.target.maybeRepo(name)) ? undefined : await this.source.maybeRepo(name);
      if (repo) lacking.push(repo);
    }
    return lacking;
  }

  private sourceBranch({ repo, branch }: BranchName): Promise<Branch | undefined> {
    return this.source.maybeBranch(repo, branch);
  }

  private targetBranch({ repo, branch }: BranchName): Promise<Branch | undefined> {
    return this.target.maybeBranch(repo, branch);
  }

  /** Moves a branch over what follows the first commits, which it has, up to a time. */
  private async move(
    { repo, name: branch, head, trigger }: Branch,
    before: Branch | undefined,
    to: { readonly shared: number; readonly end?: number; readonly isInput?: boolean },
  ): Promise<Move> {
    const { shared, end = Infinity, isInput = false } = to;
    const commits: Commit[] = [];
    if (head) {
      for await (const commit of this.source.after(head, shared)) {
        if (commit.finished > end) break;
        commits.push(commit);
      }
    }
    const changed: MapItem[] = [];
    const [first] = commits;
    if (head && first) {
      const last = timeKey((commits.at(-1) as Commit).finished);
      for await (const item of this.source.changedSince(head, first.finished)) {
        if (item.key.compare(last) > 0) break;
        changed.push(item);
      }
    }
    const last = commits.at(-1);
    const old = last && before?.head && (await this.target.commitAt(before.head.commit));
    const growth = Math.max(0, (last?.bytes ?? 0) - (old?.bytes ?? 0));
    return { repo, branch, before, commits, changed, trigger, growth, isInput };
  }

  /** Takes those that the target has no entry of. One that it has must be the same there, or `of` is refused. */
  private async addCommits(commits: Iterable<Commit>, of: BranchName): Promise<void> {
    for (const commit of commits) {
      const { repo, id, ref } = commit;
      const [there, purged] = await Promise.all([
        this.target.item(commitKey(repo, id)),
        this.target.item(purgedKey(repo, id)),
      ]);
      const isRewritten = there
        ? there.refs[0]?.hash.equals(ref.hash) === false
        : purged !== undefined && !(await this.source.item(purgedKey(repo, id)));
      if (isRewritten) {
        this.refuse({ repo, branch: of.branch }, id);
        return;
      }
      if (!there) this.commits.set(keyOf(commit), commit);
    }
  }

  private refuse({ repo, branch }: BranchName, rewritten: CommitId): void {
    if (this.refused.some((each) => each.repo === repo && each.branch === branch)) return;
    const comparison: Comparison = { relation: 'rewritten', ahead: 0, behind: 0, shared: 0, rewritten };
    this.refused.push({ repo, branch, comparison });
  }

  private async isThere({ repo, id }: Pick<Commit, 'repo' | 'id'>): Promise<boolean> {
    return this.commits.has(`${repo}@${id}`) || (await this.target.item(commitKey(repo, id))) !== undefined;
  }

  /** All that the commits of a branch were made of, also of those that the target has already. */
  private async addOlderProvenance(name: BranchName): Promise<void> {
    const head = (await this.sourceBranch(name))?.head;
    if (head) for await (const commit of this.source.history(head)) await this.addProvenance(commit, true);
  }

  /** What a commit was made of: it is brought, too, or missing. */
  private async addProvenance(commit: Commit, brings: boolean): Promise<void> {
    const waiting = [commit];
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      if (this.seen.has(keyOf(next))) continue;
      this.seen.add(keyOf(next));
      for (const from of await allProvenance(this.source, next)) {
        const own = brings ? await this.source.maybeCommit(from.repo, from.commit) : undefined;
        if (own) {
          this.addInput(from, own.finished);
          const line = await this.lacking(own);
          await this.addCommits(line, from);
          waiting.push(own, ...line);
        } else if (!(await this.isThere({ repo: from.repo, id: from.commit }))) {
          this.missing.set(`${from.repo}@${from.commit}`, from);
        }
      }
    }
  }

  private addInput(from: CommitProvenance, finished: number): void {
    const key = `${from.repo}@${from.branch}`;
    if ((this.inputs.get(key)?.finished ?? -1) < finished) this.inputs.set(key, { ...from, finished });
  }

  /**
   * A commit and those before it, as far back as the target lacks them, and the first that it has. Who has a
   * commit has what it follows.
   */
  private async lacking(commit: Commit): Promise<Commit[]> {
    const lacking: Commit[] = [];
    for await (const each of this.lineOf(commit)) {
      lacking.push(each);
      if (await this.isThere(each)) break;
    }
    return lacking;
  }

  /** A commit and those before it: from the index of its branch where it is on that, so that they are read ahead. */
  private async *lineOf(commit: Commit): AsyncGenerator<Commit> {
    const head = (await this.source.maybeBranch(commit.repo, commit.branch))?.head;
    if (!head || (await this.source.asOf(head, commit.finished))?.id !== commit.id) {
      yield* this.source.ancestors(commit);
      return;
    }
    const line = this.source.changesUpTo(head, commit.finished);
    yield* mapOrdered(line, readsAhead, ({ ref }) => this.source.commitAt(ref));
  }

  /** Branches of inputs follow, where that is a fast-forward and the target lets people commit to them. */
  private async inputMoves(moves: readonly Move[], { names }: Outputs): Promise<Move[]> {
    const more: Move[] = [];
    for (const name of this.inputs.values()) {
      const { repo, branch, commit, finished } = name;
      if (moves.some((move) => move.repo === repo && move.branch === branch)) continue;
      const own = await this.sourceBranch(name);
      if (!own?.head || (await this.source.asOf(own.head, finished))?.id !== commit) continue;
      const before = await this.targetBranch(name);
      const { ticksOf } = (await this.target.maybeRepo(repo)) ?? {};
      if (whoMoves(before ?? { repo }, ticksOf, names)) continue;
      const comparison = await compare(
        { snapshot: this.source, head: own.head },
        { snapshot: this.target, head: before?.head },
      );
      if (comparison.relation !== 'ahead') continue;
      const { shared } = comparison;
      const move = await this.move(own, before, { shared, end: finished, isInput: true });
      if (move.commits.length > 0) more.push(move);
    }
    return more;
  }

  /** What is declared of the commits that the target has then. */
  private async declaredOf(repos: readonly string[]): Promise<MapItem[]> {
    const found: MapItem[] = [];
    for (const repo of repos) {
      for await (const item of this.source.items(declaredPrefix(repo))) {
        if (!(await this.isThere({ repo, id: lastPart(item.key) as CommitId }))) continue;
        if (await this.target.item(item.key)) continue;
        found.push(item);
        for (const { from } of decodeDeclared(item.value).declarations) {
          if (await this.isThere({ repo: from.repo, id: from.commit })) continue;
          this.missing.set(`${from.repo}@${from.commit}`, from);
        }
      }
    }
    return found;
  }

  /**
   * Which commits were purged: of those that move, and of all where results move to a project without any,
   * since nothing there is older. Where it has some, these may hold what was purged.
   */
  private async purgedOf(repos: readonly string[], withResults: boolean): Promise<MapItem[]> {
    const found: MapItem[] = [];
    const { count } = await this.target.lastItem(resultsPrefix);
    const hasAll = withResults && count === 0;
    for (const prefix of hasAll ? [purgedPrefix] : repos.map((repo) => purgedKey(repo))) {
      for await (const item of this.source.items(prefix)) {
        const [repo, id] = [nameOf(item.key), lastPart(item.key) as CommitId];
        if (await this.target.item(item.key)) continue;
        if (!this.commits.has(`${repo}@${id}`) && (!hasAll || (await this.isThere({ repo, id })))) continue;
        const record = decodePurged(item.value);
        const value = encodePurged({ ...record, olderResults: record.olderResults || count > 0 });
        found.push({ ...item, value });
      }
    }
    return found;
  }
}

/** What alone moves a branch of the target; undefined where people do, or one of these pipelines. */
export function whoMoves(
  { repo, provenance, trigger }: Pick<Branch, 'repo'> & Partial<Branch>,
  ticksOf: string | undefined,
  pipelines: ReadonlySet<string>,
): 'ticks' | 'trigger' | 'output' | undefined {
  if (ticksOf !== undefined && !pipelines.has(ticksOf)) return 'ticks';
  if (trigger && (trigger.pipeline === undefined || !pipelines.has(trigger.pipeline))) return 'trigger';
  return (provenance?.length ?? 0) > 0 && !pipelines.has(repo) ? 'output' : undefined;
}

function keyOf({ repo, id }: Pick<Commit, 'repo' | 'id'>): string {
  return `${repo}@${id}`;
}
