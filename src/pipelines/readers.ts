/**
 * Which pipelines need a repo or branch that is about to be deleted.
 */
import { PachError } from '../base/errors.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { namesTriggeredBy } from '../versions/triggers.ts';
import { everyPipeline, type Pipeline } from './pipelines.ts';
import { branchRead, pfsInputs } from './spec/input.ts';

/** Data to be deleted: a repo, or one branch of it. */
export interface Deletion {
  readonly repo: string;
  readonly branch?: string;
}

/** Pipelines that read a repo or branch; those that do it only on a branch of their own with that branch. */
export async function readersOf(
  snapshot: Pick<Snapshot, 'items' | 'reader'>,
  { repo, branch }: Deletion,
): Promise<string[]> {
  const all: { readonly pipeline: Pipeline; readonly branch: string | undefined }[] = [];
  for await (const each of everyPipeline(snapshot)) all.push(each);
  const readers = new Set<string>();
  for (const { pipeline, branch: own } of all) {
    const { name, spec } = pipeline;
    if (name === repo || readers.has(name)) continue;
    const reads = pfsInputs(spec.input).some((input) => {
      if (input.repo !== repo) return false;
      const read = branchRead(input, own !== undefined);
      // Beside production, the outputs of other pipelines are read from the same branch.
      const made = all.some((other) => {
        return other.pipeline.name === repo && other.pipeline.spec.outputBranch === read;
      });
      return branch === undefined || branch === (made && own !== undefined ? own : read);
    });
    if (reads) readers.add(own === undefined ? name : `${name} on branch ${own}`);
  }
  return [...readers];
}

/**
 * The pipelines that can't run any more when this is deleted. Throws `conflict` naming them, and
 * for the branch that a pipeline writes, unless `force` says that it is meant.
 */
export async function checkDeletion(snapshot: Snapshot, deletion: Deletion, force: boolean): Promise<string[]> {
  const { repo, branch } = deletion;
  const readers = await readersOf(snapshot, deletion);
  if (force) return readers;
  const what = branch === undefined ? `repo ${repo}` : `branch ${repo}@${branch}`;
  const next = `pach delete ${branch === undefined ? `repo ${repo}` : `branch ${repo}@${branch}`} --force`;
  if (readers.length > 0)
    throw new PachError('conflict', {
      what,
      why: `${readers.join(', ')} ${readers.length === 1 ? 'reads' : 'read'} it`,
      next,
    });
  const [triggered] = branch === undefined ? [] : await namesTriggeredBy(snapshot, repo, branch);
  if (triggered !== undefined) {
    const why = `its commits move branch ${triggered} by a trigger`;
    throw new PachError('conflict', {
      what,
      why,
      next,
      or: `pach update branch ${repo}@${triggered} --remove-trigger`,
    });
  }
  for await (const { pipeline, branch: own } of everyPipeline(snapshot)) {
    if (pipeline.name !== repo || own !== undefined || pipeline.spec.outputBranch !== branch) continue;
    const why = `it is the output of pipeline ${repo}, and the next run would make it again`;
    throw new PachError('conflict', { what, why, next, or: `pach delete pipeline ${repo}` });
  }
  return [];
}
