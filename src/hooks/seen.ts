/**
 * What there is to tell of pipelines, with a memory of how far they were looked at: a look costs by
 * what is new.
 */
import type { Job } from '../pipelines/jobs/jobs.ts';
import type { Pipeline } from '../pipelines/pipelines.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { happeningsSince, lateness, type Happening } from './happenings.ts';

export interface Work {
  readonly pipeline: Pipeline;
  /** Its newest one. */
  readonly job: Job | undefined;
}

interface Known {
  /** All that began up to then is told, or is nothing to tell. */
  readonly floor: number;
  readonly newest: string;
  /** Where the floor is once these are told. */
  readonly nextFloor: number;
  readonly happenings: readonly Happening[];
}

export class Happenings {
  private readonly known = new Map<string, Known>();

  /** The oldest first, and when there may be more though nothing changes. `since`: where a first look stops. */
  async of(
    snapshot: Snapshot,
    { pipeline, job }: Work,
    { since, now }: { readonly since: number; readonly now: number },
  ): Promise<{ readonly happenings: readonly Happening[]; readonly next: number }> {
    const { name } = pipeline;
    // None of its jobs changes but the newest.
    const newest = `${job?.id} ${job?.state}`;
    const started = job?.started ?? 0;
    let known = this.known.get(name);
    if (known?.newest !== newest) {
      // A pipeline that was deleted and made again begins anew.
      const floor = known && known.floor <= started ? known.floor : -1;
      const found = await happeningsSince(snapshot, pipeline, { floor, since });
      const nextFloor = job?.state === 'running' ? started - 1 : started;
      known = { floor, newest, nextFloor, happenings: found };
      this.known.set(name, known);
    }
    const late = await lateness(snapshot, pipeline);
    if (!late) return { happenings: known.happenings, next: Infinity };
    return late.time > now
      ? { happenings: known.happenings, next: late.time }
      : { happenings: [...known.happenings, late], next: Infinity };
  }

  /** Nobody has to be told any more of what `of` gave for a pipeline. */
  settled(name: string): void {
    const known = this.known.get(name);
    if (known) this.known.set(name, { ...known, floor: known.nextFloor, happenings: [] });
  }
}
