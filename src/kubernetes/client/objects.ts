/**
 * Kubernetes objects as the API serves them, and where each kind that is used here lies in the API.
 */
import { assert } from '../../base/errors.ts';

export interface Metadata {
  readonly name?: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly deletionGracePeriodSeconds?: number;
  readonly ownerReferences?: readonly object[];
}

export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Metadata;
  readonly [field: string]: unknown;
}

/** A collection as the API serves it: what its items have in common stands at its head only. */
export interface KubeList {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly resourceVersion: string };
  readonly items: readonly Omit<KubeObject, 'apiVersion' | 'kind'>[];
}

/** The items of a list, each whole. */
export function listed({ apiVersion, kind, items }: KubeList): KubeObject[] {
  return items.map((item) => ({ apiVersion, kind: kind.replace(/List$/, ''), ...item }) as KubeObject);
}

/** Names one object. Without a namespace that of the cluster's context is meant. */
export interface Ref {
  readonly kind: Kind;
  readonly name: string;
  readonly namespace?: string | undefined;
}

interface Place {
  /** `v1`, or `group/version`. */
  readonly api: string;
  readonly plural: string;
  /** True for kinds that belong to no namespace. */
  readonly clusterWide?: true;
}

const kinds = {
  ConfigMap: { api: 'v1', plural: 'configmaps' },
  Deployment: { api: 'apps/v1', plural: 'deployments' },
  Event: { api: 'v1', plural: 'events' },
  Job: { api: 'batch/v1', plural: 'jobs' },
  LimitRange: { api: 'v1', plural: 'limitranges' },
  Namespace: { api: 'v1', plural: 'namespaces', clusterWide: true },
  NetworkPolicy: { api: 'networking.k8s.io/v1', plural: 'networkpolicies' },
  Node: { api: 'v1', plural: 'nodes', clusterWide: true },
  Pod: { api: 'v1', plural: 'pods' },
  PriorityClass: { api: 'scheduling.k8s.io/v1', plural: 'priorityclasses', clusterWide: true },
  ResourceQuota: { api: 'v1', plural: 'resourcequotas' },
  Role: { api: 'rbac.authorization.k8s.io/v1', plural: 'roles' },
  RoleBinding: { api: 'rbac.authorization.k8s.io/v1', plural: 'rolebindings' },
  RuntimeClass: { api: 'node.k8s.io/v1', plural: 'runtimeclasses', clusterWide: true },
  Secret: { api: 'v1', plural: 'secrets' },
  SelfSubjectAccessReview: {
    api: 'authorization.k8s.io/v1',
    plural: 'selfsubjectaccessreviews',
    clusterWide: true,
  },
  SelfSubjectRulesReview: {
    api: 'authorization.k8s.io/v1',
    plural: 'selfsubjectrulesreviews',
    clusterWide: true,
  },
  Service: { api: 'v1', plural: 'services' },
  ServiceAccount: { api: 'v1', plural: 'serviceaccounts' },
} as const satisfies Record<string, Place>;

export type Kind = keyof typeof kinds;

/** What messages call objects of a kind: `pods`, `jobs`. */
export function pluralOf(kind: Kind): string {
  return kinds[kind].plural;
}

/** The path of a kind's collection, or of one object in it. */
export function pathOf(kind: Kind, namespace: string, name?: string): string {
  const place: Place = kinds[kind];
  const base = place.api.includes('/') ? `/apis/${place.api}` : `/api/${place.api}`;
  const within = place.clusterWide ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
  return `${base}${within}/${place.plural}${name === undefined ? '' : `/${encodeURIComponent(name)}`}`;
}

/** The kind of an object that this program makes. */
export function kindOf(object: KubeObject): Kind {
  assert(object.kind in kinds, `${object.kind} is a kind of the table`);
  const kind = object.kind as Kind;
  assert(object.apiVersion === kinds[kind].api, `${kind} is made as ${kinds[kind].api}`);
  return kind;
}

/** `job "edges"`, as messages name an object. */
export function titleOf(kind: Kind, name: string): string {
  return `${kind.replaceAll(/(?<=[a-z])(?=[A-Z])/g, ' ').toLowerCase()} "${name}"`;
}
