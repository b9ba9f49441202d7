/**
 * Taking promotions back, one after the other: a pipeline is at its place what it was there before, and
 * where it was nothing there, it runs anywhere again.
 */
import { PachError } from '../../base/errors.ts';
import type { Change } from '../../versions/change.ts';
import type { Project } from '../../versions/project.ts';
import { pipelineKey } from '../../versions/ref-keys.ts';
import { newestJob, setJob } from '../jobs/jobs.ts';
import { findPipeline, maybePipeline, setPipeline, type Pipeline } from '../pipelines.ts';
import { ticksSince } from '../ticks.ts';
import { checkGraph, enterPipeline } from './enter.ts';
import { forgetPromoted, takePromoted } from './promoted.ts';

export interface DemotedPipeline {
  readonly name: string;
  readonly place: string;
  /** The version of it that the place has now; undefined: none. */
  readonly version: number | undefined;
}

/**
 * Takes the last promotion of each pipeline back, or with `remove` all of them. All are of one place. Throws
 * `not-found`, and `conflict` for one that was promoted nowhere, or elsewhere.
 */
export async function demote(
  project: Project,
  names: readonly string[],
  { remove }: { readonly remove: boolean },
): Promise<DemotedPipeline[]> {
  return project.update(`demote pipeline ${names.join(', ')}`, async (change: Change) => {
    const demoted: DemotedPipeline[] = [];
    const back: Pipeline[] = [];
    for (const name of new Set(names)) {
      const before = await findPipeline(change.snapshot, name);
      const place = placeOf(before, demoted[0]);
      const earlier = remove ? undefined : await takePromoted(change, name);
      if (earlier) {
        const now = Date.now();
        const { created, stopped } = before;
        const since = ticksSince(earlier.spec, before, now);
        const pipeline = { ...earlier, created, stopped, updated: now, ticksSince: since };
        await enterPipeline(change, pipeline, { before, branch: undefined });
        back.push(pipeline);
      } else {
        await forgetPromoted(change, name);
        setPipeline(change, { ...before, place: undefined, pinned: undefined });
      }
      demoted.push({ name, place, version: earlier?.version });
    }
    // What it read then may be gone.
    if (back.length > 0)
      await checkGraph(
        change,
        back.map(({ spec }) => spec),
        undefined,
      );
    return demoted;
  });
}

/**
 * Ends experiments: production stays as it is, and what they have made stays on the branch. A job that runs
 * for one of them is asked to stop. Throws as `demote` does.
 */
export async function demoteOnBranch(
  project: Project,
  names: readonly string[],
  branch: string,
): Promise<DemotedPipeline[]> {
  return project.update(`demote pipeline ${names.join(', ')} on branch ${branch}`, async (change: Change) => {
    const demoted: DemotedPipeline[] = [];
    for (const name of new Set(names)) {
      const before = await findPipeline(change.snapshot, name, branch);
      demoted.push({ name, place: placeOf(before, demoted[0]), version: undefined });
      const { job } = await newestJob(change.snapshot, name, branch);
      if (job?.state === 'running') setJob(change, { ...job, stopping: true });
      // A repo whose pipeline is nowhere else stays the output of that one.
      if (await maybePipeline(change.snapshot, name)) change.delete(pipelineKey(name, branch));
      else setPipeline(change, { ...before, place: undefined, pinned: undefined }, branch);
    }
    return demoted;
  });
}

function placeOf({ name, place }: Pipeline, first: DemotedPipeline | undefined): string {
  const what = `pipeline ${name}`;
  if (place === undefined) throw new PachError('conflict', { what, why: 'it was promoted nowhere' });
  if (first === undefined || place === first.place) return place;
  const why = `it was promoted to ${place}, and ${first.name} to ${first.place}`;
  throw new PachError('conflict', { what, why, next: 'take them back one after the other' });
}
