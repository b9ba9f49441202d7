/**
 * A bounded queue between a producer and a consumer.
 */

export class Queue<T> {
  private readonly max: number;
  private readonly items: T[] = [];
  private ended = false;
  private readonly takers: (() => void)[] = [];
  private readonly makers: (() => void)[] = [];

  constructor(max: number) {
    this.max = max;
  }

  /** Waits while the queue is full. What is added after the end is dropped. */
  async add(item: T): Promise<void> {
    while (this.items.length >= this.max && !this.ended) await new Promise<void>((go) => this.makers.push(go));
    if (this.ended) return;
    this.items.push(item);
    this.takers.shift()?.();
  }

  /** The next item; undefined when there will be none any more. */
  async take(): Promise<T | undefined> {
    while (this.items.length === 0 && !this.ended) await new Promise<void>((go) => this.takers.push(go));
    const item = this.items.shift();
    this.makers.shift()?.();
    return item;
  }

  /** No more will be added; what is there can still be taken. */
  end(): void {
    this.ended = true;
    for (const go of [...this.takers.splice(0), ...this.makers.splice(0)]) go();
  }

  /** Ends, and drops what is left. */
  drop(): void {
    this.items.length = 0;
    this.end();
  }
}
