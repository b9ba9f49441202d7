/**
 * `pod_spec` and `pod_patch` of a spec, applied to the pod that we have made. A user may change
 * everything about it but what pachmount itself stands on.
 */
import { isDeepStrictEqual } from 'node:util';
import { applyPatch } from 'rfc6902';
import { PachError } from '../../base/errors.ts';
import { isWithin } from '../../pipelines/spec/names.ts';
import type { PatchOperation, PodFields } from '../../pipelines/spec/pod.ts';

/** The part of a pod's spec that is looked at here. */
export interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers: readonly Container[];
  readonly volumes: readonly Volume[];
  readonly [field: string]: unknown;
}

export interface Container {
  readonly name: string;
  readonly volumeMounts: readonly VolumeMount[];
  readonly [field: string]: unknown;
}

export interface VolumeMount {
  readonly name: string;
  readonly mountPath: string;
  readonly subPath?: string;
  readonly subPathExpr?: string;
  readonly readOnly?: boolean;
}

export interface Volume {
  readonly name: string;
  readonly [source: string]: unknown;
}

interface Step {
  /** The field of the pipeline's spec. */
  readonly field: string;
  /** In the pod's spec, as JSON pointers have it. */
  readonly path: string;
  apply(pod: Record<string, unknown>): Error | undefined;
}

/**
 * The pod with the changes of the spec. Throws `usage` naming the first path that touches what
 * pachmount needs, or that is not there.
 */
export function patched(pod: PodSpec, { merge, patch }: Pick<PodFields, 'merge' | 'patch'>, pipeline: string): PodSpec {
  const before = needs(pod, pod);
  const changed = structuredClone(pod) as unknown as Record<string, unknown>;
  for (const step of [...Object.entries(merge).map(mergeStep), ...patch.map(patchStep)]) {
    const what = `pipeline ${pipeline}: ${step.field}: ${step.path}`;
    const error = step.apply(changed);
    if (error) throw new PachError('usage', { what, why: whyNot(error) });
    const touched = firstDifference(before, needs(pod, changed));
    if (touched !== undefined)
      throw new PachError('usage', { what, why: `it changes ${touched}, which pachmount needs` });
  }
  return changed as unknown as PodSpec;
}

function mergeStep([name, value]: [string, unknown]): Step {
  return {
    field: 'pod_spec',
    path: `/${name}`,
    apply(pod) {
      if (value === null) delete pod[name];
      else pod[name] = merged(pod[name], value);
      return undefined;
    },
  };
}

/** RFC 7396. */
function merged(target: unknown, change: unknown): unknown {
  if (!isObject(change)) return change;
  const result = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(change)) {
    if (value === null) delete result[name];
    else result[name] = merged(result[name], value);
  }
  return result;
}

function patchStep(operation: PatchOperation): Step {
  return {
    field: 'pod_patch',
    path: operation.path,
    apply(pod) {
      try {
        return applyPatch(pod, [operation as Parameters<typeof applyPatch>[1][number]])[0] ?? undefined;
      } catch (error) {
        // A field of something that is no object.
        return error as Error;
      }
    },
  };
}

function whyNot(error: Error): string {
  if (error.name === 'MissingError') return 'there is no such place in the spec of the pod';
  return error.name === 'TestError' ? 'its test failed' : 'it can’t be applied to the spec of the pod';
}

/**
 * What must be after a change as it was before, by what messages call it. All of it is looked up by
 * name: a patch may put containers of its own before ours.
 */
function needs(ours: PodSpec, pod: unknown): Map<string, unknown> {
  const { containers, initContainers, volumes, ...rest } = pod as Record<string, unknown>;
  const all = [...namedList(containers), ...namedList(initContainers)];
  const user = namedList(containers).find(({ name }) => name === 'user');
  const places = (ours.containers[0]?.volumeMounts ?? []).map(({ mountPath }) => mountPath);
  const own = ours.volumes.map(({ name }) => name);
  const isOwn = (mount: Record<string, unknown>): boolean => own.includes(String(mount['name']));
  const found = new Map<string, unknown>([
    ['the container worker', namedList(initContainers).find(({ name }) => name === 'worker')],
    ...(['image', 'command', 'args', 'workingDir'] as const).map(
      (field) => [`${field} of the container user`, user?.[field]] as const,
    ),
    ['a variable of the container user', variables(ours, user)],
    ['a volume', own.map((name) => namedList(volumes).find((volume) => volume.name === name))],
    // In no other container either: all that the sidecar has is in there.
    ['a mount', all.flatMap((each) => mounts(each).flatMap((mount) => (isOwn(mount) ? [[each['name'], mount]] : [])))],
    [
      'a place below a mount',
      mounts(user).filter(
        (mount) => !isOwn(mount) && places.some((place) => isWithin(String(mount['mountPath']), place)),
      ),
    ],
    ...(['restartPolicy', 'automountServiceAccountToken'] as const).map((field) => [field, rest[field]] as const),
  ]);
  return found;
}

/** Those that we gave it. */
function variables(ours: PodSpec, user: Record<string, unknown> | undefined): unknown {
  const given = namedList(ours.containers[0]?.['env']).map(({ name }) => name);
  return namedList(user?.['env']).filter(({ name }) => given.includes(name));
}

function mounts(container: Record<string, unknown> | undefined): Record<string, unknown>[] {
  return namedList(container?.['volumeMounts']);
}

/** A list of objects, be it none at all: a patch may have put anything in its place. */
function namedList(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function firstDifference(
  before: ReadonlyMap<string, unknown>,
  after: ReadonlyMap<string, unknown>,
): string | undefined {
  for (const [what, value] of before) if (!isDeepStrictEqual(value, after.get(what))) return what;
  return undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
