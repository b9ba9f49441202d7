/**
 * What the pods of a job are made of: all that `podObjects` needs to know, told by who starts them.
 */
import { PachError } from '../../base/errors.ts';
import { hashOf } from '../../model/canonical.ts';
import type { Platform } from '../../images/platform.ts';
import type { JobId } from '../../model/records/pipelines.ts';
import type { PipelineSpec } from '../../pipelines/spec/spec.ts';
import { ownLabels } from '../../pipelines/spec/pod.ts';

/** How the workers prove themselves to the store. The user's container has none of it. */
export type Credentials =
  /** A Secret of the namespace. Its keys become variables of the sidecar. */
  | { readonly kind: 'secret'; readonly name: string }
  /**
   * The identity of a service account: a token of it lies in the sidecar alone, and
   * AWS_WEB_IDENTITY_TOKEN_FILE is where. `env`: what goes with it, such as AWS_ROLE_ARN.
   */
  | {
      readonly kind: 'service-account';
      readonly name: string;
      readonly env: Readonly<Record<string, string>>;
      /** Whom the token is for; undefined: Amazon's token service. */
      readonly audience?: string | undefined;
    };

/** What lets the sidecar mount inputs: all rights on its node, or /dev/fuse by a resource that a device plugin gives. */
export type MountRights = { readonly kind: 'privileged' } | { readonly kind: 'device'; readonly resource: string };

/** Where pods keep what they have read for others on their node: a folder of the node, or what a claim gives. */
export interface NodeCache {
  readonly place: { readonly kind: 'path'; readonly path: string } | { readonly kind: 'claim'; readonly name: string };
  /** Of a project; what was used longest ago leaves. */
  readonly bytesMax: number;
}

export interface PodsPlan {
  /** Of the Job and of what belongs to it: `podsName` makes one. */
  readonly name: string;
  readonly namespace: string;
  readonly job: JobId;
  readonly project: string;
  readonly pipeline: { readonly name: string; readonly spec: PipelineSpec };
  /** As the node pulls it, by digest where that is known. */
  readonly image: string;
  /** Of the images: other nodes can't run them. */
  readonly platform: Platform;
  /** USER of the image; '' for root. */
  readonly imageUser: string;
  readonly workerImage: string;
  readonly pullPolicy: 'IfNotPresent' | 'Always' | 'Never';
  readonly store: {
    /** As pods see it. */
    readonly url: string;
    readonly id: string;
    /** Region and endpoint; nothing secret. */
    readonly env: Readonly<Record<string, string>>;
  };
  readonly credentials: Credentials;
  /** Undefined: inputs are written out, and nothing needs a right. */
  readonly mounts?: MountRights | undefined;
  /** Only with `mounts`: what is in it belongs to root. Undefined: each pod has a cache of its own. */
  readonly nodeCache?: NodeCache | undefined;
  readonly pods: number;
  /** Bytes of the largest datum's inputs. */
  readonly datumBytesMax: number;
  /** The pods wait for the next job when this one has ended. */
  readonly isWarm?: boolean;
}

/** With room for a suffix of five characters, and for the number that Kubernetes adds to a pod's name. */
const nameLengthMax = 51;
const labelLengthMax = 63;
/** Of a device plugin: a domain, and a name. */
const resourcePattern = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\/[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?$/;
const resourceLengthMax = 253;

/** A beginning of names for the objects of a job: `pach-edges-0123456789`. */
export function podsName({ pipeline, job }: { readonly pipeline: string; readonly job: JobId }): string {
  const end = `-${job.slice(0, 10)}`;
  const start = `pach-${pipeline.toLowerCase().replaceAll('_', '-')}`;
  return `${start.slice(0, nameLengthMax - end.length).replace(/-+$/, '')}${end}`;
}

/** Has the Job whose pods outlive their job. */
export const warmLabel = `${ownLabels}warm`;

/** `privileged`, or the name of a resource. Throws `usage`. */
export function mountRights(text: string): MountRights {
  if (text === 'privileged') return { kind: 'privileged' };
  if (resourcePattern.test(text) && text.length <= resourceLengthMax) return { kind: 'device', resource: text };
  throw new PachError('usage', {
    what: `--pods-mount ${text}`,
    why: 'it is neither privileged nor the name of a resource, such as smarter-devices/fuse',
    next: 'kubectl get nodes -o jsonpath={.items[*].status.allocatable}',
  });
}

/** What all objects of a job have, and nothing else has. */
export function podLabels({
  store,
  project,
  pipeline,
  job,
}: {
  readonly store: { readonly id: string };
  readonly project: string;
  readonly pipeline: { readonly name: string };
  readonly job: JobId;
}): Record<string, string> {
  return {
    'app.kubernetes.io/managed-by': 'pach',
    [`${ownLabels}store`]: store.id.slice(0, 16),
    [`${ownLabels}project`]: labelOf(project),
    [`${ownLabels}pipeline`]: labelOf(pipeline.name),
    [`${ownLabels}job`]: job.slice(0, labelLengthMax),
  };
}

/** Selects what belongs to any job of a pipeline. */
export function pipelineSelector(of: Omit<Parameters<typeof podLabels>[0], 'job'>): string {
  const { [`${ownLabels}job`]: _, ...labels } = podLabels({ ...of, job: '' as JobId });
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(',');
}

/** A name as the value of a label: itself, or a hash of it where a label can't have it. */
export function labelOf(name: string): string {
  const isLabel = name.length <= labelLengthMax && /^[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?$/.test(name);
  return isLabel ? name : hashOf(Buffer.from(name)).toString('hex').slice(0, 40);
}
