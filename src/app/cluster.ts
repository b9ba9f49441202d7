/**
 * Running pipelines in pods of a Kubernetes cluster, with this machine's kubeconfig. Work goes through
 * the store, so it must be one that pods reach.
 */
import { PachError } from '../base/errors.ts';
import type { BuildWatch } from '../execution/executor.ts';
import type { Pool } from '../execution/pool.ts';
import { parseRegistry } from '../images/name.ts';
import { ownPlatform, parsePlatform } from '../images/platform.ts';
import { Cluster } from '../kubernetes/client/cluster.ts';
import { KubernetesExecutor } from '../kubernetes/executor.ts';
import { pinnedImage } from '../kubernetes/promotion/pinned.ts';
import { mountRights } from '../kubernetes/objects/plan.ts';
import { KubernetesPool, type KubernetesPoolOptions } from '../kubernetes/pool.ts';
import { WarmPods } from '../kubernetes/warm-pods.ts';
import type { ClusterFields } from '../local/config.ts';
import { codeEntries } from '../pipelines/pipelines.ts';
import { s3Access } from '../store/s3/access.ts';
import { isS3 } from '../store/s3/url.ts';
import type { Project } from '../versions/project.ts';
import { ClusterImages } from './cluster-images.ts';
import { withBuiltImage } from './executors.ts';
import type { JobSession, Prepared } from './job-session.ts';
import type { OpenProject } from './open.ts';
import type { PoolRequest, RunPipeline, SessionRequest } from './run-session.ts';
import { Secrets } from './secrets.ts';
import type { Settings } from './settings.ts';
import { nodeCacheOf } from './node-cache.ts';
import { storeIdentityOf } from './store-identity.ts';

/** Which cluster, and how it is used. */
export interface ClusterChoice extends ClusterFields {
  /** How long to wait for a first pod. */
  readonly pendingMs: number;
}

/** What pods need to reach the store. */
type StoreAccess = Pick<KubernetesPoolOptions, 'credentials'> & { readonly store: KubernetesPoolOptions['store'] };

export function clusterExecutor(
  { docker, dockerConfig = '' }: Settings,
  note: (line: string) => void,
  { imageRegistry, platform }: Pick<ClusterFields, 'imageRegistry' | 'platform'>,
): KubernetesExecutor {
  const plainHttp = imageRegistry === undefined ? [] : parseRegistry(imageRegistry).plainHttp;
  return new KubernetesExecutor({
    docker: { host: docker },
    registries: { dockerConfig, plainHttp },
    platform: platform === undefined ? ownPlatform() : parsePlatform(platform),
    note,
  });
}

export class ClusterSession implements JobSession {
  readonly executor: KubernetesExecutor;
  readonly settings: Settings;
  readonly secrets: Secrets;
  readonly project: Project;
  private readonly cluster: Cluster;
  private readonly choice: ClusterChoice;
  private readonly access: StoreAccess;
  private readonly images: ClusterImages;
  /** By pipeline; undefined where pods end with their job. */
  private readonly warm: Map<string, WarmPods> | undefined;

  private constructor(
    settings: Settings,
    opened: OpenProject,
    of: Pick<ClusterSession, 'executor' | 'secrets'> & {
      readonly cluster: Cluster;
      readonly choice: ClusterChoice;
      readonly access: StoreAccess;
      readonly keepsPods: boolean;
    },
  ) {
    this.settings = settings;
    this.project = opened.project;
    ({ executor: this.executor, secrets: this.secrets, cluster: this.cluster } = of);
    ({ choice: this.choice, access: this.access } = of);
    this.images = new ClusterImages(settings, of.choice, of.executor);
    this.warm = of.keepsPods ? new Map<string, WarmPods>() : undefined;
  }

  /** Throws `usage` for a store that no pod reaches, before anything is asked of the cluster. */
  static async open(
    settings: Settings,
    opened: OpenProject,
    {
      cluster: choice,
      note,
      secretsFrom,
      keepsPods = false,
    }: Pick<SessionRequest, 'secretsFrom' | 'keepsPods'> & {
      readonly cluster: ClusterChoice;
      readonly note: (line: string) => void;
    },
  ): Promise<ClusterSession> {
    if (secretsFrom.length > 0) {
      throw new PachError('usage', {
        what: '--secrets-from',
        why: 'pods take secrets from their namespace, where values never pass through this machine',
        next: 'kubectl create secret generic NAME --from-env-file .env',
      });
    }
    const access = await storeAccess(settings, opened, choice);
    const { context, namespace } = choice;
    const cluster = await Cluster.open({ kubeconfig: settings.kubeconfig, context, namespace });
    const executor = clusterExecutor(settings, note, choice);
    const secrets = await Secrets.open(settings, []);
    return new ClusterSession(settings, opened, { executor, secrets, cluster, choice, access, keepsPods });
  }

  /** Builds images that are built here, and takes those that were promoted as they are. Secrets are those of the namespace. */
  async prepare<P extends Prepared>(pipelines: readonly P[], watch: BuildWatch): Promise<P[]> {
    const prepared: P[] = [];
    for (const pipeline of pipelines) {
      const { spec, pinned } = pipeline;
      if (pinned !== undefined) {
        const image = pinnedImage(pinned, spec.name);
        this.executor.pin(image);
        prepared.push({ ...pipeline, spec: { ...spec, transform: { ...spec.transform, image: image.name } } });
        continue;
      }
      prepared.push({ ...pipeline, spec: await withBuiltImage(this.executor, pipeline.spec, watch) });
    }
    return prepared;
  }

  async pool(pipeline: RunPipeline, { workers }: PoolRequest): Promise<Pool> {
    const { cluster, project, access, images, choice, executor } = this;
    const { spec } = pipeline;
    const warm = this.warmOf(pipeline.name);
    return new KubernetesPool({
      cluster,
      project,
      podsMax: workers,
      store: access.store,
      platform: executor.platform,
      images: () => images.forPods(spec.transform.image),
      credentials: access.credentials,
      mounts: choice.podsMount === undefined ? undefined : mountRights(choice.podsMount),
      nodeCache: choice.nodeCache === undefined ? undefined : nodeCacheOf(choice.nodeCache),
      pendingMs: choice.pendingMs,
      ...(warm && { warm, setup: await this.setupOf(pipeline) }),
    });
  }

  async rest(pipeline: string): Promise<void> {
    await this.warm?.get(pipeline)?.drop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...(this.warm?.values() ?? [])].map((each) => each[Symbol.asyncDispose]()));
    this.cluster[Symbol.dispose]();
    await this.executor[Symbol.asyncDispose]();
  }

  private warmOf(pipeline: string): WarmPods | undefined {
    const warm = this.warm?.get(pipeline) ?? (this.warm && new WarmPods(this.project));
    if (warm) this.warm?.set(pipeline, warm);
    return warm;
  }

  /** What a pod can be set up with once, beside what its manifest says: a file of code does not become a folder there. */
  private async setupOf(pipeline: RunPipeline): Promise<unknown> {
    const { transform, devLimits } = pipeline.spec;
    const [entries, { fingerprint }] = await Promise.all([
      codeEntries(this.project.reader, pipeline),
      this.executor.image(transform.image),
    ]);
    const kinds = entries.map(({ kind }) => kind);
    return { kinds, fingerprint, workingDir: transform.workingDir, processesMax: devLimits.processesMax };
  }
}

/** Throws `usage` for a store that pods can't reach, `denied` where this machine has no credentials for it. */
export async function storeAccess(
  { storeUrl }: Settings,
  { storeId: id }: OpenProject,
  { storeInCluster, storeSecret, storeIdentity }: ClusterChoice,
): Promise<StoreAccess> {
  const url = storeInCluster ?? storeUrl;
  const hidden = await hiddenFromPods(url);
  if (hidden !== undefined) throw unreachableFromPods(url, hidden, storeInCluster !== undefined);
  const { endpoint, region, accessKeyId, secretAccessKey, sessionToken } = await s3Access(url);
  const env = { AWS_REGION: region, ...(endpoint !== undefined && { AWS_ENDPOINT_URL: endpoint }) };
  const values = {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    ...(sessionToken !== undefined && { AWS_SESSION_TOKEN: sessionToken }),
  };
  const store = { url, id, env };
  if (storeIdentity !== undefined) return { store, credentials: storeIdentityOf(storeIdentity) };
  if (storeSecret !== undefined) return { store, credentials: { kind: 'secret', name: storeSecret } };
  return { store, credentials: { kind: 'values', values } };
}

/** What a store is, where pods of a cluster can't reach it. Nothing is asked of a server. */
export async function hiddenFromPods(url: string): Promise<string | undefined> {
  if (!isS3(url)) return 'a folder of this machine';
  const { endpoint } = await s3Access(url);
  const isHidden = endpoint !== undefined && isLoopback(new URL(endpoint).hostname);
  return isHidden ? 'a server that only this machine reaches' : undefined;
}

function isLoopback(host: string): boolean {
  return /^(?:localhost|.*\.localhost|127(?:\.\d+){3}|\[::1\]|0\.0\.0\.0)$/i.test(host);
}

function unreachableFromPods(url: string, what: string, isSaid: boolean): PachError {
  return new PachError('usage', {
    what: `${isSaid ? '--store-in-cluster' : 'store'} ${url}`,
    why: `it is ${what}, and pods of a cluster can't reach it`,
    next: 'pach push REPO --to s3://BUCKET/PREFIX --with-provenance',
    or: 'give the address of the same store as pods see it: --store-in-cluster URL',
  });
}
