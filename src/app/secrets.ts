import type { Home } from '../local/home.ts';
import type { SecretFile } from '../pipelines/executor.ts';
import type { PipelineSpec } from '../pipelines/spec.ts';
export async function secretsOf(
  _home: Home,
  _spec: PipelineSpec,
): Promise<{ files: readonly SecretFile[]; env: Readonly<Record<string, string>> }> {
  return { files: [], env: {} };
}
