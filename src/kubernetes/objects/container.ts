/**
 * What containers of ours have in common: amounts as Kubernetes writes them, the look at whether one is
 * ready, and the way back of what it says as it dies.
 */
import type { PodResources } from '../../pipelines/spec/pod.ts';

/** The end of a container's log becomes part of its status, so that nobody needs the right to read logs. */
export const lastWords = 'FallbackToLogsOnError';
/** For one look, a little longer than the launcher waits. */
const awaitSeconds = 20;
/** In the worker's image. */
const launcherInImage = '/opt/pachmount/native/build/launcher';

/** Waits until there is something at `path`: to look each second would cost half of one. */
export function readyAt(path: string, { secondsMax }: { readonly secondsMax: number }): object {
  return {
    exec: { command: [launcherInImage, '--await', path] },
    periodSeconds: 1,
    timeoutSeconds: awaitSeconds,
    failureThreshold: Math.ceil(secondsMax / awaitSeconds),
  };
}

export function quantities({ cpu, memoryBytes, diskBytes: disk }: PodResources): Record<string, string> {
  return {
    ...(cpu !== undefined && { cpu: `${Math.ceil(cpu * 1000)}m` }),
    ...(memoryBytes !== undefined && { memory: size(memoryBytes) }),
    ...(disk !== undefined && { 'ephemeral-storage': size(disk) }),
  };
}

const units = { Gi: 2 ** 30, G: 1e9, Mi: 2 ** 20, M: 1e6, Ki: 2 ** 10, k: 1e3 };

/** In the largest unit that says it exactly: the cluster's messages repeat it. */
export function size(bytes: number): string {
  const unit = Object.entries(units).find(([, each]) => bytes > 0 && bytes % each === 0);
  return unit === undefined ? String(bytes) : `${bytes / unit[1]}${unit[0]}`;
}
