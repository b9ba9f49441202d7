/**
 * Promotion: the same spec and code, run by an engine in a cluster. All that can go wrong is looked at
 * first. Then images, the controller, and last the pipelines, in one operation: a promotion that is broken
 * off has changed nothing that runs, and the next one goes on with what is there.
 */
import { isPachError, PachError } from '../base/errors.ts';
import { standingOf } from '../engine/standing.ts';
import { ownPlatform, parsePlatform } from '../images/platform.ts';
import { Cluster } from '../kubernetes/client/cluster.ts';
import type { KubeObject } from '../kubernetes/client/objects.ts';
import { controllerObjects, controllerName, type ControllerPlan } from '../kubernetes/promotion/controller.ts';
import { applyChanges, changesOf, controllerReady, removeController } from '../kubernetes/promotion/deploy.ts';
import { foundController, placeName } from '../kubernetes/promotion/found.ts';
import { pinnedText } from '../kubernetes/promotion/pinned.ts';
import { setPipelines } from '../pipelines/editing/edit-pipelines.ts';
import { demote } from '../pipelines/editing/places.ts';
import type { Job } from '../pipelines/jobs/jobs.ts';
import { findPipeline, listPipelines, maybePipeline } from '../pipelines/pipelines.ts';
import { moves } from '../versions/reading/subscribe.ts';
import { clusterExecutor, storeAccess, type ClusterChoice } from './cluster.ts';
import { ClusterImages } from './cluster-images.ts';
import type { OpenProject } from './open.ts';
import { planPromotion, type PlanMeans, type PlanRequest, type PromotionPlan } from './promote-plan.ts';
import type { Settings } from './settings.ts';
import { version } from './version.ts';

export interface PromoteRequest extends PlanRequest {
  /** Nothing is changed. */
  readonly dryRun: boolean;
  /** Until the first jobs have ended. */
  readonly wait: boolean;
  /** Told what is planned, once nothing keeps it from being done. False: nothing is changed. */
  consent(plan: PromotionPlan): Promise<boolean>;
  /** Told what goes on now. */
  readonly progress: (line: string) => void;
}

export interface Promoted {
  readonly plan: PromotionPlan;
  readonly outcome: 'refused' | 'failed' | 'same' | 'dry-run' | 'done';
  /** The first jobs there; empty where nothing was waited for. */
  readonly jobs: readonly Job[];
}

/** How often standings are looked at where no head moves: a lease that ends moves none. */
const againMs = 5000;

export async function promote(settings: Settings, opened: OpenProject, request: PromoteRequest): Promise<Promoted> {
  const { choice, note, signal } = request;
  const { context, namespace } = choice;
  using cluster = await Cluster.open({ kubeconfig: settings.kubeconfig, context, namespace });
  await using executor = clusterExecutor(settings, note, choice);
  const images = new ClusterImages(settings, choice, executor);
  const means: PlanMeans = { settings, opened, cluster, executor, images };
  const plan = await planPromotion(means, request);
  if (plan.checks.some(({ state }) => state === 'failed')) return { plan, outcome: 'failed', jobs: [] };
  if (request.dryRun) return { plan, outcome: plan.changes ? 'dry-run' : 'same', jobs: [] };
  if (!plan.changes) return { plan, outcome: 'same', jobs: [] };
  if (!(await request.consent(plan))) return { plan, outcome: 'refused', jobs: [] };
  signal.throwIfAborted();
  await carryOut(means, plan, request);
  const jobs = request.wait ? await firstJobs(opened, plan, request) : [];
  return { plan, outcome: 'done', jobs };
}

async function carryOut(
  { opened, cluster, images }: PlanMeans,
  { place, pipelines, controller, found, objects }: PromotionPlan,
  { force, progress, signal, note }: PromoteRequest,
): Promise<void> {
  if (!controller) throw new Error('a plan without failed checks has a controller');
  const pinned = new Map<string, string>();
  for (const { spec, image, pinned: before } of pipelines) {
    progress(`${spec.name}: its image`);
    const name = before === undefined ? (await images.find(image.name)).image : image.name;
    pinned.set(spec.name, before ?? pinnedText(image, name));
    signal.throwIfAborted();
  }
  if (objects.some(({ change }) => change !== 'same')) {
    progress("pach's own image");
    const isKnown = found?.version === controller.version && found.image === controller.image;
    const own: ControllerPlan = { ...controller, image: isKnown ? found.image : await images.worker() };
    signal.throwIfAborted();
    progress('the controller');
    const all = controllerObjects(own);
    const changes = await changesOf(cluster, all, { force });
    await applyChanges(cluster, changes, { force });
    const waiting = (why: string): void => progress(`the controller: ${why}`);
    try {
      await controllerReady(cluster, own.name, { signal, waiting });
    } catch (error) {
      // Nothing runs by one that never came up, unless another promotion was quicker.
      const isUsed = await hasPipelines(opened, place).catch(() => true);
      const added = changes.filter(({ change }) => change === 'added').map(({ object }) => object);
      if (!found && !isUsed) await removeController(cluster, added);
      throw error;
    }
  }
  signal.throwIfAborted();
  const anew = new Set(pipelines.filter(({ runsAnew }) => runsAnew).map(({ spec }) => spec.name));
  await setPipelines(
    opened.project,
    pipelines.map(({ spec }) => spec),
    {
      update: true,
      reprocess: false,
      promotion: { place, pinned, anew, force },
      signal,
      skipped: (what, why) => note(`${what}: left out: ${why}`),
    },
  );
}

async function hasPipelines({ project }: Pick<OpenProject, 'project'>, place: string): Promise<boolean> {
  return (await listPipelines(await project.snapshot())).some((pipeline) => pipeline.place === place);
}

/** Resolves when the pipelines have nothing more to run, to their newest jobs. */
async function firstJobs(
  { project }: OpenProject,
  { pipelines }: PromotionPlan,
  { progress, signal }: PromoteRequest,
): Promise<Job[]> {
  for await (const snapshot of moves(project, { signal, againMs })) {
    const jobs: Job[] = [];
    let goesOn: string | undefined;
    for (const { spec } of pipelines) {
      const pipeline = await maybePipeline(snapshot, spec.name);
      // Somebody has demoted it meanwhile.
      if (!pipeline || pipeline.place === undefined) continue;
      const standing = await standingOf(snapshot, pipeline);
      if (standing.kind === 'due') goesOn ??= `${spec.name}: its first job is due`;
      if (standing.kind === 'running') goesOn ??= `${spec.name}: job ${standing.job.id.slice(0, 12)} runs`;
      if (standing.job) jobs.push(standing.job);
    }
    if (goesOn === undefined) return jobs;
    progress(goesOn);
  }
  throw signal.reason;
}

/**
 * The objects of the controller, for whoever applies them by other means; no value of a secret is among them.
 * Nothing is changed. Throws `usage` where they can't be whole.
 */
export async function controllerManifests(
  settings: Settings,
  opened: OpenProject,
  choice: ClusterChoice,
): Promise<KubeObject[]> {
  const { context, namespace, workerImage: image, platform } = choice;
  const what = '--print';
  if (image === undefined) {
    const why = "nothing says by which name the cluster has pach's own image";
    throw new PachError('usage', { what, why, next: 'add --worker-image NAME' });
  }
  const { store, credentials } = await storeAccess(settings, opened, choice);
  if (credentials.kind !== 'secret') {
    const why = 'credentials for the store are not printed: they belong in a Secret that you make';
    throw new PachError('usage', { what, why, next: 'add --store-secret NAME' });
  }
  using cluster = await Cluster.open({ kubeconfig: settings.kubeconfig, context, namespace });
  const { project } = settings;
  const name = controllerName({ project, storeId: opened.storeId });
  const found = await foundController(cluster, name);
  return controllerObjects({
    name,
    namespace: cluster.namespace,
    place: found?.place ?? placeName(cluster),
    project,
    store,
    secret: credentials.name,
    values: undefined,
    image,
    architecture: (platform === undefined ? ownPlatform() : parsePlatform(platform)).architecture,
    version,
  });
}

export interface DemoteRequest {
  readonly names: readonly string[];
  readonly choice: ClusterChoice;
  readonly note: (line: string) => void;
}

export interface Demoted {
  readonly pipelines: readonly string[];
  readonly place: string;
  /** The controller went, too, since nothing is left for it. */
  readonly controllerRemoved: boolean;
}

/**
 * Lets pipelines run anywhere again. A controller that has no more pipelines then is removed. Where its cluster can't
 * be asked, or is gone, it is left, which is noted: without a pipeline it does nothing.
 */
export async function demotePipelines(
  settings: Settings,
  opened: OpenProject,
  { names, choice, note }: DemoteRequest,
): Promise<Demoted> {
  const { project, storeId } = opened;
  const { context, namespace } = choice;
  const first = await findPipeline(await project.snapshot(), names[0] ?? '');
  const name = controllerName({ project: settings.project, storeId });
  const away = (error: unknown): undefined => {
    if (!isPachError(error)) throw error;
    note(`${error.message}: its controller, Deployment ${name}, is left there`);
  };
  using cluster = await Cluster.open({ kubeconfig: settings.kubeconfig, context, namespace }).catch(away);
  const found = cluster && (await foundController(cluster, name).catch(away));
  if (found && first.place !== undefined && found.place !== first.place) {
    throw new PachError('conflict', {
      what: `pipeline ${first.name}`,
      why: `it was promoted to ${first.place}, and namespace ${cluster.namespace} of context ${cluster.context} is ${found.place}`,
      next: 'name its cluster: --context, --namespace',
    });
  }
  const [before] = await demote(project, names);
  const place = before?.place ?? '';
  if (!found || (await hasPipelines(opened, place))) return { pipelines: names, place, controllerRemoved: false };
  const store = { url: '', id: storeId, env: {} };
  const plan = {
    name,
    namespace: cluster.namespace,
    place,
    project: settings.project,
    store,
    version: '',
    image: '',
    architecture: '',
  };
  await removeController(cluster, controllerObjects({ ...plan, secret: `${name}-store`, values: {} }));
  return { pipelines: names, place, controllerRemoved: true };
}
