/**
 * A bounded queue between a producer and a consumer.
 */
import { Heap } from './heap.ts';

/** In which order items are taken, of those that are there. */
export interface QueueOrder<T> {
  /** The least comes first. */
  rank(item: T): number;
  /** The first one waits until so many are there, or there are no more; fewer than the queue takes. */
  readonly held: number;
}

export class Queue<T> {
  private readonly max: number;
  private items: { readonly length: number; push(item: T): unknown; shift(): T | undefined };
  private held: number;
  private ended = false;
  private readonly takers: (() => void)[] = [];
  private readonly makers: (() => void)[] = [];

  /** Items are taken in the order in which they come where no other one is given. */
  constructor(max: number, order?: QueueOrder<T>) {
    this.max = max;
    this.held = order?.held ?? 0;
    this.items = order ? new Heap<T>((item) => order.rank(item)) : [];
  }

  /** Waits while the queue is full. What is added after the end is dropped. */
  async add(item: T): Promise<void> {
    while (this.items.length >= this.max && !this.ended) await new Promise<void>((go) => this.makers.push(go));
    if (this.ended) return;
    this.items.push(item);
    if (this.items.length < this.held) return;
    const all = this.held > 0 ? this.takers.length : 1;
    this.held = 0;
    for (const go of this.takers.splice(0, all)) go();
  }

  /** The next item; undefined when there will be none any more. */
  async take(): Promise<T | undefined> {
    while ((this.items.length === 0 || this.held > 0) && !this.ended) {
      await new Promise<void>((go) => this.takers.push(go));
    }
    return this.shift();
  }

  /** The next item, if there is one already. */
  takeNow(): T | undefined {
    return this.held > 0 && !this.ended ? undefined : this.shift();
  }

  /** How many items can be taken now. */
  get ready(): number {
    return this.items.length;
  }

  /** How many items will still be taken; undefined while nobody knows. */
  get left(): number | undefined {
    return this.ended ? this.items.length : undefined;
  }

  /** No more will be added; what is there can still be taken. */
  end(): void {
    this.ended = true;
    for (const go of [...this.takers.splice(0), ...this.makers.splice(0)]) go();
  }

  private shift(): T | undefined {
    const item = this.items.shift();
    this.makers.shift()?.();
    return item;
  }

  /** Ends, and drops what is left. */
  drop(): void {
    this.items = [];
    this.end();
  }
}
