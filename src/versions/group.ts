/**
 * Many changes, one move of the head: whoever has something to publish stores it into the batch that
 * is open and says what is to become of the refs; a batch is published as a whole.
 */
import type { Change } from './change.ts';
import type { Begun, Project } from './project.ts';
import type { Deed } from './publish.ts';
import type { Upload } from './upload.ts';

/** One writer's part of a change. It may run more than once: when others move the head meanwhile. */
export type Part = (change: Change) => void | Promise<void>;

interface Batch {
  readonly begun: Begun;
  /** Those who are storing into it. */
  writers: number;
  /** Set while its publication waits for them. */
  closed: (() => void) | undefined;
  readonly parts: Part[];
}

export interface GroupOptions {
  readonly project: Project;
  /** What the operations say. */
  readonly what: string | Deed;
  /** A part of every publication, before the others; what it throws keeps all of it from being published. */
  readonly also?: Part;
  /** Told of how many parts each publication has made known. */
  published?(parts: number): void;
  /** Told when something could not be published: nothing will be any more. */
  failed(error: unknown): void;
}

/** The first publication comes soon, so that little is lost; later ones at growing distances, so that they are few. */
const firstMs = 1000;
const longestMs = 30_000;
/** The more there is in a map, the more of it each publication writes anew: it may take this share of the time. */
const publishingShare = 0.1;

/** Its scope ends after its writers: what was not published by then is given up. */
export class ChangeGroup implements AsyncDisposable {
  private readonly options: GroupOptions;
  private current: Promise<Batch> | undefined;
  /** Batches that are not published. */
  private readonly open = new Set<Promise<Batch>>();
  private publishing: Promise<void> = Promise.resolve();
  private waitMs = firstMs;
  private lastMs = performance.now();
  private tookMs = 0;

  constructor(options: GroupOptions) {
    this.options = options;
  }

  /**
   * Runs `work`, which stores what it likes and hands over its parts. All of that is published with
   * the batch, sooner or later: at the latest with the next `flush`, which the caller sees to where it
   * says so.
   */
  async write<T>(
    work: (upload: Upload, add: (part: Part) => void) => Promise<T>,
    published: 'by itself' | 'by the caller' = 'by itself',
  ): Promise<T> {
    this.current ??= this.begin();
    const batch = await this.current;
    batch.writers += 1;
    try {
      return await work(batch.begun.upload, (part) => void batch.parts.push(part));
    } finally {
      batch.writers -= 1;
      if (batch.writers === 0) batch.closed?.();
      const isDue = published === 'by itself' && performance.now() - this.lastMs >= this.waitMs;
      if (isDue) this.flush().catch(() => undefined);
    }
  }

  /** Publishes what is there by now. */
  flush(): Promise<void> {
    const { current } = this;
    this.current = undefined;
    this.lastMs = performance.now();
    this.waitMs = Math.max(Math.min(longestMs, this.waitMs * 2), this.tookMs / publishingShare);
    this.publishing = this.publishing.then(() => this.publish(current));
    this.publishing.catch((error: unknown) => this.options.failed(error));
    return this.publishing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.publishing.catch(() => undefined); // `failed` was told
    for (const batch of this.open) await this.end(batch);
  }

  private begin(): Promise<Batch> {
    const begin = async (): Promise<Batch> => {
      return { begun: await this.options.project.begin(), writers: 0, closed: undefined, parts: [] };
    };
    const batch = begin();
    this.open.add(batch);
    return batch;
  }

  private async publish(current: Promise<Batch> | undefined): Promise<void> {
    const batch = await current;
    if (!current || !batch) return;
    if (batch.writers > 0) await new Promise<void>((done) => (batch.closed = done));
    const begunMs = performance.now();
    const { project, what, also } = this.options;
    try {
      await project.update(
        what,
        async (change) => {
          await also?.(change);
          for (const part of batch.parts) await part(change);
        },
        batch.begun,
      );
    } finally {
      await this.end(current);
    }
    this.tookMs = performance.now() - begunMs;
    if (batch.parts.length > 0) this.options.published?.(batch.parts.length);
  }

  private async end(batch: Promise<Batch>): Promise<void> {
    this.open.delete(batch);
    // One that could not begin has nothing to end.
    await batch.then(
      ({ begun }) => begun[Symbol.asyncDispose](),
      () => undefined,
    );
  }
}
