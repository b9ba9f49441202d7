/**
 * Whether this machine runs a job's commands as the job's recipe says.
 */
import { PachError } from '../base/errors.ts';
import type { BlobReader } from '../cache/blobs.ts';
import type { Executor } from '../execution/executor.ts';
import { canonicalJson } from '../model/canonical.ts';
import type { Job } from '../pipelines/jobs/jobs.ts';
import type { Fingerprint } from '../pipelines/jobs/recipe.ts';
import { localExecutorNames, type LocalExecutorName } from './executors.ts';

/**
 * The executor of this machine that gives the results of the one that a job ran with. Throws
 * `unsupported` where there is none.
 */
export function executorOf({ id, executor }: Job): LocalExecutorName {
  // Pods run images as Docker does.
  const found = executor === 'kubernetes' ? 'docker' : localExecutorNames.find((name) => name === executor);
  if (found) return found;
  throw new PachError('unsupported', {
    what: `job ${id}`,
    why: `it ran with the executor ${executor}, which this machine does not have`,
    next: `choose another one: --executor ${localExecutorNames.join('|')}`,
  });
}

/** What a job's recipe says of where its commands run. */
export async function recipeOf(
  reader: BlobReader,
  { recipe }: Pick<Job, 'recipe'>,
): Promise<{ readonly executor: string; readonly platform: Fingerprint }> {
  return JSON.parse((await reader.plainChunk(recipe)).toString()) as Awaited<ReturnType<typeof recipeOf>>;
}

/**
 * Names of what the recipe of a job says of its machine or image, and is not so here; undefined where
 * the executors are of different classes.
 */
export async function platformDifferences(
  reader: BlobReader,
  job: Pick<Job, 'recipe'>,
  executor: Pick<Executor, 'resultsClass' | 'fingerprint'>,
  image: string,
): Promise<string[] | undefined> {
  const recipe = await recipeOf(reader, job);
  const now: Readonly<Record<string, unknown>> = await executor.fingerprint(image);
  if (recipe.executor !== executor.resultsClass) return undefined;
  return [...new Set([...Object.keys(recipe.platform), ...Object.keys(now)])].filter(
    (name) => !canonicalJson({ is: recipe.platform[name] }).equals(canonicalJson({ is: now[name] })),
  );
}
