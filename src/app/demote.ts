/**
 * Demotion: pipelines go back to what they were before their last promotion. A controller that has none left is removed.
 */
import { isPachError, PachError } from '../base/errors.ts';
import { Cluster } from '../kubernetes/client/cluster.ts';
import { controllerObjects, controllerName, ownSecretName } from '../kubernetes/promotion/controller.ts';
import { removeController } from '../kubernetes/promotion/deploy.ts';
import { foundController, type FoundController } from '../kubernetes/promotion/found.ts';
import { demote, demoteOnBranch, type DemotedPipeline } from '../pipelines/editing/demote.ts';
import { findPipeline, listPipelines, pipelinesOn } from '../pipelines/pipelines.ts';
import type { ClusterChoice } from './cluster.ts';
import type { OpenProject } from './open.ts';
import type { Settings } from './settings.ts';

export interface DemoteRequest {
  /** None: only a controller that nothing is left for is removed. */
  readonly names: readonly string[];
  /** Takes all promotions back, not the last one alone. */
  readonly remove: boolean;
  /** The experiment on this branch is ended, in whole where no names are given; undefined: production. */
  readonly branch: string | undefined;
  readonly choice: ClusterChoice;
  readonly note: (line: string) => void;
}

/** What an engine of promoted pipelines runs: production, or an experiment on a branch. */
export interface HereOrThere {
  readonly place: string;
  readonly branch: string | undefined;
}

export interface Demoted {
  readonly pipelines: readonly DemotedPipeline[];
  readonly place: string;
  /** The controller went, too, since nothing is left for it. */
  readonly controllerRemoved: boolean;
}

/**
 * Where the cluster of a controller without pipelines can't be asked, or is gone, it is left, which is noted: without
 * a pipeline it does nothing. Throws `conflict` for a pipeline of another place, before anything is changed.
 */
export async function demotePipelines(
  settings: Settings,
  opened: OpenProject,
  { names: given, remove, branch, choice, note }: DemoteRequest,
): Promise<Demoted> {
  const { project, storeId } = opened;
  const { context, namespace } = choice;
  const name = controllerName({ project: settings.project, storeId, branch });
  const names = given.length === 0 && branch !== undefined ? await promotedTo(opened, branch) : given;
  let problem: Error | undefined;
  const away = (error: unknown): undefined => {
    if (!isPachError(error) || names.length === 0) throw error;
    problem = error;
  };
  using cluster = await Cluster.open({ kubeconfig: settings.kubeconfig, context, namespace }).catch(away);
  const found = cluster && (await foundController(cluster, name).catch(away));
  if (cluster && names.length === 0) {
    const place = await idlePlace(opened, cluster, found, branch);
    await removeController(cluster, objectsOf(settings, storeId, { name, cluster }));
    return { pipelines: [], place, controllerRemoved: true };
  }
  const first = await findPipeline(await project.snapshot(), names[0] ?? '', branch);
  if (cluster && found && first.place !== undefined && found.place !== first.place) {
    throw new PachError('conflict', {
      what: `pipeline ${first.name}`,
      why: `it was promoted to ${first.place}, and namespace ${cluster.namespace} of context ${cluster.context} is ${found.place}`,
      next: 'name its cluster: --context, --namespace',
    });
  }
  const pipelines = await (branch === undefined
    ? demote(project, names, { remove })
    : demoteOnBranch(project, names, branch));
  const place = pipelines[0]?.place ?? '';
  const kept = { pipelines, place, controllerRemoved: false };
  if (await hasPipelines(opened, { place, branch })) return kept;
  if (problem) note(`${problem.message}: its controller, Deployment ${name}, is left there`);
  if (!cluster || !found) return kept;
  await removeController(cluster, objectsOf(settings, storeId, { name, cluster }));
  return { ...kept, controllerRemoved: true };
}

/** True where pipelines belong to a place. */
export async function hasPipelines(
  { project }: Pick<OpenProject, 'project'>,
  { place, branch }: HereOrThere,
): Promise<boolean> {
  const snapshot = await project.snapshot();
  const all = await (branch === undefined ? listPipelines(snapshot) : pipelinesOn(snapshot, branch));
  return all.some((pipeline) => pipeline.place === place);
}

/** Names of what was promoted to a branch. */
async function promotedTo({ project }: OpenProject, branch: string): Promise<string[]> {
  const all = await pipelinesOn(await project.snapshot(), branch);
  return all.flatMap(({ name, place }) => (place === undefined ? [] : [name]));
}

/** The place of a controller that nothing is left for. Throws `not-found` and `conflict`. */
async function idlePlace(
  opened: OpenProject,
  { namespace, context }: Cluster,
  found: FoundController | undefined,
  branch: string | undefined,
): Promise<string> {
  const what = `namespace ${namespace} of context ${context}`;
  if (!found)
    throw new PachError('not-found', {
      what,
      why: `it has no controller of ${branch === undefined ? 'this project' : `branch ${branch}`}`,
    });
  if (!(await hasPipelines(opened, { place: found.place, branch }))) return found.place;
  const why = 'its controller has pipelines to run; name those that it is to run no more';
  throw new PachError('conflict', { what, why, next: 'pach list pipeline' });
}

/** What a controller consists of, by name. */
function objectsOf(
  { project }: Settings,
  storeId: string,
  { name, cluster: { namespace } }: { readonly name: string; readonly cluster: Cluster },
): ReturnType<typeof controllerObjects> {
  return controllerObjects({
    name,
    namespace,
    place: '',
    project,
    store: { url: '', id: storeId, env: {} },
    credentials: { kind: 'secret', name: ownSecretName(name) },
    values: {},
    version: '',
    image: '',
    architecture: '',
  });
}
