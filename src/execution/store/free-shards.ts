/**
 * Shards of a job that a worker may take: those that nobody had when the engine looked last, as its offer tells.
 * Others take them meanwhile, so a claim alone says whose a shard is.
 */
import type { Token } from '../../store/store.ts';
import type { WorkObjects } from './work-objects.ts';

/** What the offer says: something new, or nothing; that the job has ended; or it is not there. */
export type Heard = 'news' | 'unchanged' | 'ended' | 'gone';

/**
 * Between two looks lies a tenth of a look for each claim, up to so many looks: however many workers there are, the
 * store has time for others.
 */
const looksMax = 50;
/** The engine may have looked before a shard was claimed, and told of it afterwards. */
const staleMs = 5000;

export class FreeShards {
  readonly objects: WorkObjects;
  private shards: string[] = [];
  private readonly tried = new Map<string, number>();
  private token: Token | undefined;
  private lookedAt = -Infinity;
  private heardAt = performance.now();
  private tookMs = 0;
  private claimsTold = 0;
  private hasGone = false;

  constructor(objects: WorkObjects) {
    this.objects = objects;
  }

  /** Claims that the job had at the engine's last look. */
  get claims(): number {
    return this.claimsTold;
  }

  /** Shards that may be left. */
  get left(): number {
    return this.shards.length;
  }

  /** The offer was not there at the last look: nobody would read what is delivered. */
  get isGone(): boolean {
    return this.hasGone;
  }

  /** How long the engine has said nothing new. */
  get silentMs(): number {
    return performance.now() - this.heardAt;
  }

  /** How long to wait for the next look, and at least so long. */
  pauseMs(atLeast: number): number {
    return Math.max(atLeast, this.tookMs * Math.min(looksMax, this.claimsTold / 10));
  }

  async look(): Promise<Heard> {
    const begun = performance.now();
    const found = await this.objects.readOffer(this.token);
    this.lookedAt = performance.now();
    this.tookMs = this.lookedAt - begun;
    if (found === 'unchanged') return found;
    this.token = found?.token;
    this.hasGone = !found;
    this.shards = [];
    if (!found) return 'gone';
    const { ended, free, claims } = found.offer;
    this.heardAt = performance.now();
    this.claimsTold = claims;
    if (ended) return 'ended';
    for (const [name, at] of this.tried) if (this.heardAt - at > staleMs) this.tried.delete(name);
    this.shards = shuffled(free.filter((name) => !this.tried.has(name)));
    return 'news';
  }

  isOlderThan(ms: number): boolean {
    return performance.now() - this.lookedAt > ms;
  }

  /** One of them, which is tried once. */
  next(): string | undefined {
    const name = this.shards.pop();
    if (name !== undefined) this.tried.set(name, performance.now());
    return name;
  }
}

/** In an order of its own, so that workers do not all want the same one. */
function shuffled<T>(items: T[]): T[] {
  for (let n = items.length - 1; n > 0; n -= 1) {
    const other = Math.floor(Math.random() * (n + 1));
    [items[n], items[other]] = [items[other] as T, items[n] as T];
  }
  return items;
}
