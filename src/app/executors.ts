/**
 * The executors by name.
 */
import { fileURLToPath } from 'node:url';
import type { Executor } from '../execution/executor.ts';
import type { Settings } from './settings.ts';

export const executorNames = ['process', 'docker'] as const;
export type ExecutorName = (typeof executorNames)[number];

const program = (name: string): string => fileURLToPath(new URL(`../../native/build/${name}`, import.meta.url));

export async function openExecutor(
  name: ExecutorName,
  { docker, commandEnvironment = {} }: Settings,
): Promise<Executor> {
  if (name === 'process') {
    const { ProcessExecutor } = await import('../execution/executors/process.ts');
    return new ProcessExecutor({ program: program('launcher'), env: commandEnvironment });
  }
  const { connectDocker } = await import('../execution/executors/docker.ts');
  return connectDocker({
    launcher: program('launcher'),
    binder: program('binder'),
    ...(docker !== undefined && { host: docker }),
  });
}
