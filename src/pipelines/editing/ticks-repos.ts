/**
 * The repos that ticks are committed to: made with the pipelines that have them as cron inputs, and deleted
 * with the last of them, unless somebody else reads them.
 */
import type { Change } from '../../versions/change.ts';
import { dropCommits } from '../../versions/refs.ts';
import { branchKey, repoKey, ticksKey } from '../../versions/ref-keys.ts';
import { everyPipeline } from '../pipelines.ts';
import { readersOf } from '../readers.ts';
import { ticksBranch } from '../spec/cron.ts';
import type { PipelineSpec } from '../spec/spec.ts';
import { cronInputs } from '../ticks.ts';

/** Makes, as a part of a change, what a pipeline's cron inputs need. A repo of a person may have ticks too. */
export async function makeTicksRepos(change: Change, { name, input }: PipelineSpec, now: number): Promise<void> {
  for (const { repo } of cronInputs({ input })) {
    if (await change.item(repoKey(repo))) continue;
    change.setRepo({ name: repo, created: now, description: `Ticks of pipeline ${name}`, ticksOf: name });
    change.setBranch({ repo, name: ticksBranch, provenance: [] });
  }
}

/**
 * Deletes, as a part of the change that deletes a pipeline, what it knew of its ticks, and the repos of
 * them that nobody else needs. What stays is a repo like any other, or holds the ticks of another pipeline.
 */
export async function dropTicks(
  change: Change,
  pipeline: string,
  { keepRepos }: { readonly keepRepos: boolean },
): Promise<void> {
  const { snapshot } = change;
  for await (const { key } of snapshot.items(ticksKey(pipeline, ''))) change.delete(key);
  const remaining = { items: (prefix: Buffer) => change.items(prefix), reader: snapshot.reader };
  for await (const repo of snapshot.repos()) {
    if (repo.ticksOf !== pipeline) continue;
    const { name } = repo;
    const [reader] = await readersOf(remaining, { repo: name });
    if (reader === undefined && !keepRepos) {
      for await (const branch of snapshot.branches(name)) change.delete(branchKey(name, branch.name));
      await dropCommits(change, name);
    } else change.setRepo({ ...repo, ticksOf: await nextOwner(remaining, name) });
  }
}

/** Another pipeline that has a repo for its ticks. */
async function nextOwner(refs: Parameters<typeof everyPipeline>[0], repo: string): Promise<string | undefined> {
  for await (const { pipeline } of everyPipeline(refs)) {
    if (cronInputs(pipeline.spec).some((input) => input.repo === repo)) return pipeline.name;
  }
  return undefined;
}
