/**
 * The Job of a cluster that has the pods, from its making to its removal. Where pods are kept for a next
 * job of their pipeline, it outlives the job that it was made for.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isPachError, type PachError } from '../base/errors.ts';
import type { Cluster } from './client/cluster.ts';
import type { KubeObject } from './client/objects.ts';
import type { Change } from './client/watch.ts';
import { removeJob } from './removal.ts';
import type { SeenPods } from './seen-pods.ts';
import type { PodsMake } from './warm-pods.ts';

/** What is made in the cluster for a job. */
export interface JobObjects extends PodsMake {
  readonly job: KubeObject;
  /** What the Job owns: the credentials for the store, a network policy. */
  readonly owned: readonly KubeObject[];
  /** When nodes can have the images. */
  readonly arrived?: Promise<unknown>;
}

/** An API server that is away is asked again after this time. */
const awayMs = 1000;

export class PodsRound {
  readonly seen: SeenPods;
  private readonly cluster: Cluster;
  private readonly objects: JobObjects;
  private readonly stop = new AbortController();
  private readonly watching: Promise<void>;
  private pods: number;
  /** Those that have done their work. */
  private succeeded = 0;
  /** Lost ones that this Job never had. */
  private readonly lostBefore: number;
  private isRemoved = false;
  private isOver = false;
  private error: Error | undefined;

  private constructor(cluster: Cluster, seen: SeenPods, objects: JobObjects) {
    this.cluster = cluster;
    this.seen = seen;
    this.objects = objects;
    this.pods = podsOf(objects.job);
    seen.anew();
    this.lostBefore = seen.losses.due();
    this.watching = this.watch().catch((error: unknown) => {
      this.error = error instanceof Error ? error : new Error(String(error));
    });
  }

  /** Makes all of it, once the API server is there. Where that fails, nothing is left. */
  static async begin(
    cluster: Cluster,
    seen: SeenPods,
    { objects, signal }: { readonly objects: JobObjects; readonly signal: AbortSignal },
  ): Promise<PodsRound> {
    const round = new PodsRound(cluster, seen, objects);
    try {
      await round.make(signal);
      return round;
    } catch (error) {
      await round.end((line) => seen.tell(line));
      throw error;
    }
  }

  /** True once no pod of it runs, and none will. Throws what keeps it from being watched. */
  hasEnded(): boolean {
    if (this.error) throw this.error;
    return this.isOver;
  }

  /**
   * From now on there are at least so many pods, beside those that have ended and those that were lost a moment
   * ago; or later, where the API server is away. There are never fewer: Kubernetes would choose which ones end, and
   * pods without work end by themselves.
   */
  async grow(running: number): Promise<void> {
    const pods = this.succeeded + this.seen.losses.due() - this.lostBefore + running;
    if (pods <= this.pods) return;
    try {
      await this.cluster.patch({ kind: 'Job', name: this.name }, { spec: { parallelism: pods, completions: pods } });
      this.pods = pods;
    } catch (error) {
      // A Job that has just ended can't be changed; who watches it hears of that.
      if (!isPachError(error, 'unreachable', 'not-found', 'conflict', 'usage')) throw error;
    }
  }

  /** Removes it with its pods. Never rejects; what may be left is told. */
  async end(tell: (line: string) => void): Promise<void> {
    this.isRemoved = true;
    this.seen.isEnding = true;
    const left = await removeJob(this.cluster, this.name, this.objects.owned);
    if (left !== undefined) tell(left);
    this.stop.abort();
    await this.watching;
  }

  private get name(): string {
    return this.objects.job.metadata.name ?? '';
  }

  /** The credentials belong to the Job, so it comes first, and has no pods until they are there. */
  private async make(signal: AbortSignal): Promise<void> {
    const { cluster } = this;
    const { job, owned } = this.objects;
    if (owned.length === 0) return void (await this.create(job, signal));
    const made = await this.create({ ...job, spec: { ...(job.spec as object), parallelism: 0 } }, signal);
    const { name = '', uid } = made.metadata;
    const ownerReferences = [{ apiVersion: made.apiVersion, kind: made.kind, name, uid }];
    for (const object of owned) {
      await this.create({ ...object, metadata: { ...object.metadata, ownerReferences } }, signal);
    }
    await onceBack(signal, () => cluster.patch({ kind: 'Job', name }, { spec: { parallelism: this.pods } }));
  }

  /** Nobody else uses the names of a job's objects: what is there after the answer to a try was lost is that of the try. */
  private create(object: KubeObject, signal: AbortSignal): Promise<KubeObject> {
    const { cluster } = this;
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

  private async watch(): Promise<void> {
    const { cluster, seen, name } = this;
    const { signal } = this.stop;
    const away = (error: PachError | undefined): void => {
      seen.isAway = error !== undefined;
      seen.tell(error ? `${error.message}; pods go on without it` : 'the cluster answers again');
    };
    const pod = (change: Change, object: KubeObject): void => seen.changed(change === 'DELETED', object);
    const own = (change: Change, object: KubeObject): void => {
      this.succeeded = (object.status as { readonly succeeded?: number } | undefined)?.succeeded ?? 0;
      this.isOver ||= change === 'DELETED' || isOver(object);
      // A queue that takes its place away gives it back later, with pods for the same indexes.
      seen.isEnding = this.isRemoved || isSuspended(object);
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

/** Does it, and again each second for as long as the API server is away. */
async function onceBack<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted || !isPachError(error, 'unreachable')) throw error;
      await sleep(awayMs, undefined, { signal }).catch(() => undefined);
    }
  }
}

function podsOf({ spec }: KubeObject): number {
  return (spec as { readonly parallelism: number }).parallelism;
}

function isSuspended({ spec }: KubeObject): boolean {
  return (spec as { readonly suspend?: boolean }).suspend === true;
}

function isOver({ status }: KubeObject): boolean {
  const { conditions = [] } = (status ?? {}) as { conditions?: readonly { type: string; status: string }[] };
  return conditions.some(({ type, status: is }) => ['Complete', 'Failed'].includes(type) && is === 'True');
}
