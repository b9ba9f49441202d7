/**
 * What a spec says for Kubernetes alone. It is not stored again beside the document: it is checked when
 * a spec is read, and read from the document when pods are made.
 */
import { Fault, withErrors, type Path } from './fault.ts';
import { specFields } from './fields.ts';
import { readFields } from './read.ts';
import type { PipelineSpec } from './spec.ts';
import type { ValuesOf } from './values.ts';

export interface PodResources {
  readonly cpu?: number | undefined;
  readonly memoryBytes?: number | undefined;
  readonly diskBytes?: number | undefined;
}

/** As Kubernetes has it. */
export interface Toleration {
  readonly key?: string | undefined;
  readonly operator?: 'Exists' | 'Equal' | undefined;
  readonly value?: string | undefined;
  readonly effect?: 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute' | undefined;
  readonly tolerationSeconds?: number | undefined;
}

/** Of RFC 6902. */
export interface PatchOperation {
  readonly op: string;
  readonly path: string;
  readonly from?: string | undefined;
  readonly value?: unknown;
}

export interface PodFields {
  /** Of the command's container. */
  readonly requests: PodResources;
  readonly limits: PodResources;
  /** The name of the resource; how many there are is `resourceLimits.gpus` of the spec. */
  readonly gpuType: string;
  readonly sidecarRequests: PodResources;
  readonly sidecarLimits: PodResources;
  readonly nodeSelector?: Readonly<Record<string, string>> | undefined;
  readonly priorityClassName?: string | undefined;
  readonly tolerations: readonly Toleration[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly imagePullSecrets: readonly string[];
  readonly serviceAccount?: string | undefined;
  readonly terminationGraceMs?: number | undefined;
  readonly runtimeClass?: string | undefined;
  /** A merge patch (RFC 7396) of the pod's spec; `patch` comes after it. */
  readonly merge: Readonly<Record<string, unknown>>;
  readonly patch: readonly PatchOperation[];
}

type SpecValues = ValuesOf<typeof specFields>;

/** What labels of our own begin with. */
export const ownLabels = 'pachmount.io/';

/** The fields for pods of a spec, be it stored by an older program. Throws `usage`. */
export function podFields({ name, document }: Pick<PipelineSpec, 'name' | 'document'>): PodFields {
  return withErrors(() => buildPod(readFields(specFields, document, [])), `pipeline ${name}`, document);
}

/** Throws `Fault`. */
export function buildPod(values: SpecValues): PodFields {
  const { metadata, dev, transform, schedulingSpec } = values;
  for (const kind of ['labels', 'annotations'] as const) {
    const own = Object.keys(metadata?.[kind] ?? {}).find((name) => name.startsWith(ownLabels));
    if (own !== undefined) throw new Fault(['metadata', kind, own], `names in ${ownLabels} are pachmount's own`);
  }
  return {
    requests: resourcesOf(values.resourceRequests),
    limits: resourcesOf(values.resourceLimits),
    gpuType: values.resourceLimits?.gpu?.type || values.resourceRequests?.gpu?.type || 'nvidia.com/gpu',
    sidecarRequests: resourcesOf(values.sidecarResourceRequests),
    sidecarLimits: resourcesOf(values.sidecarResourceLimits),
    nodeSelector: schedulingSpec?.nodeSelector,
    priorityClassName: schedulingSpec?.priorityClassName || undefined,
    tolerations: (values.tolerations ?? []).map(tolerationOf),
    labels: metadata?.labels ?? {},
    annotations: metadata?.annotations ?? {},
    imagePullSecrets: transform.imagePullSecrets ?? [],
    serviceAccount: dev?.pod?.serviceAccount || undefined,
    terminationGraceMs: dev?.pod?.terminationGrace,
    runtimeClass: dev?.pod?.runtimeClass || undefined,
    merge: values.podSpec ?? {},
    patch: (values.podPatch ?? []).map((each, index) => operationOf(each, ['podPatch', index])),
  };
}

/**
 * Graphics processors, of limits and requests in one: Kubernetes gives as many as the limit says, and
 * refuses a request that differs from it. Throws `Fault`.
 */
export function gpusOf({ resourceLimits: limits, resourceRequests: requests }: SpecValues): number | undefined {
  for (const [path, gpu] of [
    ['resourceLimits', limits?.gpu],
    ['resourceRequests', requests?.gpu],
  ] as const) {
    if (gpu?.type !== undefined && gpu.type !== '' && !gpu.type.includes('nvidia')) {
      throw new Fault([path, 'gpu', 'type'], 'this version supports only NVIDIA, such as nvidia.com/gpu', {
        code: 'unsupported',
      });
    }
  }
  const [limit, request] = [limits?.gpu?.number || undefined, requests?.gpu?.number || undefined];
  if (limit !== undefined && request !== undefined && limit !== request) {
    throw new Fault(['resourceRequests', 'gpu', 'number'], `it must be that of resource_limits, ${limit}`);
  }
  const [type, other] = [limits?.gpu?.type || undefined, requests?.gpu?.type || undefined];
  if (type !== undefined && other !== undefined && type !== other) {
    throw new Fault(['resourceRequests', 'gpu', 'type'], `it must be that of resource_limits, ${type}`);
  }
  return limit ?? request;
}

interface ResourceValues {
  readonly cpu?: number | undefined;
  readonly memory?: number | undefined;
  readonly disk?: number | undefined;
}

/** None of something is as good as nothing said. */
function resourcesOf(values: ResourceValues = {}): PodResources {
  const { cpu, memory, disk } = values;
  return { cpu: cpu || undefined, memoryBytes: memory || undefined, diskBytes: disk || undefined };
}

type TolerationValues = NonNullable<SpecValues['tolerations']>[number];

/** Pachyderm's names, which are those of its protocol, and Kubernetes' own. */
const operators = { EXISTS: 'Exists', EQUAL: 'Equal', Exists: 'Exists', Equal: 'Equal' } as const;
const effects = {
  ALL_EFFECTS: undefined,
  NO_SCHEDULE: 'NoSchedule',
  PREFER_NO_SCHEDULE: 'PreferNoSchedule',
  NO_EXECUTE: 'NoExecute',
  NoSchedule: 'NoSchedule',
  PreferNoSchedule: 'PreferNoSchedule',
  NoExecute: 'NoExecute',
} as const;

function tolerationOf({ key, operator, value, effect, tolerationSeconds }: TolerationValues): Toleration {
  return {
    key: key || undefined,
    operator: operator && operators[operator],
    value: value || undefined,
    effect: effect && effects[effect],
    tolerationSeconds,
  };
}

const operations = ['add', 'remove', 'replace', 'move', 'copy', 'test'];

function operationOf(given: unknown, path: Path): PatchOperation {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new Fault(path, 'it must be an operation: an object with op and path');
  }
  const operation = given as Readonly<Record<string, unknown>>;
  const { op } = operation;
  if (typeof op !== 'string' || !operations.includes(op)) {
    throw new Fault([...path, 'op'], `it must be ${operations.join(', ')}`);
  }
  const pointers = op === 'move' || op === 'copy' ? ['path', 'from'] : ['path'];
  for (const name of pointers) {
    const pointer = operation[name];
    if (typeof pointer !== 'string' || !pointer.startsWith('/')) {
      throw new Fault([...path, name], 'it must be a place in the spec of a pod, such as /volumes/-');
    }
  }
  if (['add', 'replace', 'test'].includes(op) && !Object.hasOwn(operation, 'value')) {
    throw new Fault([...path, 'value'], `${op} needs a value`);
  }
  return operation as unknown as PatchOperation;
}
