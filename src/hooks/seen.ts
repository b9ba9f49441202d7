/**
 * What there is to tell of pipelines, with a memory of how far they were looked at: a look costs by
 * what is new.
 */
import type { Pipeline } from '../pipelines/pipelines.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { happeningsSince, lateness, newestOf, type Happening } from './happenings.ts';

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
    pipeline: Pipeline,
    { since, now }: { readonly since: number; readonly now: number },
  ): Promise<{ readonly happenings: readonly Happening[]; readonly next: number }> {
    const { name } = pipeline;
    const newest = await newestOf(snapshot, pipeline);
    let known = this.known.get(name);
    if (known?.newest !== newest.text) {
      // A pipeline that was deleted and made again begins anew.
      const floor = known && known.floor <= newest.started ? known.floor : -1;
      const found = await happeningsSince(snapshot, pipeline, { floor, since });
      const nextFloor = newest.isRunning ? newest.started - 1 : newest.started;
      known = { floor, newest: newest.text, nextFloor, happenings: found };
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
