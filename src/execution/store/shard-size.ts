/**
 * How many datums a shard has, by how long those took that are done. Where there are many workers
 * shards are longer, so that all workers together ask no more of the store.
 */
import { timesFor, type WorkTimes } from './times.ts';

const datumsMax = 256;
/** As long as nobody knows how long they take, so small a part of each worker's share; and as if so many workers came. */
const unknownPart = 1 / 16;
const unknownWorkersMin = 64;
/** As long as nobody knows how many there are, a shard takes this part of the longest time. */
const unknownLeftPart = 1 / 4;

/** Datums that are in no shard. */
interface Waiting {
  /** Undefined while nobody knows. */
  readonly left: number | undefined;
  /** Those of them that are there. */
  readonly ready: number;
}

export class ShardSize {
  private readonly times: WorkTimes;
  private readonly asked: number;
  private datums = 0;
  private ms = 0;

  /** `asked`: how many workers the pipeline asks for. */
  constructor(times: WorkTimes, asked: number) {
    this.times = times;
    this.asked = asked;
  }

  /** False until a datum is done. */
  get isKnown(): boolean {
    return this.datums > 0;
  }

  /** What a datum's command took: the smaller shards are, the longer many workers wait for the store besides. */
  took(ms: number): void {
    this.datums += 1;
    this.ms += ms;
  }

  /** `longer`: so many times longer than they would be otherwise. */
  datumsFor(workers: number, waiting: Waiting, longer = 1): number {
    // Towards the end all workers are to have something to do.
    const share = (waiting.left ?? Infinity) / (2 * workers);
    const datums = Math.max(Math.min(this.usual(workers, waiting) * longer, share), this.within(this.times.shardMs));
    return Math.max(1, Math.min(datumsMax, Math.floor(datums)));
  }

  private usual(workers: number, { left, ready }: Waiting): number {
    if (!this.isKnown) return (ready / Math.max(unknownWorkersMin, this.asked, workers)) * unknownPart;
    const longMs = timesFor(this.times, workers).shardMs;
    // While the end is not in sight, it may be near.
    return this.within(left === undefined ? longMs * unknownLeftPart : longMs);
  }

  /** Datums that take so long; none while nobody knows. */
  private within(ms: number): number {
    return this.isKnown ? Math.floor((ms * this.datums) / Math.max(this.ms, 1)) : 0;
  }
}
