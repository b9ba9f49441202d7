/**
 * A pool of pods: a job's datums go through the store as those of every other worker elsewhere, and the
 * cluster brings the workers.
 */
import { randomBytes } from 'node:crypto';
import { assert, PachError } from '../base/errors.ts';
import type { CrewJob } from '../execution/store/crew.ts';
import { clearOrders, hasOrders } from '../execution/store/orders.ts';
import { StorePool } from '../execution/store/store-pool.ts';
import { warmTimes } from '../execution/store/times.ts';
import type { Pool, PoolJob } from '../execution/pool.ts';
import { writtenBytesMax } from '../execution/workers/slot.ts';
import { pfsInputs } from '../pipelines/spec/input.ts';
import { maybeJob } from '../pipelines/jobs/jobs.ts';
import type { JobId } from '../model/records/pipelines.ts';
import { podFields } from '../pipelines/spec/pod.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import type { Project } from '../versions/project.ts';
import type { Cluster } from './client/cluster.ts';
import type { KubeObject } from './client/objects.ts';
import { JobPods } from './job-pods.ts';
import {
  pipelineSelector,
  podLabels,
  podsName,
  warmLabel,
  type Credentials,
  type MountRights,
  type NodeCache,
  type PodsPlan,
} from './objects/plan.ts';
import { podObjects } from './objects/pods.ts';
import type { JobObjects } from './pods-round.ts';
import { removeJob } from './removal.ts';
import type { WarmPods } from './warm-pods.ts';

/** The names by which nodes have the images of a pod. */
export interface PodImages extends Pick<PodsPlan, 'image' | 'imageUser' | 'workerImage'> {
  /** When nodes can have them. */
  readonly arrived: Promise<unknown>;
}

export interface KubernetesPoolOptions {
  readonly cluster: Cluster;
  readonly project: Project;
  /** Pods at a time at most. */
  readonly podsMax: number;
  readonly store: PodsPlan['store'];
  /** Of the nodes. */
  readonly platform: PodsPlan['platform'];
  /** Sees to it that nodes get the images, and says by which names; asked when there is something to run. */
  images(): Promise<PodImages>;
  /** How pods prove themselves to the store; `values` are put into a Secret of the job's own. */
  readonly credentials: Credentials | { readonly kind: 'values'; readonly values: Readonly<Record<string, string>> };
  /** What lets pods mount large and lazy inputs, if anything does. */
  readonly mounts: MountRights | undefined;
  readonly nodeCache: NodeCache | undefined;
  /** How long to wait for a first pod. */
  readonly pendingMs: number;
  /** Pods that wait for the next job of the pipeline; undefined where they end with a job. */
  readonly warm?: WarmPods | undefined;
  /** What pods are set up with once, beside what their objects show. */
  readonly setup?: unknown;
}

const warmBytesMin = 64 * 2 ** 20;

export class KubernetesPool implements Pool {
  private readonly options: KubernetesPoolOptions;

  constructor(options: KubernetesPoolOptions) {
    this.options = options;
  }

  async run(job: PoolJob): Promise<void> {
    const { cluster, project, podsMax, pendingMs, warm } = this.options;
    const pods = new JobPods({
      cluster,
      podsMax,
      pendingMs,
      warm,
      objects: (crewJob, count) => this.objects(crewJob, count),
      clear: () => this.clear(job),
    });
    await new StorePool(project, warm && warmTimes, pods).run(job);
    // With nothing to run, nobody else has looked; what is left now is found the next time.
    if (!pods.hasBegun) await this.clear(job).catch(() => undefined);
  }

  private async objects({ job, spec, datumBytesMax }: CrewJob, pods: number): Promise<JobObjects> {
    const { cluster, project, credentials, store, platform, warm, setup } = this.options;
    const { namespace } = cluster;
    const name = `${podsName({ pipeline: spec.name, job })}-${randomBytes(2).toString('hex')}`;
    const isOwn = credentials.kind === 'values';
    const mayMount = datumBytesMax() > writtenBytesMax || pfsInputs(spec.input).some(({ lazy }) => lazy);
    const mounts = mayMount ? this.options.mounts : undefined;
    if (!mounts) checkDisk(spec, datumBytesMax());
    const { arrived, ...images } = await this.options.images();
    const plan: PodsPlan = {
      ...images,
      pullPolicy: 'IfNotPresent',
      store,
      platform,
      name,
      namespace,
      job,
      project: project.options.name,
      pipeline: { name: spec.name, spec },
      credentials: isOwn ? { kind: 'secret', name } : credentials,
      pods,
      mounts,
      nodeCache: mounts && this.options.nodeCache,
      datumBytesMax: warm ? roomFor(datumBytesMax()) : datumBytesMax(),
      isWarm: warm !== undefined,
    };
    const [made, ...policies] = podObjects(plan);
    assert(made, 'a plan makes a Job');
    const owned = [...policies, ...(isOwn ? [secretOf(plan, credentials.values)] : [])];
    return { plan, setup, job: made, owned, arrived };
  }

  /** Removes the Jobs of engines that died: those of this job, and of others of the pipeline that do not run. */
  private async clear({ job, spec }: PoolJob): Promise<string[]> {
    const { cluster, project, store } = this.options;
    await clearOrders(project);
    const labels = pipelineSelector({ store, project: project.options.name, pipeline: spec });
    const found = await cluster.list('Job', { labels });
    const snapshot = found.length > 0 ? await project.snapshot() : undefined;
    const uids: string[] = [];
    for (const { metadata } of found) {
      const of = metadata.labels?.['pachmount.io/job'] as JobId | undefined;
      // Those that wait for a next job are their engine's while that lives.
      if (of !== undefined && warmLabel in (metadata.labels ?? {}) && (await hasOrders(project, of))) continue;
      if (of !== job && of !== undefined && snapshot && (await maybeJob(snapshot, of))?.state === 'running') continue;
      const name = metadata.name ?? '';
      const left = await cluster.list('Pod', { labels: `job-name=${name}` });
      uids.push(...left.flatMap((pod) => pod.metadata.uid ?? []));
      await removeJob(cluster, name, []);
    }
    return uids;
  }
}

/** Throws `usage` where a datum can't even be read. */
function checkDisk(spec: PipelineSpec, datumBytesMax: number): void {
  const { diskBytes = Infinity } = podFields(spec).limits;
  if (datumBytesMax <= diskBytes) return;
  throw new PachError('usage', {
    what: `pipeline ${spec.name}: resource_limits.disk`,
    why: `a datum has ${datumBytesMax} bytes of input, and a pod may have ${diskBytes} on its disk`,
    next: 'raise it, or leave it out',
  });
}

/** A next job's datums may be somewhat larger: pods do not change their room. */
function roomFor(bytes: number): number {
  return Math.max(warmBytesMin, 2 ** Math.ceil(Math.log2(bytes + 1)));
}

function secretOf(plan: PodsPlan, values: Readonly<Record<string, string>>): KubeObject {
  const { name, namespace } = plan;
  const metadata = { name, namespace, labels: podLabels(plan) };
  return { apiVersion: 'v1', kind: 'Secret', metadata, type: 'Opaque', stringData: values };
}
