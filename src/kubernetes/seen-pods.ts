/**
 * The pods of a job, as the cluster tells of them: which run, which are gone and why, and what keeps
 * the others from running. People are told of each reason once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { PachError } from '../base/errors.ts';
import type { CrewJob, LostBy } from '../execution/store/crew.ts';
import type { KubeObject } from './client/objects.ts';
import { Losses } from './losses.ts';
import {
  endOf,
  endText,
  hasEnded,
  hasWorkerCrashed,
  isDone,
  isOutOfDisk,
  isRunning,
  isStripped,
  isWorkerDown,
  lostBy,
  reasonOf,
  reasonOfEvent,
  workerText,
  type Reason,
} from './pod-state.ts';

export interface SeenPodsOptions {
  readonly pipeline: string;
  /** As messages name them: `pods of edges in namespace ml of context gpu`. */
  readonly what: string;
  /** How long to wait for a first pod. */
  readonly pendingMs: number;
}

/** Without a pod that runs, such reasons end the job after this time, where that is less than the time to wait. */
const reasonMs: Readonly<Record<Reason['kind'], number>> = {
  place: Infinity,
  setup: Infinity,
  image: 120_000,
  worker: 60_000,
};
/** Pods that fail one after another, without a result in between, end the job. */
const failuresMax = 6;
/** How long after a launcher has gone its pod's end is waited for. */
const endMs = 10_000;
const lookMs = 100;

export class SeenPods {
  private readonly options: SeenPodsOptions;
  /** Undefined while pods wait for the next one. */
  private job: CrewJob | undefined;
  private readonly pods = new Map<string, KubeObject>();
  /** The last that was seen of pods that are gone, by uid. */
  private readonly gone = new Map<string, KubeObject>();
  /** Until when a pod that is being deleted may take, by uid. That of a node that is lost never ends. */
  private readonly leaving = new Map<string, number>();
  private readonly told = new Set<string>();
  /** What keeps pods from running, by the uid of a pod or of the Job. */
  private readonly reasons = new Map<string, Reason>();
  /** Since when there is one of a kind. */
  private readonly since = new Map<Reason['kind'], number>();
  private waitingSince = performance.now();
  private failures = 0;
  private lastFailure = '';
  private openBefore = Infinity;
  readonly losses = new Losses();
  /** Pods end because they are told to. */
  isEnding = false;
  /** Nobody knows what becomes of pods now. */
  isAway = false;

  constructor(job: CrewJob, options: SeenPodsOptions) {
    this.job = job;
    this.options = options;
  }

  /** Other pods come in the place of all that there were. */
  anew(): void {
    for (const [uid, pod] of this.pods) this.gone.set(uid, pod);
    this.pods.clear();
    this.leaving.clear();
    this.reasons.clear();
    this.isEnding = false;
  }

  /** A job uses the pods. */
  begin(job: CrewJob): void {
    if (this.job !== job) {
      this.failures = 0;
      this.openBefore = Infinity;
      this.losses.progress();
    }
    this.job = job;
    this.waitingSince = performance.now();
    this.since.clear();
  }

  /** No job uses them any more: nobody is told of them. */
  rest(): void {
    this.job = undefined;
    this.told.clear();
  }

  tell(line: string): void {
    this.job?.tell({ kind: 'note', line });
  }

  /** True for a pod of which nothing runs any more. */
  isGone(uid: string): boolean {
    return this.gone.has(uid);
  }

  /** Why the container with the launcher has gone; waits for a while until the cluster knows. */
  async whyLost(uid: string): Promise<LostBy> {
    let until = performance.now() + endMs;
    for (;;) {
      if (this.isAway) until = performance.now() + endMs;
      const pod = this.pods.get(uid) ?? this.gone.get(uid);
      const why = pod && lostBy(pod);
      if (why) return why;
      if (performance.now() >= until) return 'unknown';
      await sleep(lookMs);
    }
  }

  changed(isDeleted: boolean, pod: KubeObject): void {
    const { uid = '', name = '' } = pod.metadata;
    const isNew = !this.pods.has(uid);
    this.pods.set(uid, pod);
    if (isDeleted || hasEnded(pod)) return this.ended(pod);
    if (pod.metadata.deletionTimestamp !== undefined) this.leaves(pod);
    if (isNew && isStripped(pod)) {
      this.tellOnce(`pod ${name}: something in the cluster has changed our sidecar, or has taken it away`);
    }
    if (isRunning(pod)) this.reasons.delete(uid);
    else this.waits(uid, reasonOf(pod));
  }

  /** An event about one of the pods, or about the Job. */
  heard(uid: string, event: KubeObject): void {
    const pod = this.pods.get(uid);
    if (!pod || !isRunning(pod)) this.waits(uid, reasonOfEvent(event));
  }

  /** Throws when nothing has run for long enough. */
  judge(): void {
    const now = performance.now();
    const pods = [...this.pods.values()];
    const open = this.job?.open() ?? 0;
    if (open < this.openBefore) {
      this.failures = 0;
      this.losses.progress();
    }
    this.openBefore = open;
    if (this.failures >= failuresMax) throw this.failed(`they fail one after another: ${this.lastFailure}`);
    if (this.isAway || open === 0 || pods.some((pod) => isRunning(pod) && !this.isLate(pod))) {
      this.waitingSince = now;
      this.since.clear();
      return;
    }
    const down = pods.find(isWorkerDown);
    if (down && hasWorkerCrashed(down)) this.tellOnce(this.waitText(workerText(down)));
    const kinds = new Set([...this.reasons.values()].map(({ kind }) => kind));
    if (down) kinds.add('worker');
    for (const kind of this.since.keys()) if (!kinds.has(kind)) this.since.delete(kind);
    for (const kind of kinds) {
      const since = this.since.get(kind) ?? now;
      this.since.set(kind, since);
      if (now - since < Math.min(reasonMs[kind], this.options.pendingMs)) continue;
      throw this.failed(kind === 'worker' && down ? workerText(down) : this.textOf(kind));
    }
    if (now - this.waitingSince < this.options.pendingMs) return;
    throw this.failed(this.textOf() ?? (down && workerText(down)));
  }

  private ended(pod: KubeObject): void {
    const { uid = '', name = '' } = pod.metadata;
    this.pods.delete(uid);
    this.reasons.delete(uid);
    const isKnown = this.gone.has(uid);
    this.gone.set(uid, pod);
    if (isKnown || this.isEnding) return;
    if (!isDone(pod) && !this.leaving.delete(uid)) this.losses.add();
    if (endOf(pod) !== 'failed') return;
    // Whatever wrote too much writes it again: three times are enough.
    const hadTooMuch = isOutOfDisk(pod);
    this.failures += hadTooMuch ? failuresMax / 3 : 1;
    this.lastFailure = `${endText(pod)}${hadTooMuch ? ' resource_limits.disk says how much a datum may have' : ''}`;
    this.tell(`pod ${name}: ${this.lastFailure}`);
  }

  private leaves({ metadata: { uid = '', deletionGracePeriodSeconds = 0 } }: KubeObject): void {
    if (this.leaving.has(uid)) return;
    this.leaving.set(uid, performance.now() + deletionGracePeriodSeconds * 1000 + endMs);
    if (!this.isEnding) this.losses.add();
  }

  private isLate({ metadata: { uid = '' } }: KubeObject): boolean {
    return performance.now() >= (this.leaving.get(uid) ?? Infinity);
  }

  private waits(uid: string, reason: Reason | undefined): void {
    if (!reason) return;
    this.reasons.set(uid, reason);
    this.tellOnce(this.waitText(reason.text));
  }

  private waitText(why: string): string {
    return `${this.options.pipeline} waits for pods: ${why}`;
  }

  private tellOnce(line: string): void {
    if (!this.told.has(line)) this.tell(line);
    this.told.add(line);
  }

  private textOf(kind?: Reason['kind']): string | undefined {
    return [...this.reasons.values()].findLast((each) => kind === undefined || each.kind === kind)?.text;
  }

  private failed(why: string | undefined): PachError {
    const { what, pendingMs } = this.options;
    const nothing = `none has started in ${Math.round(pendingMs / 1000)} s, and the cluster does not say why`;
    return new PachError('failed', { what, why: why ?? nothing });
  }
}
