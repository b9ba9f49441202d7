/**
 * The branches that inputs with triggers read: made, changed and taken away with their pipeline.
 */
import { isDeepStrictEqual } from 'node:util';
import { PachError } from '../../base/errors.ts';
import type { TriggerRecord } from '../../model/records/refs.ts';
import type { Change } from '../../versions/change.ts';
import { branchKey } from '../../versions/ref-keys.ts';
import { setTrigger } from '../../versions/triggers.ts';
import { readersOf } from '../readers.ts';
import { pfsInputs } from '../spec/input.ts';
import type { PfsInput, PipelineSpec } from '../spec/spec.ts';

/** Makes what `after` reads and `before` did not, and takes away what is not read any more. Throws `conflict`. */
export async function setInputTriggers(
  change: Change,
  before: PipelineSpec | undefined,
  after: PipelineSpec | undefined,
): Promise<void> {
  const wanted = after ? triggered(after) : [];
  for (const { repo, branch } of before ? triggered(before) : []) {
    if (before && !wanted.some((other) => other.repo === repo && other.branch === branch)) {
      await forget(change, before.name, { repo, branch });
    }
  }
  for (const input of wanted) if (after) await make(change, after, input);
}

function triggered({ input }: PipelineSpec): PfsInput[] {
  return pfsInputs(input).filter(({ trigger }) => trigger !== undefined);
}

async function make(change: Change, { name: pipeline }: PipelineSpec, { repo, branch: name, trigger }: PfsInput) {
  if (!trigger) return;
  const before = await change.maybeBranch(repo, name);
  if (before && before.trigger?.pipeline !== pipeline) {
    throw new PachError('conflict', {
      what: `branch ${repo}@${name}`,
      why: `it already exists, and the trigger of an input of pipeline ${pipeline} would move it`,
      next: "leave out the input's branch, and one is made; or leave out its trigger, and this branch is read as it is",
    });
  }
  const next: Omit<TriggerRecord, 'since'> = { ...trigger, pipeline };
  if (before?.trigger && isSame(before.trigger, next)) return;
  await setTrigger(change, { provenance: [], ...before, repo, name }, next);
}

/** Takes a branch away, unless somebody else reads it too. */
async function forget(
  change: Change,
  pipeline: string,
  { repo, branch }: Pick<PfsInput, 'repo' | 'branch'>,
): Promise<void> {
  const before = await change.maybeBranch(repo, branch);
  if (before?.trigger?.pipeline !== pipeline) return;
  const others = (await readersOf(change.snapshot, { repo, branch })).filter((name) => name !== pipeline);
  if (others.length === 0) change.delete(branchKey(repo, branch));
  else change.setBranch({ ...before, trigger: { ...before.trigger, pipeline: undefined } });
}

/** True when nothing but the time of the last move differs. */
function isSame(before: TriggerRecord, after: Omit<TriggerRecord, 'since'>): boolean {
  const known = (trigger: object): object =>
    Object.fromEntries(Object.entries(trigger).filter(([, value]) => value !== undefined));
  return isDeepStrictEqual(known(before), known({ ...after, since: before.since }));
}
