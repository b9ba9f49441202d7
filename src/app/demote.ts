/**
 * Demotion: pipelines go back to what they were before their last promotion. A controller that has none left is removed.
 */
import { isPachError, PachError } from '../base/errors.ts';
import { Cluster } from '../kubernetes/client/cluster.ts';
import { controllerObjects, controllerName } from '../kubernetes/promotion/controller.ts';
import { removeController } from '../kubernetes/promotion/deploy.ts';
import { foundController, type FoundController } from '../kubernetes/promotion/found.ts';
import { demote, type DemotedPipeline } from '../pipelines/editing/demote.ts';
import { findPipeline, listPipelines } from '../pipelines/pipelines.ts';
import type { ClusterChoice } from './cluster.ts';
import type { OpenProject } from './open.ts';
import type { Settings } from './settings.ts';

export interface DemoteRequest {
  /** None: only a controller that nothing is left for is removed. */
  readonly names: readonly string[];
  /** Takes all promotions back, not the last one alone. */
  readonly remove: boolean;
  readonly choice: ClusterChoice;
  readonly note: (line: string) => void;
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
  { names, remove, choice, note }: DemoteRequest,
): Promise<Demoted> {
  const { project, storeId } = opened;
  const { context, namespace } = choice;
  const name = controllerName({ project: settings.project, storeId });
  let problem: Error | undefined;
  const away = (error: unknown): undefined => {
    if (!isPachError(error) || names.length === 0) throw error;
    problem = error;
  };
  using cluster = await Cluster.open({ kubeconfig: settings.kubeconfig, context, namespace }).catch(away);
  const found = cluster && (await foundController(cluster, name).catch(away));
  if (cluster && names.length === 0) {
    const place = await idlePlace(opened, cluster, found);
    await removeController(cluster, objectsOf(settings, storeId, { name, cluster }));
    return { pipelines: [], place, controllerRemoved: true };
  }
  const first = await findPipeline(await project.snapshot(), names[0] ?? '');
  if (cluster && found && first.place !== undefined && found.place !== first.place) {
    throw new PachError('conflict', {
      what: `pipeline ${first.name}`,
      why: `it was promoted to ${first.place}, and namespace ${cluster.namespace} of context ${cluster.context} is ${found.place}`,
      next: 'name its cluster: --context, --namespace',
    });
  }
  const pipelines = await demote(project, names, { remove });
  const place = pipelines[0]?.place ?? '';
  const kept = { pipelines, place, controllerRemoved: false };
  if (await hasPipelines(opened, place)) return kept;
  if (problem) note(`${problem.message}: its controller, Deployment ${name}, is left there`);
  if (!cluster || !found) return kept;
  await removeController(cluster, objectsOf(settings, storeId, { name, cluster }));
  return { ...kept, controllerRemoved: true };
}

/** True where pipelines belong to a place. */
export async function hasPipelines({ project }: Pick<OpenProject, 'project'>, place: string): Promise<boolean> {
  return (await listPipelines(await project.snapshot())).some((pipeline) => pipeline.place === place);
}

/** The place of a controller that nothing is left for. Throws `not-found` and `conflict`. */
async function idlePlace(
  opened: OpenProject,
  { namespace, context }: Cluster,
  found: FoundController | undefined,
): Promise<string> {
  const what = `namespace ${namespace} of context ${context}`;
  if (!found) throw new PachError('not-found', { what, why: 'it has no controller of this project' });
  if (!(await hasPipelines(opened, found.place))) return found.place;
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
    secret: `${name}-store`,
    values: {},
    version: '',
    image: '',
    architecture: '',
  });
}
