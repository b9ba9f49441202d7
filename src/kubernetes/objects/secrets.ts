/**
 * The secrets of a spec as a pod gets them: Kubernetes puts the values in. Nobody here reads them.
 */
import type { SecretUse } from '../../pipelines/spec/spec.ts';
import type { Volume, VolumeMount } from './patch.ts';

/** Of a container. */
export interface Variable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: object;
}

export function secretVariables(uses: readonly SecretUse[]): Variable[] {
  return uses.flatMap(({ name: secret, key, envVar }) =>
    envVar === undefined || key === undefined
      ? []
      : { name: envVar, valueFrom: { secretKeyRef: { name: secret, key } } },
  );
}

/** A folder may hold keys of several secrets. */
export function secretMounts(uses: readonly SecretUse[]): { readonly volume: Volume; readonly mount: VolumeMount }[] {
  const folders = new Map<string, object[]>();
  for (const { name, key, mountPath } of uses) {
    if (mountPath === undefined) continue;
    const source = { secret: { name, ...(key !== undefined && { items: [{ key, path: key }] }) } };
    folders.set(mountPath, [...(folders.get(mountPath) ?? []), source]);
  }
  return [...folders].map(([mountPath, sources], index) => {
    const name = `secret-${index}`;
    return { volume: { name, projected: { sources } }, mount: { name, mountPath, readOnly: true } };
  });
}
