/**
 * The secrets that a pipeline's commands are given, from this machine's store of them.
 */
import { join } from 'node:path';
import { PachError } from '../base/errors.ts';
import type { Home } from '../local/home.ts';
import { readSecret } from '../local/secrets.ts';
import type { SecretFile } from '../execution/executor.ts';
import type { PipelineSpec, SecretUse } from '../pipelines/spec/spec.ts';

export interface GivenSecrets {
  readonly files: readonly SecretFile[];
  readonly env: Readonly<Record<string, string>>;
}

/** Throws `not-found` naming a secret or key that is not there. */
export async function secretsOf(home: Home, { transform }: PipelineSpec): Promise<GivenSecrets> {
  const files: SecretFile[] = [];
  const env: Record<string, string> = {};
  for (const use of transform.secrets) {
    const { values } = await readSecret(home, use.name);
    if (use.envVar !== undefined) env[use.envVar] = valueOf(values, use).toString();
    if (use.mountPath === undefined) continue;
    const keys = use.key === undefined ? [...values.keys()] : [use.key];
    for (const key of keys) files.push({ path: join(use.mountPath, key), bytes: valueOf(values, { ...use, key }) });
  }
  return { files, env };
}

function valueOf(values: ReadonlyMap<string, Buffer>, { name, key = '' }: SecretUse): Buffer {
  const value = values.get(key);
  if (value) return value;
  throw new PachError('not-found', {
    what: `secret ${name}`,
    why: `it has no key ${key}`,
    next: `pach inspect secret ${name}`,
  });
}
