/**
 * Which claims of workers count, as a job's engine sees it: those that change from time to time. One
 * of a process that is known to be gone counts no more.
 */
import { isGone } from '../../pipelines/jobs/lease.ts';
import type { Claim } from '../../model/records/work.ts';
import type { WorkObjects } from './work-objects.ts';

interface Seen {
  readonly look: string;
  /** How long it has not changed while somebody looked. */
  forMs: number;
  /** Who holds it, once that was asked; null where it does not say. */
  holder?: Claim | null;
}

/** The holder of a claim that has not changed for so long is looked for on this machine. */
const askMs = 2000;
/**
 * Looks that are farther apart count for this part of the time a claim lasts: while the store is away, or this
 * machine sleeps, nobody sees a worker renew its claim.
 */
const stepPart = 1 / 6;

export class Claims {
  private readonly objects: WorkObjects;
  private readonly claimMs: number;
  private readonly isGoneElsewhere: (claim: Claim) => boolean;
  private seen = new Map<string, Seen>();
  private lookedAt = performance.now();

  /** `isGoneElsewhere`: whether the worker of a claim is known to be gone, where this machine does not see its process. */
  constructor(objects: WorkObjects, claimMs: number, isGoneElsewhere: (claim: Claim) => boolean) {
    this.objects = objects;
    this.claimMs = claimMs;
    this.isGoneElsewhere = isGoneElsewhere;
  }

  /** Names of listed claims that are nobody's any more. */
  async lapsed(listed: ReadonlyMap<string, string>): Promise<string[]> {
    const now = performance.now();
    const stepMs = Math.min(now - this.lookedAt, this.claimMs * stepPart);
    this.lookedAt = now;
    const seen = new Map<string, Seen>();
    for (const [name, look] of listed) {
      const before = this.seen.get(name);
      const isSame = before?.look === look;
      if (isSame) before.forMs += stepMs;
      seen.set(name, isSame ? before : { look, forMs: 0 });
    }
    this.seen = seen;
    const lapsed: string[] = [];
    for (const [name, each] of seen) if (await this.isLapsed(name, each)) lapsed.push(name);
    return lapsed;
  }

  private async isLapsed(name: string, seen: Seen): Promise<boolean> {
    const { forMs } = seen;
    if (forMs >= this.claimMs) return true;
    if (forMs < Math.min(askMs, this.claimMs / 2)) return false;
    seen.holder ??= (await this.objects.readClaim(name).catch(() => undefined)) ?? null;
    if (!seen.holder) return false;
    const { host, pid, pidStarted } = seen.holder;
    if (this.isGoneElsewhere(seen.holder)) return true;
    return host !== undefined && pid !== undefined && pidStarted !== undefined && isGone({ host, pid, pidStarted });
  }
}
