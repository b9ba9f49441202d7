/**
 * What a promotion would change, found out without changing anything: checks, the controller, and for
 * each pipeline how it differs from what runs there now and how much of its next job is computed already.
 */
import { PachError } from '../base/errors.ts';
import { recipeFor } from '../engine/job-start.ts';
import type { Cluster } from '../kubernetes/client/cluster.ts';
import { mountRights } from '../kubernetes/objects/plan.ts';
import { mustHave, mustHaveNamespace } from '../kubernetes/preflight.ts';
import { checkNodes } from '../kubernetes/promotion/check-nodes.ts';
import { checkPods, comesAlong, tryController } from '../kubernetes/promotion/check-pods.ts';
import {
  controllerName,
  controllerObjects,
  ownSecretName,
  type ControllerPlan,
} from '../kubernetes/promotion/controller.ts';
import { changesOf, type ObjectChange } from '../kubernetes/promotion/deploy.ts';
import { foundController, placeName, refuseNewer, type FoundController } from '../kubernetes/promotion/found.ts';
import { isSameImage, pinnedImage } from '../kubernetes/promotion/pinned.ts';
import { promotionRights } from '../kubernetes/promotion/rights.ts';
import type { ClusterImage, KubernetesExecutor } from '../kubernetes/executor.ts';
import { belongsElsewhere } from '../pipelines/editing/places.ts';
import { draftOf } from '../pipelines/editing/draft.ts';
import { newestJob } from '../pipelines/jobs/jobs.ts';
import { experimentOn, mustBeFree, type Experiment } from '../pipelines/experiment.ts';
import { maybePipeline, type Pipeline } from '../pipelines/pipelines.ts';
import { graphOf } from '../pipelines/spec/graph.ts';
import { pfsInputs } from '../pipelines/spec/input.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import type { Check, PipelineDifference } from '../shown/promotion.ts';
import { specDifferences } from '../shown/promotion.ts';
import { storeAccess, type ClusterChoice } from './cluster.ts';
import type { ClusterImages } from './cluster-images.ts';
import { withBuiltImage } from './executors.ts';
import type { OpenProject } from './open.ts';
import { codeDifference, nextJob, toVerify } from './promote-differences.ts';
import { Checks, Warning } from './promotion-checks.ts';
import type { Settings } from './settings.ts';
import { version } from './version.ts';

export interface PlanRequest {
  readonly specs: readonly PipelineSpec[];
  readonly choice: ClusterChoice;
  /** As an experiment on this branch, beside production. */
  readonly branch: string | undefined;
  readonly force: boolean;
  /** Why the store does not do; undefined: it may. */
  readonly storeProblem?: PachError | undefined;
  /** So many results of each pipeline that were made elsewhere are made again first, instead of what its spec says. */
  readonly verify: number | undefined;
  readonly signal: AbortSignal;
  readonly note: (line: string) => void;
}

/** What a plan is made with. */
export interface PlanMeans {
  readonly settings: Settings;
  readonly opened: OpenProject;
  readonly cluster: Cluster;
  /** Has what pipelines read and results, where that is not there yet. */
  readonly data?: OpenProject;
  readonly executor: KubernetesExecutor;
  readonly images: ClusterImages;
}

export interface PlannedPipeline {
  readonly spec: PipelineSpec;
  readonly before: Pipeline | undefined;
  readonly image: ClusterImage;
  /** The image that it was promoted with, where that is the same. */
  readonly pinned: string | undefined;
  /** What ran last is not what would run there. */
  readonly runsAnew: boolean;
  /** What it is to be a part of; undefined: production. */
  readonly experiment: Experiment | undefined;
  readonly difference: PipelineDifference;
}

export interface PromotionPlan {
  readonly place: string;
  readonly branch: string | undefined;
  readonly checks: readonly Check[];
  readonly pipelines: readonly PlannedPipeline[];
  /** What the controller is to be, but for an image that is pushed first. */
  readonly controller: ControllerPlan | undefined;
  readonly found: FoundController | undefined;
  readonly objects: readonly ObjectChange[];
  /** False where all is so already. */
  readonly changes: boolean;
}

/** Pach's own image where nobody has said it: it is brought when the promotion is carried out. */
const imageToCome = 'localhost/pachmount:to-come';

/** Never rejects for what a check has found: `checks` says it. */
export async function planPromotion(means: PlanMeans, request: PlanRequest): Promise<PromotionPlan> {
  const { settings, opened, cluster, executor, images } = means;
  const { specs, choice, branch, force } = request;
  const checks = new Checks();
  const name = controllerName({ project: opened.project.options.name, storeId: opened.storeId, branch });
  const isReached = await checks.add('cluster', async () => {
    await mustHaveNamespace(cluster);
    return `namespace ${cluster.namespace} of context ${cluster.context}`;
  });
  const mayAll =
    isReached &&
    (await checks.add('rights', async () => {
      await mustHave(cluster, promotionRights, 'promotion');
      return 'all that promotion takes';
    }));
  const found = mayAll ? await foundController(cluster, name) : undefined;
  const place = found?.place ?? placeName(cluster);
  let access: Awaited<ReturnType<typeof storeAccess>> | undefined;
  await checks.add('store', async () => {
    if (request.storeProblem) throw request.storeProblem;
    access = await storeAccess(settings, opened, choice);
    const { credentials } = access;
    if (credentials.kind === 'values' && credentials.values['AWS_SESSION_TOKEN'] !== undefined) {
      throw new PachError('usage', {
        what: 'credentials for the store',
        why: 'yours hold for some time only, and the controller stays',
        next: 'name a Secret with lasting ones: --store-secret NAME',
      });
    }
    return `${access.store.url}; a pod of the cluster looks at it before anything is changed`;
  });
  await checks.add("pach's own image", async () => {
    if (choice.workerImage !== undefined) return choice.workerImage;
    if (found?.version === version) return `${found.image}, as it is there`;
    return images.workerWay();
  });
  if (found) {
    await checks.add('controller', () => {
      const says = refuseNewer(found, version);
      return found.isReady ? says : new Warning(`${says}; it does not answer now`);
    });
  }
  const pipelines: PlannedPipeline[] = [];
  for (const spec of graphOf(specs).order) {
    let planned: PlannedPipeline | undefined;
    await checks.add(`pipeline ${spec.name}`, async () => {
      planned = await planPipeline(means, request, { spec, place });
      return textOf(planned);
    });
    if (!planned) continue;
    const { spec: own, image } = planned;
    pipelines.push(planned);
    if (!mayAll || !access) continue;
    const { store, credentials } = access;
    await checks.add(`pods of ${spec.name}`, async () => {
      const hints = await checkPods(cluster, {
        spec: own,
        image,
        platform: executor.platform,
        store,
        // A Secret of the controller's comes with it.
        credentials: credentials.kind === 'service-account' ? credentials : { kind: 'secret', name: comesAlong },
        project: settings.project,
        mounts: mayMount(spec) && choice.podsMount !== undefined ? mountRights(choice.podsMount) : undefined,
      });
      if (hints.length > 0) return new Warning(hints.join('; '));
      return 'secrets, quota, pod security and the server accept them';
    });
    await checks.add(`nodes for ${spec.name}`, async () => {
      const { says, isWarning } = await checkNodes(cluster, { spec: own, platform: executor.platform });
      return isWarning ? new Warning(says) : says;
    });
  }
  const controller: ControllerPlan | undefined = access && {
    name,
    namespace: cluster.namespace,
    place,
    branch,
    project: settings.project,
    store: access.store,
    credentials:
      access.credentials.kind === 'values' ? { kind: 'secret', name: ownSecretName(name) } : access.credentials,
    values: access.credentials.kind === 'values' ? access.credentials.values : undefined,
    podsMount: choice.podsMount,
    nodeCache: choice.nodeCache,
    image: choice.workerImage ?? (found?.version === version ? found.image : imageToCome),
    architecture: executor.platform.architecture,
    version,
  };
  const objects: ObjectChange[] = [];
  if (mayAll && controller) {
    await checks.add('objects of the controller', async () => {
      const all = controllerObjects(controller);
      objects.push(...(await changesOf(cluster, all, { force })));
      await tryController(cluster, controller);
      return objects.map(({ object, change }) => `${object.kind} ${change}`).join(', ');
    });
  }
  const changes =
    pipelines.some(({ difference }) => difference.change !== 'same') || objects.some(({ change }) => change !== 'same');
  return { place, branch, checks: checks.all, pipelines, controller, found, objects, changes };
}

/** True where its pods do, however much they read. */
function mayMount({ input }: PipelineSpec): boolean {
  return pfsInputs(input).some(({ lazy }) => lazy);
}

function textOf({ image, difference: { datums } }: PlannedPipeline): string {
  const jobs = datums
    ? `${datums.computed} of ${datums.total} datums are computed already`
    : 'its datums are known once what it reads has run';
  return `image ${image.name}; ${jobs}`;
}

/** Throws what keeps a pipeline from being promoted. */
async function planPipeline(
  { opened, executor, images, data = opened }: PlanMeans,
  { specs, branch, force, verify, signal, note }: PlanRequest,
  { spec: written, place }: { readonly spec: PipelineSpec; readonly place: string },
): Promise<PlannedPipeline> {
  const { project } = opened;
  await using begun = await project.begin(); // never published
  const { snapshot } = begun;
  const before = await maybePipeline(snapshot, written.name, branch);
  if (branch !== undefined) await mustBeFree(snapshot, written, branch);
  if (before?.place !== undefined && before.place !== place && !force) throw belongsElsewhere(before);
  const built = await withBuiltImage(executor, written, { signal, log: note });
  const image = await executor.image(built.transform.image);
  await executor.fingerprint(built.transform.image);
  const pinned = before?.pinned !== undefined && isSameImage(before.pinned, image) ? before.pinned : undefined;
  if (image.isLocal && pinned === undefined) await images.way(image.name);
  const draft = await draftOf(project, begun, written, { reprocess: false, branch, signal });
  const recipe = await recipeFor({ project, pipeline: { ...draft, spec: built }, executor });
  const { job } = await newestJob(snapshot, written.name, branch ?? written.outputBranch);
  // A version that has not run yet is due there all the same.
  const hasRun = job !== undefined && job.pipelineVersion === before?.version;
  const runsAnew = hasRun && !job.recipe.hash.equals(recipe.hash);
  const isSameSpec = before?.specRef.hash.equals(draft.specRef.hash) ?? false;
  // What is new as an experiment is told by how it differs from production.
  const known = before ?? (await maybePipeline(snapshot, written.name));
  const { code, codeFiles } = await codeDifference(project.reader, known, draft);
  const isThere = before?.place === place;
  const isSame = isThere && isSameSpec && code === 'same' && pinned !== undefined && !runsAnew;
  const change = isSame ? 'same' : isThere ? 'changed' : 'added';
  const experiment = branch === undefined ? undefined : await experimentOf(snapshot, specs, branch);
  const datums = await nextJob(data, draft, { recipe, place, experiment });
  return {
    spec: written,
    before,
    image,
    pinned,
    runsAnew,
    experiment,
    difference: {
      pipeline: written.name,
      change,
      fields: isSameSpec ? [] : specDifferences(known?.spec.document, written.document),
      code,
      codeFiles,
      image: {
        old: before?.pinned === undefined ? null : pinnedImage(before.pinned, written.name).name,
        new: pinned === undefined ? image.name : pinnedImage(pinned, written.name).name,
      },
      datums,
      verify: toVerify(written, { change, datums }, verify),
    },
  };
}

/** What is on a branch once some specs are promoted to it. */
async function experimentOf(snapshot: Snapshot, specs: readonly PipelineSpec[], branch: string): Promise<Experiment> {
  const { pipelines } = await experimentOn(snapshot, branch);
  const others = pipelines.filter(({ name }) => specs.every((spec) => spec.name !== name));
  return { branch, pipelines: [...others, ...specs.map((spec) => ({ name: spec.name, spec }))] };
}
