/**
 * The executors by name.
 */
import { fileURLToPath } from 'node:url';
import type { BuildWatch, Executor, LocalExecutor } from '../execution/executor.ts';
import type { ClusterFields } from '../local/config.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import type { ClusterChoice } from './cluster.ts';
import type { Settings } from './settings.ts';

/** Those whose commands run on this machine. */
export const localExecutorNames = ['process', 'docker'] as const;
export type LocalExecutorName = (typeof localExecutorNames)[number];
export const executorNames = [...localExecutorNames, 'kubernetes'] as const;
export type ExecutorName = (typeof executorNames)[number];

export interface ExecutorChoice {
  readonly executor: ExecutorName;
  /** Of the executor kubernetes. */
  readonly cluster?: ClusterChoice | undefined;
}

const program = (name: string): string => fileURLToPath(new URL(`../../native/build/${name}`, import.meta.url));

/** What starts commands. */
export const launcherProgram = program('launcher');

/** What mounts in the other container of a pod. */
export const inserterProgram = program('inserter');

/** What decides the results of commands: no pod is made. */
export async function openExecutor(
  executor: ExecutorName,
  settings: Settings,
  note: (line: string) => void,
  cluster: Pick<ClusterFields, 'imageRegistry' | 'platform'> = {},
): Promise<Executor> {
  if (executor !== 'kubernetes') return openLocalExecutor(executor, settings);
  const { clusterExecutor } = await import('./cluster.ts');
  return clusterExecutor(settings, note, cluster);
}

export async function openLocalExecutor(
  name: LocalExecutorName,
  { docker, commandEnvironment = {} }: Settings,
): Promise<LocalExecutor> {
  if (name === 'process') {
    const { ProcessExecutor } = await import('../execution/executors/process.ts');
    return new ProcessExecutor({ program: launcherProgram, env: commandEnvironment });
  }
  const { connectDocker } = await import('../execution/executors/docker.ts');
  return connectDocker({
    launcher: launcherProgram,
    binder: program('binder'),
    ...(docker !== undefined && { host: docker }),
  });
}

/** A spec with the name of the image that is built for it here, where it says how and the executor has images. */
export async function withBuiltImage(executor: Executor, spec: PipelineSpec, watch: BuildWatch): Promise<PipelineSpec> {
  if (!spec.build || !executor.build) return spec;
  const log = (line: string): void => watch.log(`image of ${spec.name}: ${line}`);
  const image = await executor.build(spec.build, { ...watch, log });
  return { ...spec, transform: { ...spec.transform, image } };
}
