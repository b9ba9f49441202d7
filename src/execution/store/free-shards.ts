/**
 * Shards of a job that a worker may take: those that nobody had when it looked last. The list grows old while others
 * take them, so a claim alone says whose a shard is.
 */
import type { ObjectInfo } from '../../store/store.ts';
import type { Free, WorkObjects } from './work-objects.ts';

export type FreeShard = readonly [name: string, info: Pick<ObjectInfo, 'size'>];

export class FreeShards {
  readonly objects: WorkObjects;
  private shards: FreeShard[] = [];
  private share = 1;
  private lookedAt = -Infinity;
  private claimsSeen = 0;

  constructor(objects: WorkObjects) {
    this.objects = objects;
  }

  /** Claims that the job had at the last look, about. */
  get claims(): number {
    return this.claimsSeen;
  }

  /** Shards that are left of the last look, about; of all of the job where it saw a part. */
  get left(): number {
    return this.shards.length / this.share;
  }

  async look(): Promise<Free> {
    this.lookedAt = performance.now();
    const free = await this.objects.free();
    this.shards = shuffled([...free.shards]);
    this.share = free.share;
    this.claimsSeen = free.claims;
    return free;
  }

  isOlderThan(ms: number): boolean {
    return performance.now() - this.lookedAt > ms;
  }

  /** One of them, which is tried once. */
  next(): FreeShard | undefined {
    return this.shards.pop();
  }

  /** Forgets them: others were quicker. */
  drop(): void {
    this.shards = [];
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
