/**
 * A mount that follows: the project's head is watched, by one request for all branches, and the names
 * move with it.
 */
import { Home } from '../local/home.ts';
import { keepShownHead, shownHead } from '../local/mounts.ts';
import { encodeHead } from '../model/records/head.ts';
import { FollowNames } from '../mount/follow-names.ts';
import { Follower, type FollowCounters } from '../mount/follower.ts';
import { Mover } from '../mount/mover.ts';
import { Directories } from '../versions/directories.ts';
import type { Project } from '../versions/project.ts';
import { mountSources, type MountPlan } from './mount-plan.ts';

/** How a mount follows, for those who ask. */
export interface FollowState extends FollowCounters {
  /** The operation that is shown, and its time (RFC 3339). */
  readonly operation: string;
  readonly time: string;
  /** Sources that are not there now. */
  readonly missing: readonly string[];
  /** Why nothing newer can be seen, and since when (RFC 3339). */
  readonly failing?: { readonly since: string; readonly why: string };
}

export class FollowedMount {
  readonly names: FollowNames;
  private readonly project: Project;
  private readonly plan: MountPlan;
  private readonly home: Home;
  private readonly log: (error: unknown) => void;
  private readonly scope: Disposable[] = [];
  private follower: Follower | undefined;
  private failing: FollowState['failing'];

  private constructor(names: FollowNames, project: Project, plan: MountPlan, log: (error: unknown) => void) {
    this.names = names;
    this.project = project;
    this.plan = plan;
    this.home = new Home(plan.home);
    this.log = log;
  }

  /** Begins with the head of the plan, or with that which an earlier server of this mount came to. */
  static async open(project: Project, plan: MountPlan, log: (error: unknown) => void): Promise<FollowedMount> {
    const shown = await shownHead(new Home(plan.home), plan.mountpoint);
    const first = project.snapshotOf(shown ?? Buffer.from(plan.head, 'base64'));
    const directories = new Directories(project.reader);
    const names = await FollowNames.open(first, directories, (snapshot) => mountSources(snapshot, plan.sources));
    return new FollowedMount(names, project, plan, log);
  }

  /** Begins to follow, until `end`. */
  begin(device: number): void {
    const mover = new Mover(this.plan.mountpoint, device, this.log);
    const follower = new Follower({
      names: this.names,
      mover,
      keep: ({ head }) => keepShownHead(this.home, this.plan.mountpoint, encodeHead(head)),
      onMoved: () => (this.failing = undefined),
      onError: (error) => this.failed(error),
    });
    this.follower = follower;
    const listening = this.project.head.listen({
      moved: (snapshot) => follower.follow(snapshot),
      answered: () => {
        if (!follower.isBehind) this.failing = undefined;
        follower.resume();
      },
      failed: (error) => this.failed(error),
    });
    this.scope.push(listening, mover);
  }

  end(): void {
    for (const each of this.scope.splice(0)) each[Symbol.dispose]();
  }

  state(): FollowState {
    const { id, time } = this.names.snapshot.head.operation;
    const counters = this.follower?.counters ?? { moves: 0, heldMs: 0, heldMsMax: 0 };
    const { missing } = this.names;
    return {
      operation: id,
      time: new Date(time).toISOString(),
      missing,
      ...counters,
      ...(this.failing && { failing: this.failing }),
    };
  }

  private failed(error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    if (this.failing?.why !== why) this.log(error);
    this.failing = { since: this.failing?.since ?? new Date().toISOString(), why };
  }
}
