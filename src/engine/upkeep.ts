/**
 * What engines do for a store by themselves: a collection of garbage once a day, by one of them. When it
 * was last begun lies in the store, so that it is due whoever comes, and done once.
 */
import { decodeUpkeep, encodeUpkeep } from '../model/records/refs.ts';
import { isHeld } from '../pipelines/jobs/lease.ts';
import { leasedJobs } from '../pipelines/jobs/running.ts';
import type { Project } from '../versions/project.ts';
import { byEngine } from '../versions/publish.ts';
import { garbageKey } from '../versions/ref-keys.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { collectGarbage } from '../versions/upkeep/gc.ts';
import type { GcResult } from '../versions/upkeep/gc-result.ts';
import type { RunEvent, TellOf } from './events.ts';
import { errorData } from './outcome.ts';
import type { ServeEvent } from './serve-events.ts';

const hourMs = 3_600_000;
export const upkeepEveryMs = 24 * hourMs;

/** The collections of one engine, beside its jobs. */
export class Upkeep implements AsyncDisposable {
  private readonly project: Project;
  private readonly tell: TellOf<RunEvent | ServeEvent>;
  private readonly ended: () => void;
  private readonly stop = new AbortController();
  private current: Promise<void> | undefined;
  /** Where no engine has done it yet, a day from here. */
  private began: number | undefined;
  private pausedUntil = -Infinity;

  /** `ended`: called when a collection has ended. */
  constructor(project: Project, tell: TellOf<RunEvent | ServeEvent>, ended: () => void) {
    this.project = project;
    this.tell = tell;
    this.ended = ended;
  }

  /**
   * Begins a collection that is due, which goes on beside the jobs. An engine that has jobs puts it off,
   * for a day at most. Resolves to when to come again.
   */
  async at(snapshot: Snapshot, now: number, isBusy: boolean): Promise<number> {
    this.began ??= now;
    if (this.current) return Infinity;
    const last = await lastUpkeep(snapshot, now);
    const due = Math.max(this.pausedUntil, (last ?? this.began) + upkeepEveryMs + (isBusy ? upkeepEveryMs : 0));
    if (due > now) return due;
    this.current = this.run(now).finally(() => {
      this.current = undefined;
      this.ended();
    });
    return Infinity;
  }

  private async run(now: number): Promise<void> {
    try {
      const result = await upkeep(this.project, { now, signal: this.stop.signal });
      if (!result) return;
      const { deletedObjects: objects, deletedBytes: bytes, condemnedBytes: kept } = result;
      this.tell({ kind: 'collected', objects, bytes, kept });
    } catch (error) {
      this.pausedUntil = now + hourMs;
      if (!this.stop.signal.aborted) this.tell({ kind: 'trouble', pipeline: null, error: errorData(error) });
    }
  }

  /** Gives up what is under way: the next engine does it a day later. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.stop.abort();
    await this.current;
  }
}

/** Collects garbage, if nobody has begun that within a day before `now`. Resolves to what was collected, if it was. */
export async function upkeep(
  project: Project,
  { now, signal }: { readonly now: number; readonly signal: AbortSignal },
): Promise<GcResult | undefined> {
  const isOurs = await project.update(byEngine('collect garbage'), async (change) => {
    const last = await lastUpkeep(change.snapshot, now);
    if (last !== undefined && last + upkeepEveryMs > now) return false;
    change.set({ key: garbageKey, value: encodeUpkeep({ time: now }), refs: [] });
    return true;
  });
  if (!isOurs) return undefined;
  // As with `pach gc`, and longer for what a job reads that began before somebody deleted it.
  const grace = Math.max(upkeepEveryMs, now - (await oldestRun(await project.snapshot(), now)) + hourMs);
  return collectGarbage(project, { grace, dryRun: false, signal, progress: () => undefined });
}

/** When it was last begun. A time to come was written by a clock that was wrong: it does not count. */
async function lastUpkeep(snapshot: Snapshot, now: number): Promise<number | undefined> {
  const item = await snapshot.item(garbageKey);
  const time = item && decodeUpkeep(item.value).time;
  return time !== undefined && time > now + hourMs ? -upkeepEveryMs : time;
}

/** When the oldest job that runs was started: what it reads may have been deleted since, and stays until it ends. */
async function oldestRun(snapshot: Snapshot, now: number): Promise<number> {
  let oldest = now;
  for await (const { lease, job } of leasedJobs(snapshot)) {
    if (isHeld(lease, now)) oldest = Math.min(oldest, job.started);
  }
  return oldest;
}
