/**
 * The pods of one job in a cluster: an Indexed Job, made when there is something to run, and removed
 * when the job ends, whatever becomes of it. Pods hear from the store what they are to do; the
 * cluster says only whether they run, and why not.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isPachError, type PachError } from '../base/errors.ts';
import type { Crew, CrewJob, LostBy } from '../execution/store/crew.ts';
import type { Claim } from '../model/records/work.ts';
import { podUidOf } from '../pipelines/jobs/lease.ts';
import type { Cluster } from './client/cluster.ts';
import type { KubeObject } from './client/objects.ts';
import type { Change } from './client/watch.ts';
import { preflight } from './preflight.ts';
import { removeJob } from './removal.ts';
import { SeenPods } from './seen-pods.ts';

/** What is made in the cluster for a job. */
export interface JobObjects {
  readonly job: KubeObject;
  /** What the Job owns: the credentials for the store, a network policy. */
  readonly owned: readonly KubeObject[];
}

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
}

/** So long the first pods wait for the end of planning, which says how many are of use. */
const planningMs = 250;
const tickMs = 250;
/** An API server that is away is asked again after this time. */
const awayMs = 1000;

export class JobPods implements Crew {
  private readonly options: JobPodsOptions;
  /** Uids of pods that an engine before this one had, and that are gone. */
  private readonly before = new Set<string>();
  private seen: SeenPods | undefined;
  hasBegun = false;

  constructor(options: JobPodsOptions) {
    this.options = options;
  }

  isGone({ worker }: Claim): boolean {
    const uid = podUidOf(worker);
    return uid !== undefined && (this.before.has(uid) || (this.seen?.isGone(uid) ?? false));
  }

  async whyLost(worker: string): Promise<LostBy> {
    return (await this.seen?.whyLost(podUidOf(worker) ?? '')) ?? 'unknown';
  }

  async run(job: CrewJob, signal: AbortSignal): Promise<void> {
    const { cluster, clear, podsMax, pendingMs } = this.options;
    this.hasBegun = true;
    const what = `pods of ${job.spec.name} in namespace ${cluster.namespace} of context ${cluster.context}`;
    const seen = new SeenPods(job, { what, pendingMs });
    this.seen = seen;
    const planned = performance.now() + planningMs;
    while (!job.isPlanned() && performance.now() < planned && !signal.aborted) await pause(signal, planningMs / 10);
    // Pods end where no work is left for them. A claim that was freed may be work for others again.
    for (let rounds = 0; !signal.aborted;) {
      const count = job.isPlanned() ? Math.min(podsMax, job.open()) : podsMax;
      if (count === 0) {
        await pause(signal, tickMs);
        continue;
      }
      const objects = await this.options.objects(job, count);
      if (rounds === 0) {
        for (const line of await preflight(cluster, [objects.job, ...objects.owned])) job.tell({ kind: 'note', line });
        for (const uid of await clear()) this.before.add(uid);
      }
      await this.round(job, seen, { objects, signal });
      rounds += 1;
    }
  }

  /** One Job of the cluster, from its making to its end. */
  private async round(
    job: CrewJob,
    seen: SeenPods,
    { objects, signal }: { readonly objects: JobObjects; readonly signal: AbortSignal },
  ): Promise<void> {
    const stop = new AbortController();
    const round: Round = { name: objects.job.metadata.name ?? '', hasEnded: false };
    const watching = this.watch(job, seen, { round, signal: stop.signal }).catch(
      (error: unknown) => (round.error = error instanceof Error ? error : new Error(String(error))),
    );
    seen.isEnding = false;
    try {
      await this.make(objects, signal);
      while (!signal.aborted) {
        if (round.error) throw round.error;
        if (round.hasEnded && job.open() > 0) break;
        seen.judge();
        await pause(signal, tickMs);
      }
    } finally {
      seen.isEnding = true;
      const left = await removeJob(this.options.cluster, round.name, objects.owned);
      if (left !== undefined) job.tell({ kind: 'note', line: left });
      stop.abort();
      await watching;
    }
  }

  /** The credentials belong to the Job, so it comes first, and has no pods until they are there. */
  private async make({ job, owned }: JobObjects, signal: AbortSignal): Promise<void> {
    const { cluster } = this.options;
    const { parallelism } = job.spec as { readonly parallelism: number };
    if (owned.length === 0) return void (await this.create(job, signal));
    const made = await this.create({ ...job, spec: { ...(job.spec as object), parallelism: 0 } }, signal);
    const { name = '', uid } = made.metadata;
    const ownerReferences = [{ apiVersion: made.apiVersion, kind: made.kind, name, uid }];
    for (const object of owned) {
      await this.create({ ...object, metadata: { ...object.metadata, ownerReferences } }, signal);
    }
    await onceBack(signal, () => cluster.patch({ kind: 'Job', name }, { spec: { parallelism } }));
  }

  /** Nobody else uses the names of a job's objects: what is there after the answer to a try was lost is that of the try. */
  private create(object: KubeObject, signal: AbortSignal): Promise<KubeObject> {
    const { cluster } = this.options;
    let hasFailed = false;
    return onceBack(signal, async () => {
      try {
        return await cluster.create(object);
      } catch (error) {
        const isThere = hasFailed && isPachError(error, 'conflict');
        hasFailed = true;
        if (!isThere) throw error;
        // The right to get one is not asked of users.
        const found =
          object.kind === 'Job' ? await cluster.list('Job', { fields: `metadata.name=${object.metadata.name}` }) : [];
        return found[0] ?? object;
      }
    });
  }

  private async watch(
    job: CrewJob,
    seen: SeenPods,
    { round, signal }: { readonly round: Round; readonly signal: AbortSignal },
  ): Promise<void> {
    const { cluster } = this.options;
    const { name } = round;
    const away = (error: PachError | undefined): void => {
      seen.isAway = error !== undefined;
      job.tell({ kind: 'note', line: error ? `${error.message}; pods go on without it` : 'the cluster answers again' });
    };
    const pod = (change: Change, object: KubeObject): void => seen.changed(change === 'DELETED', object);
    const own = (_: Change, object: KubeObject): void => {
      round.hasEnded ||= isOver(object);
    };
    const event = (change: Change, object: KubeObject): void => {
      const { involvedObject: about } = object as unknown as { involvedObject: { name?: string; uid?: string } };
      // A pod may be told of later than what happens to it.
      const isOurs = about.name === name || about.name?.startsWith(`${name}-`);
      if (change !== 'DELETED' && isOurs) seen.heard(about.uid ?? '', object);
    };
    await Promise.all([
      cluster.watch('Pod', { labels: `job-name=${name}` }, { each: pod, away, signal }),
      cluster.watch('Job', { fields: `metadata.name=${name}` }, { each: own, signal }),
      cluster.watch('Event', { fields: 'type=Warning' }, { each: event, signal }),
    ]);
  }
}

/** What is heard of a Job of the cluster. */
interface Round {
  readonly name: string;
  hasEnded: boolean;
  error?: Error;
}

function isOver({ status }: KubeObject): boolean {
  const { conditions = [] } = (status ?? {}) as { conditions?: readonly { type: string; status: string }[] };
  return conditions.some(({ type, status: is }) => ['Complete', 'Failed'].includes(type) && is === 'True');
}

/** Does it, and again each second for as long as the API server is away. */
async function onceBack<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted || !isPachError(error, 'unreachable')) throw error;
      await pause(signal, awayMs);
    }
  }
}

async function pause(signal: AbortSignal, ms: number): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
