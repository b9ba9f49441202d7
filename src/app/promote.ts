/**
 * Promotion: the same spec and code, run by an engine in a cluster. All that can go wrong is looked at
 * first. Then images, the controller, and last the pipelines, in one operation: a promotion that is broken
 * off has changed nothing that runs, and the next one goes on with what is there.
 */
import { PachError } from '../base/errors.ts';
import { standingOf } from '../engine/standing.ts';
import { ownPlatform, parsePlatform } from '../images/platform.ts';
import { Cluster } from '../kubernetes/client/cluster.ts';
import type { KubeObject } from '../kubernetes/client/objects.ts';
import { controllerObjects, controllerName, type ControllerPlan } from '../kubernetes/promotion/controller.ts';
import {
  applyChanges,
  changesOf,
  controllerReady,
  removeController,
  removeUnused,
} from '../kubernetes/promotion/deploy.ts';
import { foundController, placeName } from '../kubernetes/promotion/found.ts';
import { pinnedText } from '../kubernetes/promotion/pinned.ts';
import { probeStore } from '../kubernetes/promotion/probe.ts';
import { setPipelines } from '../pipelines/editing/edit-pipelines.ts';
import type { Job } from '../pipelines/jobs/jobs.ts';
import { experimentOn } from '../pipelines/experiment.ts';
import { maybePipeline } from '../pipelines/pipelines.ts';
import type { VerifiedInfo } from '../shown/verified.ts';
import { moves } from '../versions/reading/subscribe.ts';
import { clusterExecutor, storeAccess, type ClusterChoice } from './cluster.ts';
import { ClusterImages } from './cluster-images.ts';
import { hasPipelines, type HereOrThere } from './demote.ts';
import { openProject, type OpenProject } from './open.ts';
import type { Check } from '../shown/promotion.ts';
import { lookAt } from './promotion-checks.ts';
import { bring, bringingOf, maybeOpen } from './promotion-data.ts';
import { planPromotion, type PlanMeans, type PlanRequest, type PromotionPlan } from './promote-plan.ts';
import { isDifferent, verifyPlan } from './promote-verify.ts';
import type { Settings } from './settings.ts';
import { version } from './version.ts';

export interface PromoteRequest extends PlanRequest {
  /** Nothing is changed. */
  readonly dryRun: boolean;
  /** Until the first jobs have ended. */
  readonly wait: boolean;
  /** Brings what is needed to a store that pods reach, where they don't reach the one in use. */
  readonly push: boolean;
  /** What is brought beside what changes there. */
  readonly brings?: readonly Check[];
  /** Told what is planned, once nothing keeps it from being done. False: nothing is changed. */
  consent(plan: PromotionPlan): Promise<boolean>;
  /** Told what goes on now. */
  readonly progress: (line: string) => void;
}

export interface Promoted {
  readonly plan: PromotionPlan;
  /** `differs`: results that were made again are not the same, and nothing was moved. */
  readonly outcome: 'refused' | 'failed' | 'same' | 'dry-run' | 'differs' | 'done';
  /** The first jobs there; empty where nothing was waited for. */
  readonly jobs: readonly Job[];
  /** Results that were made again. */
  readonly verified: readonly VerifiedInfo[];
}

/** How often standings are looked at where no head moves: a lease that ends moves none. */
const againMs = 5000;

export async function promote(settings: Settings, opened: OpenProject, request: PromoteRequest): Promise<Promoted> {
  const { choice, specs, push, signal, note, progress } = request;
  const { context, namespace } = choice;
  using cluster = await Cluster.open({ kubeconfig: settings.kubeconfig, context, namespace });
  const bringing = await bringingOf(settings, opened, { specs, choice, context: cluster.context, push });
  if (!bringing) {
    if (push) note(`--push: pods reach ${settings.storeUrl}, so nothing is to be brought`);
    return await promoteFrom({ settings, opened, cluster }, request);
  }
  const { target, checks, problem } = bringing;
  const withChecks = ({ plan, ...rest }: Promoted): Promoted => ({
    plan: { ...plan, checks: [...plan.checks, ...checks] },
    ...rest,
  });
  if (!push || !target) {
    return withChecks(await promoteFrom({ settings, opened, cluster }, { ...request, storeProblem: problem }));
  }
  {
    // What is there now, and what there will be of data.
    await using there = await maybeOpen(target);
    const of = { settings: target, opened: there ?? opened, cluster, data: opened };
    const lookOnly: PromoteRequest = { ...request, consent: async () => false };
    const looked = withChecks(await promoteFrom(of, { ...lookOnly, brings: checks }));
    const mayGoOn = !looked.plan.checks.some(({ state }) => state === 'failed');
    if (!mayGoOn) return { ...looked, outcome: 'failed' };
    if (request.dryRun || looked.outcome === 'same') return looked;
    if (!(await request.consent(looked.plan))) return { ...looked, outcome: 'refused' };
  }
  signal.throwIfAborted();
  progress(`data for ${target.storeUrl}`);
  await bring(opened, target, specs, { signal, progress: () => undefined });
  await using now = await openProject(target);
  const agreed: PromoteRequest = { ...request, brings: checks, consent: () => Promise.resolve(true) };
  return withChecks(await promoteFrom({ settings: target, opened: now, cluster }, agreed));
}

/** Where a promotion is carried out. */
type Scene = Pick<PlanMeans, 'settings' | 'opened' | 'cluster' | 'data'>;

async function promoteFrom(scene: Scene, request: PromoteRequest): Promise<Promoted> {
  const { settings, opened } = scene;
  const { choice, note, signal, brings = [] } = request;
  await using executor = clusterExecutor(settings, note, choice);
  const means: PlanMeans = { ...scene, executor, images: new ClusterImages(settings, choice, executor) };
  const plan = await planPromotion(means, request);
  const nothing = { plan, jobs: [], verified: [] };
  if (plan.checks.some(({ state }) => state === 'failed')) return { ...nothing, outcome: 'failed' };
  const changes = plan.changes || brings.length > 0;
  if (request.dryRun) return { ...nothing, outcome: changes ? 'dry-run' : 'same' };
  if (!changes) return { ...nothing, outcome: 'same' };
  if (!(await request.consent(plan))) return { ...nothing, outcome: 'refused' };
  signal.throwIfAborted();
  const verified = await verifyPlan(settings, opened, plan, request);
  if (verified.some(isDifferent)) return { ...nothing, verified, outcome: 'differs' };
  const reached = plan.changes ? await carryOut(means, plan, request) : [];
  const carried = { ...plan, checks: [...plan.checks, ...reached] };
  if (reached.some(({ state }) => state === 'failed'))
    return { ...nothing, plan: carried, verified, outcome: 'failed' };
  const jobs = request.wait ? await firstJobs(opened, plan, request) : [];
  return { plan: carried, outcome: 'done', jobs, verified };
}

/** Resolves to what was looked at once the user agreed. Where that failed, nothing was changed. */
async function carryOut(means: PlanMeans, plan: PromotionPlan, request: PromoteRequest): Promise<Check[]> {
  const { opened, images } = means;
  const { place, branch, pipelines, objects, found } = plan;
  const { force, progress, signal, note } = request;
  const checks: Check[] = [];
  const own = objects.some(({ change }) => change !== 'same') ? await ownPlan(means, plan, request) : undefined;
  if (own) {
    const check = await reachedFrom(means, own, request);
    checks.push(check);
    if (check.state === 'failed') return checks;
  }
  const pinned = new Map<string, string>();
  for (const { spec, image, pinned: before } of pipelines) {
    progress(`${spec.name}: its image`);
    const name = before === undefined ? (await images.find(image.name)).image : image.name;
    pinned.set(spec.name, before ?? pinnedText(image, name));
    signal.throwIfAborted();
  }
  if (own) await deploy(means, own, { place, branch, isThere: found !== undefined, request });
  else await waitForController(means, plan.controller?.name ?? '', request);
  signal.throwIfAborted();
  const anew = new Map(
    pipelines.flatMap(({ spec, before, runsAnew }) =>
      before && runsAnew ? [[spec.name, before.version] as const] : [],
    ),
  );
  await setPipelines(
    opened.project,
    pipelines.map(({ spec }) => spec),
    {
      branch,
      update: true,
      reprocess: false,
      promotion: { place, pinned, anew, force },
      signal,
      skipped: (what, why) => note(`${what}: left out: ${why}`),
    },
  );
  return checks;
}

/** What the controller is to be, with pach's own image, which is brought there. */
async function ownPlan(
  { images }: PlanMeans,
  { controller, found }: PromotionPlan,
  { progress, signal }: PromoteRequest,
): Promise<ControllerPlan> {
  if (!controller) throw new Error('a plan without failed checks has a controller');
  progress("pach's own image");
  const isKnown = found?.version === controller.version && found.image === controller.image;
  const own = { ...controller, image: isKnown ? found.image : await images.worker() };
  signal.throwIfAborted();
  return own;
}

async function reachedFrom({ cluster }: PlanMeans, own: ControllerPlan, request: PromoteRequest): Promise<Check> {
  const { signal, note, progress } = request;
  const waiting = (why: string): void => progress(`a look at the store from the cluster: ${why}`);
  return lookAt('store from the cluster', async () => {
    await probeStore(cluster, own, { signal, note, waiting });
    return 'a pod there reads and writes it, and it is the same store';
  });
}

async function deploy(
  means: PlanMeans,
  own: ControllerPlan,
  { isThere, request, ...at }: HereOrThere & { readonly isThere: boolean; readonly request: PromoteRequest },
): Promise<void> {
  const { cluster, opened } = means;
  const { force, progress } = request;
  progress('the controller');
  const changes = await changesOf(cluster, controllerObjects(own), { force });
  await applyChanges(cluster, changes, { force });
  try {
    await waitForController(means, own.name, request);
  } catch (error) {
    // Nothing runs by one that never came up, unless another promotion was quicker.
    const isUsed = await hasPipelines(opened, at).catch(() => true);
    const added = changes.filter(({ change }) => change === 'added').map(({ object }) => object);
    if (!isThere && !isUsed) await removeController(cluster, added);
    throw error;
  }
  await removeUnused(cluster, own);
}

function waitForController({ cluster }: PlanMeans, name: string, { signal, progress }: PromoteRequest): Promise<void> {
  const waiting = (why: string): void => progress(`the controller: ${why}`);
  return controllerReady(cluster, name, { signal, waiting });
}

/** Resolves when the pipelines have nothing more to run, to their newest jobs. */
async function firstJobs(
  { project }: OpenProject,
  { branch, pipelines }: PromotionPlan,
  { progress, signal }: PromoteRequest,
): Promise<Job[]> {
  for await (const snapshot of moves(project, { signal, againMs })) {
    const jobs: Job[] = [];
    let goesOn: string | undefined;
    const experiment = branch === undefined ? undefined : await experimentOn(snapshot, branch);
    for (const { spec } of pipelines) {
      const pipeline = await maybePipeline(snapshot, spec.name, branch);
      // Somebody has demoted it meanwhile.
      if (!pipeline || pipeline.place === undefined) continue;
      const standing = await standingOf(snapshot, pipeline, experiment);
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
  branch: string | undefined,
): Promise<KubeObject[]> {
  const { context, namespace, workerImage: image, platform, podsMount, nodeCache } = choice;
  const what = '--print';
  if (image === undefined) {
    const why = "nothing says by which name the cluster has pach's own image";
    throw new PachError('usage', { what, why, next: 'add --worker-image NAME' });
  }
  const { store, credentials } = await storeAccess(settings, opened, choice);
  if (credentials.kind === 'values') {
    const why = 'credentials for the store are not printed: they belong in a Secret that you make';
    throw new PachError('usage', { what, why, next: 'add --store-secret NAME', or: 'add --store-identity' });
  }
  using cluster = await Cluster.open({ kubeconfig: settings.kubeconfig, context, namespace });
  const { project } = settings;
  const name = controllerName({ project, storeId: opened.storeId, branch });
  const found = await foundController(cluster, name);
  return controllerObjects({
    name,
    namespace: cluster.namespace,
    place: found?.place ?? placeName(cluster),
    branch,
    project,
    store,
    credentials,
    values: undefined,
    podsMount,
    nodeCache,
    image,
    architecture: (platform === undefined ? ownPlatform() : parsePlatform(platform)).architecture,
    version,
  });
}
