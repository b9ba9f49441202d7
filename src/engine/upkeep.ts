/**
 * What engines do for a store by themselves, by one of them: a collection of garbage once a day, and a
 * check that reads the next part of all data. When each was last begun lies in the store, so that it is
 * due whoever comes, and done once.
 */
import { PachError } from '../base/errors.ts';
import { decodeRepo, decodeUpkeep, encodeUpkeep } from '../model/records/refs.ts';
import { encodeScrub } from '../model/records/scrub.ts';
import { isHeld } from '../pipelines/jobs/lease.ts';
import { leasedJobs } from '../pipelines/jobs/running.ts';
import type { Project } from '../versions/project.ts';
import { byEngine } from '../versions/publish.ts';
import { garbageKey, scrubKey } from '../versions/ref-keys.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { checkProject } from '../versions/upkeep/fsck.ts';
import { collectGarbage } from '../versions/upkeep/gc.ts';
import type { GcResult } from '../versions/upkeep/gc-result.ts';
import { scrub, scrubOf } from '../versions/upkeep/scrub.ts';
import type { RunEvent, TellOf } from './events.ts';
import { errorData } from './outcome.ts';
import type { ServeEvent } from './serve-events.ts';

const hourMs = 3_600_000;
export const upkeepEveryMs = 24 * hourMs;

/** All data is read once in such a time. */
const roundMs = 30 * upkeepEveryMs;

/** The upkeep of one engine, beside its jobs. */
export class Upkeep implements AsyncDisposable {
  private readonly project: Project;
  private readonly tell: TellOf<RunEvent | ServeEvent>;
  private readonly ended: () => void;
  private readonly scrubShare: number;
  private readonly stop = new AbortController();
  private current: Promise<void> | undefined;
  private born: number | undefined;
  private pausedUntil = -Infinity;

  /** `scrubShare`: of all data, read in a day; 0: none is. `ended`: called when something of it has ended. */
  constructor(project: Project, tell: TellOf<RunEvent | ServeEvent>, scrubShare: number, ended: () => void) {
    this.project = project;
    this.tell = tell;
    this.scrubShare = scrubShare;
    this.ended = ended;
  }

  /**
   * Begins what is due, which goes on beside the jobs. An engine that has jobs puts it off, for a day at
   * most. Resolves to when to come again.
   */
  async at(snapshot: Snapshot, now: number, isBusy: boolean): Promise<number> {
    if (this.current) return Infinity;
    const due = async (last: number | undefined): Promise<number> =>
      Math.max(
        this.pausedUntil,
        (last ?? (await this.firstDay(snapshot, now))) + upkeepEveryMs + (isBusy ? upkeepEveryMs : 0),
      );
    const garbage = await due(await lastBegun(snapshot, garbageKey, now));
    const check = this.scrubShare > 0 ? await due(await lastBegun(snapshot, scrubKey, now)) : Infinity;
    if (Math.min(garbage, check) > now) return Math.min(garbage, check);
    this.current = this.run(now, () => (garbage <= now ? this.collect(now) : this.check(now))).finally(() => {
      this.current = undefined;
      this.ended();
    });
    return Infinity;
  }

  /** When there was first something to keep in order: what no engine has done yet is due a day later. */
  private async firstDay(snapshot: Snapshot, now: number): Promise<number> {
    if (this.born !== undefined) return this.born;
    let first = Infinity;
    for await (const { value } of snapshot.items(Buffer.from('repo/')))
      first = Math.min(first, decodeRepo(value).created);
    if (first === Infinity) return now;
    return (this.born = Math.min(first, now));
  }

  private async run(now: number, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.pausedUntil = now + hourMs;
      if (!this.stop.signal.aborted) this.tell({ kind: 'trouble', pipeline: null, error: errorData(error) });
    }
  }

  private async collect(now: number): Promise<void> {
    const result = await upkeep(this.project, { now, signal: this.stop.signal });
    if (!result) return;
    const { deletedObjects: objects, deletedBytes: bytes, condemnedBytes: kept } = result;
    this.tell({ kind: 'collected', objects, bytes, kept });
  }

  private async check(now: number): Promise<void> {
    const found = await checkPart(this.project, { now, share: this.scrubShare, signal: this.stop.signal });
    if (!found) return;
    this.tell({ kind: 'checked', bytes: found.bytes, damage: found.damage });
    const [first] = found.damage;
    if (first === undefined) return;
    const more = found.damage.length > 1 ? `; ${found.damage.length - 1} more are damaged` : '';
    const error = new PachError('damaged', {
      what: `project ${this.project.options.name}`,
      why: `${first}${more}`,
      next: 'pach fsck --repair --from URL',
    });
    this.tell({ kind: 'trouble', pipeline: null, error: errorData(error) });
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
    const last = await lastBegun(change.snapshot, garbageKey, now);
    if (last !== undefined && last + upkeepEveryMs > now) return false;
    change.set({ key: garbageKey, value: encodeUpkeep({ time: now }), refs: [] });
    return true;
  });
  if (!isOurs) return undefined;
  // As with `pach gc`, and longer for what a job reads that began before somebody deleted it.
  const grace = Math.max(upkeepEveryMs, now - (await oldestRun(await project.snapshot(), now)) + hourMs);
  return collectGarbage(project, { grace, dryRun: false, signal, progress: () => undefined });
}

/** Checks the project and reads the next part of its data, if nobody has begun that within a day before `now`. */
async function checkPart(
  project: Project,
  { now, share, signal }: { readonly now: number; readonly share: number; readonly signal: AbortSignal },
): Promise<{ readonly bytes: number; readonly damage: readonly string[] } | undefined> {
  const isOurs = await project.update(byEngine('check data'), async (change) => {
    const last = await lastBegun(change.snapshot, scrubKey, now);
    if (last !== undefined && last + upkeepEveryMs > now) return false;
    const record = (await scrubOf(change.snapshot)) ?? { began: now, done: false, damage: [] };
    change.set({ key: scrubKey, value: encodeScrub({ ...record, time: now }), refs: [] });
    return true;
  });
  if (!isOurs) return undefined;
  const request = { readShare: 0, random: Math.random, signal, progress: () => undefined };
  const { checked } = await scrub(project, { share, since: now - roundMs, now }, (pass) =>
    checkProject(project, { ...request, pass }),
  );
  const damage = (await scrubOf(await project.snapshot()))?.damage ?? [];
  return { bytes: checked.bytesRead, damage };
}

/** When it was last begun: `garbageKey` or `scrubKey`. A time to come was written by a clock that was wrong: it does not count. */
async function lastBegun(snapshot: Snapshot, key: Buffer, now: number): Promise<number | undefined> {
  const item = await snapshot.item(key);
  // A scrub record begins as an upkeep record does.
  const time = item && decodeUpkeep(item.value).time;
  return time !== undefined && time > now + hourMs ? -upkeepEveryMs : time;
}

/** When the oldest job that runs was started: what it reads may have been deleted since, and stays until it ends. */
async function oldestRun(snapshot: Snapshot, now: number): Promise<number> {
  let oldest = now;
  for await (const { lease, job } of leasedJobs(snapshot)) {
    // Its engine's clock may be behind.
    if (isHeld(lease, now - hourMs)) oldest = Math.min(oldest, job.started);
  }
  return oldest;
}
