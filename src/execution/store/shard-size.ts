/**
 * How many datums a shard has, by how long those took that are done. Where there are many workers
 * shards are longer, so that all workers together ask no more of the store.
 */
import { timesFor, type WorkTimes } from './times.ts';

const datumsMax = 256;

export class ShardSize {
  private readonly times: WorkTimes;
  private datums = 0;
  private ms = 0;

  constructor(times: WorkTimes) {
    this.times = times;
  }

  /** False until a datum is done. */
  get isKnown(): boolean {
    return this.datums > 0;
  }

  took(ms: number): void {
    this.datums += 1;
    this.ms += ms;
  }

  /** One at first: nobody knows how long they take. `left`: datums that are in no shard, where that is known. */
  datumsFor(workers: number, left = Infinity): number {
    if (!this.isKnown) return 1;
    const within = (ms: number): number => Math.floor((ms * this.datums) / Math.max(this.ms, 1));
    // Towards the end all workers are to have something to do.
    const share = Math.max(left / (2 * workers), within(this.times.shardMs));
    return Math.max(1, Math.min(datumsMax, share, within(timesFor(this.times, workers).shardMs)));
  }
}
