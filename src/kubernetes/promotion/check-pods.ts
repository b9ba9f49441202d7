/**
 * The pods of a pipeline, as the cluster judges them before there is a job.
 */
import { assert } from '../../base/errors.ts';
import type { JobId } from '../../model/records/pipelines.ts';
import type { PipelineSpec } from '../../pipelines/spec/spec.ts';
import type { Cluster } from '../client/cluster.ts';
import type { ClusterImage } from '../executor.ts';
import { secretsOf } from '../objects/named-secrets.ts';
import type { PodsPlan } from '../objects/plan.ts';
import { podObjects } from '../objects/pods.ts';
import { mustHaveSecret, templateOf, tryPod } from '../preflight.ts';
import { probeObjects, type ControllerPlan } from './controller.ts';

/** Judged alone: no such image is looked up. */
const anyImage = 'localhost/pachmount:any';
/** Names a Secret that comes with the controller. */
export const comesAlong = 'pach-promotion';

export interface CheckedPods {
  readonly spec: PipelineSpec;
  readonly image: ClusterImage;
  readonly platform: PodsPlan['platform'];
  readonly store: PodsPlan['store'];
  readonly credentials: PodsPlan['credentials'];
  readonly project: string;
  /** What lets pods mount large and lazy inputs, if anything does. */
  readonly mounts: PodsPlan['mounts'];
}

/** Throws what can never work. Resolves to what pods would wait for now. */
export async function checkPods(
  cluster: Cluster,
  { spec, image, platform, store, credentials, project, mounts }: CheckedPods,
): Promise<string[]> {
  const [job, ...more] = podObjects({
    name: 'pach-promotion',
    namespace: cluster.namespace,
    job: '0'.repeat(32) as JobId,
    project,
    pipeline: { name: spec.name, spec },
    image: image.name,
    imageUser: image.user,
    platform,
    workerImage: anyImage,
    pullPolicy: 'IfNotPresent',
    store,
    credentials,
    pods: 1,
    mounts,
    datumBytesMax: 0,
  });
  assert(job, 'a plan makes a Job');
  const template = templateOf(job);
  assert(template, 'a Job has a template');
  for (const secret of secretsOf(template.spec)) {
    if (secret.name !== comesAlong) await mustHaveSecret(cluster, secret);
  }
  for (const object of [job, ...more]) await cluster.create(object, { dryRun: true });
  return tryPod(cluster, template);
}

/** Throws why the pod of a controller can't be made. A Deployment is accepted whatever becomes of its pods. */
export async function tryController(cluster: Cluster, plan: ControllerPlan): Promise<void> {
  const template = templateOf(probeObjects(plan, 'pach-promotion').job);
  assert(template, 'a Job has a template');
  await tryPod(cluster, template);
}
