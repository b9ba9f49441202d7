/**
 * The pods of one job in a cluster: an Indexed Job, made when there is something to run, and removed
 * when the job ends, whatever becomes of it. Pods hear from the store what they are to do; the
 * cluster says only whether they run, and why not.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Crew, CrewJob, LostBy } from '../execution/store/crew.ts';
import type { Claim } from '../model/records/work.ts';
import { podUidOf } from '../pipelines/jobs/lease.ts';
import type { Cluster } from './client/cluster.ts';
import { PodsRound, type JobObjects } from './pods-round.ts';
import { preflight } from './preflight.ts';
import { SeenPods } from './seen-pods.ts';
import type { WarmPods } from './warm-pods.ts';

export interface JobPodsOptions {
  readonly cluster: Cluster;
  /** What is to be made for so many pods; each time under another name. */
  readonly objects: (job: CrewJob, pods: number) => Promise<JobObjects>;
  /** Removes what an engine that died has left; resolves to the uids of its pods. */
  readonly clear: () => Promise<readonly string[]>;
  /** Pods at a time at most. */
  readonly podsMax: number;
  /** How long to wait for a first pod. */
  readonly pendingMs: number;
  /** Where pods wait for the next job of the pipeline. */
  readonly warm?: WarmPods | undefined;
}

/** So long the first pods wait for the end of planning, which says how many are of use. */
const planningMs = 250;
const tickMs = 250;

export class JobPods implements Crew {
  private readonly options: JobPodsOptions;
  /** Uids of pods that an engine before this one had, and that are gone. */
  private readonly before = new Set<string>();
  private seen: SeenPods | undefined;
  hasBegun = false;

  constructor(options: JobPodsOptions) {
    this.options = options;
  }

  get workersMax(): number {
    return this.options.podsMax;
  }

  isGone({ worker }: Claim): boolean {
    const uid = podUidOf(worker);
    return uid !== undefined && (this.before.has(uid) || (this.seen?.isGone(uid) ?? false));
  }

  async whyLost(worker: string): Promise<LostBy> {
    return (await this.seen?.whyLost(podUidOf(worker) ?? '')) ?? 'unknown';
  }

  async run(job: CrewJob, signal: AbortSignal): Promise<void> {
    const { podsMax, warm } = this.options;
    this.hasBegun = true;
    const until = performance.now() + (warm?.areThere ? 0 : planningMs);
    const isPlanned = async (): Promise<void> => {
      while (!job.isPlanned() && performance.now() < until && !signal.aborted) await pause(signal, planningMs / 10);
    };
    // Pods end where no work is left for them. A claim that was freed may be work for others again.
    for (let isFirst = true; !signal.aborted; isFirst = false) {
      // What is of use is known when all is planned; what pods are made of, before.
      const first = isFirst ? await this.options.objects(job, podsMax) : undefined;
      const kept = first && (await warm?.take(job.job, first));
      if (kept) await this.stay(job, kept, signal);
      else {
        await Promise.all([first && this.ready(job, first), first?.arrived, isPlanned()]);
        while (this.hasToWait(job) && !signal.aborted) await pause(signal, tickMs);
        if (signal.aborted) return;
        const objects = await this.options.objects(job, this.count(job));
        await objects.arrived;
        await this.stay(job, await this.begin(job, objects, signal), signal);
      }
    }
  }

  /** Tries what the cluster says of such pods, and removes what engines that died have left there. */
  private async ready(job: CrewJob, { job: made, owned }: JobObjects): Promise<void> {
    const cleared = this.options.clear();
    cleared.catch(() => undefined); // what the cluster says comes before it
    for (const line of await preflight(this.options.cluster, [made, ...owned])) job.tell({ kind: 'note', line });
    for (const uid of await cleared) this.before.add(uid);
  }

  /** How many pods are of use now: a shard for each. There may be more of them while datums are planned. */
  private count(job: CrewJob): number {
    return Math.min(this.options.podsMax, job.shards());
  }

  private hasToWait(job: CrewJob): boolean {
    return this.count(job) === 0 || this.seen?.losses.isPausing === true;
  }

  private begin(job: CrewJob, objects: JobObjects, signal: AbortSignal): Promise<PodsRound> {
    const { cluster, pendingMs, warm } = this.options;
    const what = `pods of ${job.spec.name} in namespace ${cluster.namespace} of context ${cluster.context}`;
    const seen = this.seen ?? new SeenPods(job, { pipeline: job.spec.name, what, pendingMs });
    const begin = (): Promise<PodsRound> => PodsRound.begin(cluster, seen, { objects, signal });
    return warm ? warm.begin(job.job, objects, begin) : begin();
  }

  /** Until the job has ended, or no pod is left. */
  private async stay(job: CrewJob, round: PodsRound, signal: AbortSignal): Promise<void> {
    const { warm } = this.options;
    const { seen } = round;
    const tell = (line: string): void => job.tell({ kind: 'note', line });
    this.seen = seen;
    seen.begin(job);
    let isSound = false;
    try {
      while (!signal.aborted) {
        if (round.hasEnded() && job.open() > 0) break;
        await round.grow(this.count(job));
        seen.judge();
        await pause(signal, tickMs);
      }
      isSound = signal.aborted && !round.hasEnded();
    } finally {
      if (!warm) await round.end(tell);
      else if (isSound) seen.rest();
      else await warm.drop(tell);
    }
  }
}

async function pause(signal: AbortSignal, ms: number): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
