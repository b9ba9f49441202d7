/**
 * Branches that a trigger moves because a time has come: cron expressions and rate limits. All that is
 * known lies in the store, so engines that look at the same time move a branch once, and who looks late
 * moves it to what was there at the time. Whatever needs no time was moved by who committed.
 */
import { isPachError, type PachError } from '../base/errors.ts';
import type { CommitId } from '../model/records/commit.ts';
import { lastTime } from '../model/schedule.ts';
import type { BranchName } from '../versions/edit.ts';
import type { Project } from '../versions/project.ts';
import { byEngine } from '../versions/publish.ts';
import { branchOf, type Branch, type Snapshot } from '../versions/snapshot.ts';
import { move, moveTriggered, scheduleOf, targetOf, type Target, type Triggered } from '../versions/triggers.ts';
import type { TellOf } from './events.ts';
import { errorData } from './outcome.ts';
import type { ServeEvent } from './serve-events.ts';
import type { TimedWork } from './timed.ts';

/** A branch, and the commit that it was moved to. */
export interface Moved extends BranchName {
  readonly commit: CommitId;
}

export interface Fired {
  /** In the order in which they were moved. */
  readonly moved: readonly Moved[];
  /** When to look again if nothing is committed meanwhile, in milliseconds since 1970; undefined: never. */
  readonly next: number | undefined;
  /** Triggers that this program can't read. */
  readonly faults: readonly PachError[];
}

/** A stored time that lies further ahead was written by a clock that was wrong: it has been set back since. */
const skewMs = 60_000;

/** Moves the branches whose time has come by `now`. */
export async function fireTriggers(project: Project, { now }: { readonly now: number }): Promise<Fired> {
  const moved: Moved[] = [];
  const faults: PachError[] = [];
  let next: number | undefined;
  let snapshot = await project.snapshot();
  for (const name of await timedBranches(snapshot)) {
    try {
      const commit = await fire(project, snapshot, name, now);
      if (commit !== undefined) {
        moved.push({ ...name, commit });
        snapshot = await project.snapshot();
      }
      const again = await nextTime(await maybeTriggered(snapshot, name), now);
      if (again !== undefined) next = Math.min(next ?? again, again);
    } catch (error) {
      // A newer program or one with other time zones has set it: the others go on.
      if (!isPachError(error, 'usage')) throw error;
      faults.push(error);
    }
  }
  return { moved, next, faults };
}

/** The work of an engine that stays up: tells of each trigger that it can't read, once. */
export function triggerWork(project: Project, tell: TellOf<ServeEvent>): TimedWork {
  const told = new Set<string>();
  return async (now) => {
    const { next, faults } = await fireTriggers(project, { now });
    for (const fault of faults) {
      if (!told.has(fault.message)) tell({ kind: 'trouble', pipeline: null, error: errorData(fault) });
      told.add(fault.message);
    }
    return next;
  };
}

/** Branches that a time may move, those that trigger others before these. */
async function timedBranches(snapshot: Snapshot): Promise<BranchName[]> {
  const branches = new Map<string, Branch>();
  for await (const item of snapshot.items(Buffer.from('branch/'))) {
    const branch = branchOf(item);
    if (branch.trigger) branches.set(`${branch.repo}@${branch.name}`, branch);
  }
  const order = new Set<Branch>();
  const add = (branch: Branch | undefined): void => {
    if (!branch || order.has(branch)) return;
    const chain = [branch];
    for (let at = branch; ;) {
      const above = branches.get(`${at.repo}@${at.trigger?.branch}`);
      if (!above || order.has(above) || chain.includes(above)) break;
      chain.unshift(above);
      at = above;
    }
    for (const each of chain) order.add(each);
  };
  for (const branch of branches.values()) add(branch);
  const timed = [...order].filter(({ trigger }) => (trigger?.cron ?? trigger?.rateLimit) !== undefined);
  return timed.map(({ repo, name }) => ({ repo, branch: name }));
}

/** Moves a branch if that is due. Resolves to the commit that it is moved to. */
async function fire(
  project: Project,
  snapshot: Snapshot,
  name: BranchName,
  now: number,
): Promise<CommitId | undefined> {
  if (!(await dueOf(snapshot, name, now))) return undefined;
  return project.update(byEngine(`move ${name.repo}@${name.branch} by its trigger`), async (change) => {
    const due = await dueOf(change.snapshot, name, now);
    if (!due) return undefined;
    if (due.kind === 'set back') {
      const { branch, trigger } = due.triggered;
      change.setBranch({ ...branch, trigger: { ...trigger, since: now } });
      return undefined;
    }
    await moveTriggered(change, await move(change, due.triggered, due.target));
    return due.target.commit.id;
  });
}

type Due =
  | { readonly kind: 'target'; readonly triggered: Triggered; readonly target: Target }
  /** The time of the last move is to come: from now on times count anew. */
  | { readonly kind: 'set back'; readonly triggered: Triggered };

/** What is to become of a branch by now, if anything. */
async function dueOf(snapshot: Snapshot, name: BranchName, now: number): Promise<Due | undefined> {
  const triggered = await maybeTriggered(snapshot, name);
  if (!triggered) return undefined;
  const { trigger } = triggered;
  const { since, cron } = trigger;
  if (since > now + skewMs) return { kind: 'set back', triggered };
  const times = cron === undefined ? undefined : await scheduleOf(trigger, cron);
  const cronTime = times && lastTime(times, { after: Math.min(since, now), until: now, begun: since });
  const target = await targetOf(snapshot, triggered, { now, cronTime });
  return target && { kind: 'target', triggered, target };
}

/** A branch with a trigger, when there is something that it may be moved to. */
async function maybeTriggered(snapshot: Snapshot, { repo, branch: name }: BranchName): Promise<Triggered | undefined> {
  const branch = await snapshot.maybeBranch(repo, name);
  if (!branch?.trigger) return undefined;
  const source = await snapshot.maybeBranch(repo, branch.trigger.branch);
  if (!source?.head || source.head.id === branch.head?.id) return undefined;
  return { branch, trigger: branch.trigger, source };
}

/** The next time that may move a branch. */
async function nextTime(triggered: Triggered | undefined, now: number): Promise<number | undefined> {
  if (!triggered) return undefined;
  const { trigger } = triggered;
  const { since, cron, rateLimit } = trigger;
  const times = [
    cron === undefined ? undefined : (await scheduleOf(trigger, cron)).next(now, since),
    rateLimit === undefined ? undefined : (await scheduleOf(trigger, rateLimit)).next(since, since),
  ];
  const later = times.filter((time) => time !== undefined && time > now) as number[];
  return later.length > 0 ? Math.min(...later) : undefined;
}
