/**
 * Which claims of workers count, as a job's engine sees it: those that change from time to time. One
 * of a process that is known to be gone counts no more.
 */
import { mapOrdered } from '../../base/async.ts';
import { isGone } from '../../pipelines/jobs/lease.ts';
import type { Claim } from '../../model/records/work.ts';
import { timesFor, type WorkTimes } from './times.ts';
import type { WorkObjects } from './work-objects.ts';

interface Seen {
  readonly look: string;
  /** How long it has not changed while somebody looked. */
  forMs: number;
  /** Who holds it, once that was asked; null where it does not say. */
  holder?: Claim | null;
  /** Who held it before it changed. */
  readonly likely?: Claim | null | undefined;
}

/** The holder of a claim that has not changed for so long is looked for on this machine. */
const askMs = 2000;
/**
 * Looks that are farther apart count for this part of the time a claim lasts: while the store is away, or this
 * machine sleeps, nobody sees a worker renew its claim.
 */
const stepPart = 1 / 6;
/** Holders that are asked for at a look: where there are very many claims, those of the others are asked later. */
const readsMax = 16;

export class Claims {
  private readonly objects: WorkObjects;
  private readonly times: WorkTimes;
  private readonly isGoneElsewhere: (claim: Claim) => boolean;
  private seen = new Map<string, Seen>();
  private lookedAt = performance.now();
  private readsLeft = 0;
  private most = 0;

  /** `isGoneElsewhere`: whether the worker of a claim is known to be gone, where this machine does not see its process. */
  constructor(objects: WorkObjects, times: WorkTimes, isGoneElsewhere: (claim: Claim) => boolean) {
    this.objects = objects;
    this.times = times;
    this.isGoneElsewhere = isGoneElsewhere;
  }

  /** Workers that have claims, about: claims whose holders are not known yet are spread as the others are. */
  get workers(): number {
    const known = [...this.seen.values()].flatMap(({ holder, likely }) => (holder ?? likely)?.worker ?? []);
    const each = known.length / new Set(known).size || 1;
    return Math.round(this.seen.size / each);
  }

  /** Names of listed claims that are nobody's any more. */
  async lapsed(listed: ReadonlyMap<string, string>): Promise<string[]> {
    const now = performance.now();
    // Workers go by how many claims they were told of some time ago.
    this.most = Math.max(this.most, listed.size);
    const { claimMs } = timesFor(this.times, this.most);
    const stepMs = Math.min(now - this.lookedAt, claimMs * stepPart);
    this.lookedAt = now;
    const seen = new Map<string, Seen>();
    for (const [name, look] of listed) {
      const before = this.seen.get(name);
      const isSame = before?.look === look;
      if (isSame) before.forMs += stepMs;
      // Whoever had it has renewed it, most likely.
      seen.set(name, isSame ? before : { look, forMs: 0, likely: before?.holder ?? before?.likely });
    }
    this.seen = seen;
    this.readsLeft = readsMax;
    const lapsed: string[] = [];
    const looks = mapOrdered(seen, readsMax, async ([name, each]) => {
      return (await this.isLapsed(name, each, claimMs)) ? name : undefined;
    });
    for await (const name of looks) if (name !== undefined) lapsed.push(name);
    return lapsed;
  }

  private async isLapsed(name: string, seen: Seen, claimMs: number): Promise<boolean> {
    const { forMs } = seen;
    if (forMs >= claimMs) return true;
    if (forMs < Math.min(askMs, claimMs / 2)) return false;
    if (seen.holder === undefined) {
      if (seen.likely && !this.isHolderGone(seen.likely)) return false;
      if (this.readsLeft === 0) return false;
      this.readsLeft -= 1;
      seen.holder = (await this.objects.readClaim(name).catch(() => undefined)) ?? null;
    }
    return seen.holder !== null && this.isHolderGone(seen.holder);
  }

  /** False where nobody knows. */
  private isHolderGone(holder: Claim): boolean {
    const { host, pid, pidStarted } = holder;
    if (this.isGoneElsewhere(holder)) return true;
    return host !== undefined && pid !== undefined && pidStarted !== undefined && isGone({ host, pid, pidStarted });
  }
}
