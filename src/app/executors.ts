/**
 * The executors by name.
 */
import { fileURLToPath } from 'node:url';
import type { Executor } from '../pipelines/executor.ts';
import type { Settings } from './settings.ts';

export const executorNames = ['process', 'docker'] as const;
export type ExecutorName = (typeof executorNames)[number];

const launcher = fileURLToPath(new URL('../../native/build/launcher', import.meta.url));

export async function openExecutor(
  name: ExecutorName,
  { docker, commandEnvironment = {} }: Settings,
): Promise<Executor> {
  if (name === 'process') {
    const { ProcessExecutor } = await import('../pipelines/executors/process.ts');
    return new ProcessExecutor({ program: launcher, env: commandEnvironment });
  }
  throw new Error(String(docker));
}
