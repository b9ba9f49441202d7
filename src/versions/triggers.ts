/**
 * Branches that take the head of another branch of their repo when conditions hold for what came there
 * (FORMAT.md section 6). Whoever moves the branch that triggers moves them in the same change, so that
 * happens exactly once and needs no engine. What holds because a time has come is for engines.
 */
import { isPachError, PachError } from '../base/errors.ts';
import { checkBranchName } from '../model/address.ts';
import type { TriggerConditions, TriggerRecord } from '../model/records/refs.ts';
import type { Schedule } from '../model/schedule.ts';
import type { Change } from './change.ts';
import { branchKey } from './ref-keys.ts';
import { branchOf, type Branch, type BranchHead, type Commit, type Snapshot } from './snapshot.ts';

/** What is asked for of a branch: which one triggers it, and when. */
export interface TriggerRequest extends TriggerConditions {
  readonly branch: string;
}

/** A branch that a trigger may move, and the one that triggers it. */
export interface Triggered {
  readonly branch: Branch;
  readonly trigger: TriggerRecord;
  readonly source: Branch;
}

/** A version that a trigger moves its branch to. */
export interface Target {
  readonly commit: Commit;
  /** From here on the times of the trigger count again. */
  readonly since: number;
}

/** What conditions are held against: a version of the branch that triggers, and its head. */
interface Candidate {
  readonly commit: Commit;
  readonly head: BranchHead;
}

/**
 * Moves the branches that the new head of a branch triggers, and those that these trigger. Times of cron
 * expressions come later than a commit, and are for engines.
 */
export async function moveTriggered(change: Change, source: Branch): Promise<void> {
  const moved = [source];
  const met = new Set([source.name]);
  for (let next = moved.pop(); next; next = moved.pop()) {
    for (const triggered of await triggeredBy(change, next)) {
      // What an older program stored may be a loop.
      if (met.has(triggered.branch.name)) continue;
      const now = Date.now();
      const target = await targetOf(change.snapshot, triggered, { now, cronTime: undefined }).catch(unlessUnknown);
      if (!target) continue;
      met.add(triggered.branch.name);
      moved.push(await move(change, triggered, target));
    }
  }
}

/** A commit does not fail for an expression that this program can't read: engines tell of it. */
function unlessUnknown(error: unknown): undefined {
  if (!isPachError(error, 'usage')) throw error;
}

/** Moves a branch as its trigger says. Resolves to what it is then. */
export async function move(change: Change, { branch, trigger, source }: Triggered, to: Target): Promise<Branch> {
  const head = source.head && (await change.headUpTo(source.head, to.commit));
  const next = { ...branch, head, trigger: { ...trigger, since: to.since } };
  change.setBranch(next);
  return next;
}

/**
 * The version that the conditions of a trigger move its branch to; undefined: none of them hold.
 * `cronTime`: the last time of the cron expression since the last move. It counts for what was there
 * then, whenever somebody comes to look.
 */
export async function targetOf(
  snapshot: Snapshot,
  { branch, trigger, source }: Triggered,
  { now, cronTime }: { readonly now: number; readonly cronTime: number | undefined },
): Promise<Target | undefined> {
  const { head } = source;
  if (!head || head.id === branch.head?.id) return undefined;
  const newest = { commit: await snapshot.commitAt(head.commit), head };
  const conditions = (of: Candidate): (() => Promise<boolean>)[] => {
    const { commits, bytes, rateLimit } = trigger;
    return [
      ...(commits === undefined ? [] : [() => hasCommits(snapshot, of, branch, commits)]),
      ...(bytes === undefined ? [] : [() => hasBytes(snapshot, of, branch, bytes)]),
      ...(rateLimit === undefined ? [] : [() => hasTimePassed(trigger, rateLimit, now)]),
    ];
  };
  const atTime =
    trigger.cron === undefined ? undefined : await candidateAt(snapshot, { newest, cronTime, branch, now });
  const timed = atTime && cronTime !== undefined ? { commit: atTime.commit, since: cronTime } : undefined;
  if (!trigger.all) {
    for (const holds of conditions(newest)) if (await holds()) return { commit: newest.commit, since: now };
    return timed;
  }
  if (trigger.cron !== undefined && !atTime) return undefined;
  for (const holds of conditions(atTime ?? newest)) if (!(await holds())) return undefined;
  return timed ?? { commit: newest.commit, since: now };
}

/** What the branch that triggers had at a time of the cron expression, if that is something new. */
async function candidateAt(
  snapshot: Snapshot,
  of: {
    readonly newest: Candidate;
    readonly cronTime: number | undefined;
    readonly branch: Branch;
    readonly now: number;
  },
): Promise<Candidate | undefined> {
  const { newest, cronTime, branch, now } = of;
  if (cronTime === undefined) return undefined;
  // Of a commit with a time to come only this is known: its writer's clock was ahead.
  const commit = newest.commit.finished > now ? newest.commit : await snapshot.asOf(newest.head, cronTime);
  if (!commit) return undefined;
  const own = branch.head && (await snapshot.asOf(branch.head, commit.finished));
  return own?.id === commit.id ? undefined : { commit, head: newest.head };
}

async function hasTimePassed(trigger: TriggerRecord, expression: string, now: number): Promise<boolean> {
  const next = (await scheduleOf(trigger, expression)).next(trigger.since, trigger.since);
  return next !== undefined && next <= now;
}

async function hasCommits(snapshot: Snapshot, of: Candidate, { head }: Branch, commits: number): Promise<boolean> {
  return (await snapshot.countBeyond(of.head, of.commit.finished, head)) >= commits;
}

async function hasBytes(snapshot: Snapshot, { commit }: Candidate, { head }: Branch, bytes: number): Promise<boolean> {
  const before = head && (await snapshot.commitAt(head.commit));
  return commit.bytes - (before?.bytes ?? 0) >= bytes;
}

/** The times of an expression of a trigger. Throws `usage` for one that this program can't read. */
export async function scheduleOf({ timezone }: TriggerConditions, expression: string): Promise<Schedule> {
  // Few commits need it.
  const { parseSchedule } = await import('../model/schedule.ts');
  return parseSchedule(expression, timezone ?? 'UTC');
}

/** The branches that a branch triggers, as they are with a change. */
async function triggeredBy(change: Change, source: Branch): Promise<Triggered[]> {
  const found: Triggered[] = [];
  for await (const item of change.items(branchKey(source.repo, ''))) {
    const branch = branchOf(item);
    if (branch.trigger?.branch === source.name) found.push({ branch, trigger: branch.trigger, source });
  }
  return found;
}

/** Sets a trigger, or takes it away, as a part of `change`. Throws `conflict` for a loop, and for what a pipeline writes. */
export async function setTrigger(
  change: Change,
  branch: Branch,
  trigger: Omit<TriggerRecord, 'since'> | undefined,
): Promise<void> {
  if (trigger) await checkTrigger(change, branch, trigger);
  change.setBranch({ ...branch, trigger: trigger && { ...trigger, since: Date.now() } });
}

/** Throws `usage` or `conflict` for a trigger that a branch can't have. */
export async function checkTrigger(change: Change, branch: Branch, trigger: TriggerRequest): Promise<void> {
  checkBranchName(trigger.branch);
  for (const expression of [trigger.cron, trigger.rateLimit]) {
    if (expression !== undefined) await scheduleOf(trigger, expression);
  }
  const { repo, name } = branch;
  const what = `branch ${repo}@${name}`;
  if (branch.provenance.length > 0) {
    throw new PachError('conflict', { what, why: 'it is the output of a pipeline, which alone moves it' });
  }
  const path = [name];
  for (let at: string | undefined = trigger.branch; at !== undefined;) {
    path.push(at);
    if (at === name) {
      throw new PachError('conflict', { what, why: `triggers cannot form a loop: ${path.toReversed().join(' → ')}` });
    }
    // A loop that does not lead back here is another branch's.
    if (path.indexOf(at) < path.length - 1) return;
    at = (await change.maybeBranch(repo, at))?.trigger?.branch;
  }
}

/** Throws `conflict` for a branch that only its trigger moves. */
export function refuseTriggered({ repo, name, trigger }: Branch): void {
  if (!trigger) return;
  throw new PachError('conflict', {
    what: `${repo}@${name}`,
    why: `its trigger moves it to the head of ${trigger.branch}, which would undo this`,
    next: `commit to ${repo}@${trigger.branch}, or take the trigger away (update branch --remove-trigger)`,
  });
}

/** Throws `conflict` for a branch whose trigger stands in the spec of a pipeline. */
export function refuseOfInput({ repo, name, trigger }: Branch): void {
  if (trigger?.pipeline === undefined) return;
  throw new PachError('conflict', {
    what: `branch ${repo}@${name}`,
    why: `pipeline ${trigger.pipeline} made it for an input, whose trigger stands in its spec`,
    next: 'pach update pipeline -f SPEC',
  });
}

/** The branches of a repo that one triggers, by name. */
export async function namesTriggeredBy(snapshot: Snapshot, repo: string, source: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, trigger } of snapshot.branches(repo)) if (trigger?.branch === source) names.push(name);
  return names;
}
