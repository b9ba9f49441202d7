/**
 * The pods of one job in a cluster: an Indexed Job, made when there is something to run, and removed
 * when the job ends, whatever becomes of it. Pods hear from the store what they are to do; the
 * cluster says only whether they run, and why not.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { PachError } from '../base/errors.ts';
import type { Crew, CrewJob } from '../execution/store/crew.ts';
import type { Claim } from '../model/records/work.ts';
import { podUidOf } from '../pipelines/jobs/lease.ts';
import type { Cluster } from './client/cluster.ts';
import type { KubeObject } from './client/objects.ts';
import { removeJob } from './removal.ts';
import {
  endOf,
  endText,
  hasEnded,
  hasWorkerCrashed,
  isRunning,
  isStripped,
  isWorkerDown,
  reasonOf,
  reasonOfEvent,
  workerText,
  type Reason,
} from './pod-state.ts';

/** What is made in the cluster for a job. */
export interface JobObjects {
  readonly job: KubeObject;
  /** What the Job owns: the credentials for the store, a network policy. */
  readonly owned: readonly KubeObject[];
}

export interface JobPodsOptions {
  readonly cluster: Cluster;
  /** What is to be made for so many pods; each time under another name. */
  objects(job: CrewJob, pods: number): Promise<JobObjects>;
  /** Removes what an engine that died has left; resolves to the uids of its pods. */
  clear(): Promise<readonly string[]>;
  /** Pods at a time at most. */
  readonly podsMax: number;
  /** How long to wait for a first pod. */
  readonly pendingMs: number;
}

/** So long the first pods wait for the end of planning, which says how many are of use. */
const planningMs = 250;
const tickMs = 250;
/** Without a pod that runs, such reasons end the job after this time, where that is less than the time to wait. */
const reasonMs: Readonly<Record<Reason['kind'], number>> = {
  place: Infinity,
  setup: Infinity,
  image: 120_000,
  worker: 60_000,
};
/** Pods that fail one after another, without a result in between, end the job. */
const failuresMax = 6;

export class JobPods implements Crew {
  private readonly options: JobPodsOptions;
  private readonly pods = new Map<string, KubeObject>();
  private readonly gone = new Set<string>();
  private readonly told = new Set<string>();
  /** What keeps pods from running now, by pod or event, and since when it does so. */
  private readonly reasons = new Map<string, Reason>();
  private readonly since = new Map<Reason['kind'], number>();
  private waitingSince = performance.now();
  private failures = 0;
  private openBefore = Infinity;
  private isRemoving = false;
  hasBegun = false;

  constructor(options: JobPodsOptions) {
    this.options = options;
  }

  isGone({ worker }: Claim): boolean {
    return this.gone.has(podUidOf(worker) ?? '');
  }

  async run(job: CrewJob, signal: AbortSignal): Promise<void> {
    this.hasBegun = true;
    for (const uid of await this.options.clear()) this.gone.add(uid);
    const planned = performance.now() + planningMs;
    while (!job.isPlanned() && performance.now() < planned && !signal.aborted) await pause(signal, planningMs / 10);
    // Pods end where no work is left for them. A claim that was freed may be work for others again.
    while (!signal.aborted) {
      const { podsMax } = this.options;
      const count = job.isPlanned() ? Math.min(podsMax, job.open()) : podsMax;
      if (count > 0) await this.round(job, count, signal);
      else await pause(signal, tickMs);
    }
  }

  /** One Job of the cluster, from its making to its end. */
  private async round(job: CrewJob, count: number, signal: AbortSignal): Promise<void> {
    const objects = await this.options.objects(job, count);
    const stop = new AbortController();
    const round: Round = { hasEnded: false };
    const watching = this.watch(job, objects, { round, signal: stop.signal }).catch(
      (error: unknown) => (round.error = error instanceof Error ? error : new Error(String(error))),
    );
    this.isRemoving = false;
    try {
      await this.make(objects);
      this.waitingSince = performance.now();
      while (!signal.aborted) {
        if (round.error) throw round.error;
        if (round.hasEnded && job.open() > 0) break;
        this.judge(job);
        await pause(signal, tickMs);
      }
    } finally {
      await this.remove(job, objects).finally(() => stop.abort());
      await watching;
    }
  }

  /** The credentials belong to the Job, so it comes first, and has no pods until they are there. */
  private async make({ job, owned }: JobObjects): Promise<void> {
    const { cluster } = this.options;
    const { parallelism } = job.spec as { readonly parallelism: number };
    if (owned.length === 0) return void (await cluster.create(job));
    const made = await cluster.create({ ...job, spec: { ...(job.spec as object), parallelism: 0 } });
    const { name = '', uid } = made.metadata;
    const ownerReferences = [{ apiVersion: made.apiVersion, kind: made.kind, name, uid }];
    for (const object of owned) {
      await cluster.create({ ...object, metadata: { ...object.metadata, ownerReferences } });
    }
    await cluster.patch({ kind: 'Job', name }, { spec: { parallelism } });
  }

  private async watch(
    job: CrewJob,
    objects: JobObjects,
    { round, signal }: { readonly round: Round; readonly signal: AbortSignal },
  ): Promise<void> {
    const { cluster } = this.options;
    const name = objects.job.metadata.name ?? '';
    const away = (error: PachError | undefined): void => {
      job.tell({ kind: 'note', line: error ? `${error.message}; pods go on without it` : 'the cluster answers again' });
    };
    const pods = cluster.watch(
      'Pod',
      { labels: `job-name=${name}` },
      {
        each: (change, pod) => this.seen(change === 'DELETED', pod, job),
        away,
        signal,
      },
    );
    const ends = cluster.watch(
      'Job',
      { fields: `metadata.name=${name}` },
      {
        each: (_, seen) => (round.hasEnded ||= isOver(seen)),
        signal,
      },
    );
    const events = cluster.watch(
      'Event',
      { fields: 'type=Warning' },
      {
        each: (change, event) => {
          const { involvedObject: about } = event as unknown as { involvedObject: { name?: string; uid?: string } };
          const isOurs = about.name === name || this.pods.has(about.uid ?? '');
          if (change !== 'DELETED' && isOurs) this.reason(about.uid ?? '', reasonOfEvent(event), job);
        },
        signal,
      },
    );
    await Promise.all([pods, ends, events]);
  }

  private seen(isDeleted: boolean, pod: KubeObject, job: CrewJob): void {
    const { uid = '', name = '' } = pod.metadata;
    const before = this.pods.get(uid);
    if (isDeleted) this.pods.delete(uid);
    else this.pods.set(uid, pod);
    if (isDeleted || hasEnded(pod)) {
      this.reasons.delete(uid);
      if (this.gone.has(uid)) return;
      this.gone.add(uid);
      if (endOf(pod) === 'failed' && !this.isRemoving) {
        this.failures += 1;
        job.tell({ kind: 'note', line: `pod ${name}: ${endText(pod)}` });
      }
      return;
    }
    if (isStripped(pod) && before === undefined) {
      this.tellOnce(
        job,
        `pod ${name}: something in the cluster has changed our sidecar into an ordinary init container`,
      );
    }
    if (isRunning(pod)) this.reasons.delete(uid);
    else this.reason(uid, reasonOf(pod), job);
  }

  private reason(uid: string, reason: Reason | undefined, job: CrewJob): void {
    if (!reason) return;
    this.reasons.set(uid, reason);
    this.tellOnce(job, `${job.spec.name} waits for pods: ${reason.text}`);
  }

  private tellOnce(job: CrewJob, line: string): void {
    if (this.told.has(line)) return;
    this.told.add(line);
    job.tell({ kind: 'note', line });
  }

  /** Throws when it has been long enough without a pod that runs. */
  private judge(job: CrewJob): void {
    const now = performance.now();
    const pods = [...this.pods.values()];
    const running = pods.some((pod) => isRunning(pod) && !hasEnded(pod));
    const open = job.open();
    if (open < this.openBefore) this.failures = 0;
    this.openBefore = open;
    if (this.failures >= failuresMax) throw this.failed(job, `${this.failures} pods failed, one after another`);
    if (running || open === 0) {
      this.waitingSince = now;
      this.since.clear();
      return;
    }
    const down = pods.find((pod) => !hasEnded(pod) && isWorkerDown(pod));
    const crashed = pods.find((pod) => !hasEnded(pod) && hasWorkerCrashed(pod));
    if (crashed) this.tellOnce(job, `${job.spec.name} waits for pods: ${workerText(crashed)}`);
    const kinds = new Set([...this.reasons.values()].map(({ kind }) => kind));
    if (down) kinds.add('worker');
    for (const kind of kinds) if (!this.since.has(kind)) this.since.set(kind, now);
    for (const [kind, since] of this.since) {
      if (!kinds.has(kind)) this.since.delete(kind);
      else if (now - since >= Math.min(reasonMs[kind], this.options.pendingMs)) {
        const reason = kind === 'worker' && down ? workerText(down) : this.textOf(kind);
        throw this.failed(job, reason);
      }
    }
    if (now - this.waitingSince >= this.options.pendingMs) {
      throw this.failed(job, this.textOf() ?? 'the cluster does not say why');
    }
  }

  private textOf(kind?: Reason['kind']): string | undefined {
    return [...this.reasons.values()].findLast((each) => kind === undefined || each.kind === kind)?.text;
  }

  private failed(job: CrewJob, why: string | undefined): PachError {
    const { cluster, pendingMs } = this.options;
    return new PachError('failed', {
      what: `pods of ${job.spec.name} in namespace ${cluster.namespace} of context ${cluster.context}`,
      why: why ?? `none has started in ${Math.round(pendingMs / 1000)} s`,
    });
  }

  /** Removes the Job and waits until its pods are gone; tells where that takes too long. Never rejects. */
  private async remove(job: CrewJob, { job: object, owned }: JobObjects): Promise<void> {
    this.isRemoving = true;
    const left = await removeJob(this.options.cluster, object.metadata.name ?? '', owned);
    if (left !== undefined) job.tell({ kind: 'note', line: left });
    for (const uid of this.pods.keys()) this.gone.add(uid);
    this.pods.clear();
    this.reasons.clear();
  }
}

/** What is heard of a Job of the cluster. */
interface Round {
  hasEnded: boolean;
  error?: Error;
}

function isOver({ status }: KubeObject): boolean {
  const { conditions = [] } = (status ?? {}) as { conditions?: readonly { type: string; status: string }[] };
  return conditions.some(({ type, status: is }) => ['Complete', 'Failed'].includes(type) && is === 'True');
}

async function pause(signal: AbortSignal, ms: number): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
