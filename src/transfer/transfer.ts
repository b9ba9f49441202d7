/**
 * Moves branches with their commits from a project of one store to one of another: what the target lacks is
 * brought, then all of it becomes visible with one move of the target's head, or nothing does. Commits stay
 * the same nodes, so ids, times and hashes are equal on both sides.
 */
import type { CommitId, CommitProvenance } from '../model/records/commit.ts';
import type { RemoteRecord } from '../model/records/transfer.ts';
import type { BranchName } from '../versions/edit.ts';
import type { Project } from '../versions/project.ts';
import { collectedOr } from '../versions/renew.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { apply, Carried, remember, type CarriedFrom } from './apply.ts';
import { planTransfer, type Plan, type Wanted } from './plan.ts';
import { checkMove, checkReferences, notForward, pipelineProblem, type Ends } from './refusal.ts';

export interface TransferRequest extends CarriedFrom {
  readonly verb: 'push' | 'pull';
  /** What the operation says that is done. */
  readonly what: string;
  readonly target: Project;
  /** What is asked for of the source as it was at one instant. */
  readonly wanted: Wanted;
  /** The store that is not the one of the user's settings, for messages. */
  readonly url: string;
  /** A branch may move although its newest version has files by reference, whose bytes do not move. */
  readonly keepReferences?: boolean | undefined;
  /** Where the target's repos come from, to be remembered with them; undefined: nothing is. */
  readonly origin?: RemoteRecord | undefined;
}

/** A branch of the target that has moved, or was made. */
export interface MovedBranch extends BranchName {
  readonly old: CommitId | undefined;
  readonly new: CommitId | undefined;
  /** How many commits it got. */
  readonly commits: number;
}

/** A branch of which the target has more than the source. */
export interface AheadBranch extends BranchName {
  readonly commits: number;
}

export interface TransferResult {
  readonly branches: readonly MovedBranch[];
  /** Commits that the target did not have before. */
  readonly commits: number;
  /** Bytes of the objects that were written. */
  readonly storedBytes: number;
  /** Branches that stay, as there is more in the target. */
  readonly ahead: readonly AheadBranch[];
  /** What the commits were made of, and the target does not have. */
  readonly missing: readonly CommitProvenance[];
  /** Pipelines that were made. */
  readonly pipelines: readonly string[];
  readonly jobs: number;
  readonly results: number;
  /** Results stay, since they may hold what was purged in the target. */
  readonly resultsWithheld: boolean;
}

/**
 * Throws `conflict` naming what differs where a branch of the target is no beginning of the source's, and
 * where only a pipeline, ticks or a trigger move it; then nothing is changed.
 */
export async function transfer(request: TransferRequest): Promise<TransferResult> {
  const { target, source, wanted, verb, url, what, keepReferences = verb === 'pull' } = request;
  await using begun = await target.begin();
  const { upload } = begun;
  const carried = new Carried(request, upload);
  const planned = async (snapshot: Snapshot): Promise<Plan> => {
    const plan = await planTransfer(source.snapshot, snapshot, wanted);
    const ends = { verb, source: source.snapshot, target: snapshot, url };
    await check(ends, plan, wanted);
    if (!keepReferences) for (const move of plan.moves) await checkReferences(source.snapshot.reader, move);
    await carried.bring(plan);
    return plan;
  };
  try {
    const first = { refs: begun.snapshot.head.refs.hash, plan: await planned(begun.snapshot) };
    const plan = await target.update(
      what,
      async (change) => {
        const { snapshot } = change;
        const isFirst = snapshot.head.refs.hash.equals(first.refs);
        const now = isFirst ? first.plan : await planned(snapshot);
        await apply(change, now, carried);
        if (request.origin) await remember(change, wanted.repos, request.origin);
        return now;
      },
      begun,
    );
    return resultOf(plan, upload.storedBytes);
  } catch (error) {
    throw await collectedOr(target, upload, error);
  }
}

/** Throws for what can't be moved, before anything is. */
async function check(ends: Ends, { moves, refused, standing, outputs }: Plan, { branches }: Wanted): Promise<void> {
  if (refused[0]) throw await notForward(ends, refused[0]);
  for (const move of moves) if (!move.isInput) await checkMove(ends, move, outputs.names);
  if (outputs.problems[0]) throw pipelineProblem(ends, outputs.problems[0]);
  const behind = standing.find(({ comparison }) => comparison.relation === 'behind');
  // One who pushes a branch wants it there as it is here.
  if (behind && ends.verb === 'push' && (moves.length === 0 || branches.length === 1)) {
    throw await notForward(ends, behind);
  }
}

function resultOf({ moves, commits, missing, standing, outputs }: Plan, storedBytes: number): TransferResult {
  const branches = moves.map(({ repo, branch, before, commits: line }) => {
    return { repo, branch, old: before?.head?.id, new: line.at(-1)?.id ?? before?.head?.id, commits: line.length };
  });
  const ahead = standing.flatMap(({ repo, branch, comparison: { behind } }) =>
    behind > 0 ? [{ repo, branch, commits: behind }] : [],
  );
  const { jobs, results, withheld: resultsWithheld } = outputs;
  const pipelines = [...new Set(outputs.pipelines.map(({ pipeline }) => pipeline.name))];
  return { branches, commits: commits.length, storedBytes, ahead, missing, pipelines, jobs, results, resultsWithheld };
}
