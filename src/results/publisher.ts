/**
 * Results of datums, stored under their keys and shared by all jobs of a pipeline. They are
 * published in batches: what a batch's datums wrote lies in its packs, and one move of the head
 * makes all of it known.
 */
import { encodeOutcome } from '../model/records/pipelines.ts';
import type { Hash } from '../model/refs.ts';
import type { Result } from '../pipelines/jobs/results.ts';
import type { Change } from '../versions/change.ts';
import type { Begun, Project } from '../versions/project.ts';
import { resultKey } from '../versions/ref-keys.ts';
import type { Upload } from '../versions/upload.ts';

interface Batch {
  readonly begun: Begun;
  /** Datums that are writing to it. */
  writers: number;
  closed: (() => void) | undefined;
  readonly results: { readonly key: Hash; readonly result: Result }[];
}

export interface PublisherOptions {
  readonly project: Project;
  readonly what: string;
  /** Adds to every publication, and may refuse it: the lease is renewed so. */
  readonly also: (change: Change) => Promise<void>;
  /** Told when something could not be published: nothing will be any more. */
  readonly failed: (error: unknown) => void;
}

/** The first publication comes soon, so that little is lost; later ones at growing distances, so that they are few. */
const firstMs = 1000;
const longestMs = 30_000;
/** The more results there are, the more of their map each publication writes anew: it may take this share of the time. */
const publishingShare = 0.1;

export class Publisher {
  private readonly options: PublisherOptions;
  private current: Promise<Batch> | undefined;
  private publishing: Promise<void> = Promise.resolve();
  private waitMs = firstMs;
  private lastMs = Date.now();
  private tookMs = 0;

  constructor(options: PublisherOptions) {
    this.options = options;
  }

  /**
   * Runs `work`, which stores what a datum wrote; the result is kept under its key when it says
   * so. What was stored is published with the batch, sooner or later.
   */
  async write(
    work: (upload: Upload) => Promise<{ readonly key: Hash; readonly result: Result; readonly keep: boolean }>,
  ): Promise<Result> {
    this.current ??= this.begin();
    const batch = await this.current;
    batch.writers += 1;
    try {
      const { key, result, keep } = await work(batch.begun.upload);
      if (keep) batch.results.push({ key, result });
      return result;
    } finally {
      batch.writers -= 1;
      if (batch.writers === 0) batch.closed?.();
      if (Date.now() - this.lastMs >= this.waitMs) this.rotate().catch(() => undefined);
    }
  }

  /** Publishes what is there by now. */
  async flush(): Promise<void> {
    await this.rotate();
  }

  private rotate(): Promise<void> {
    const { current } = this;
    this.current = undefined;
    this.lastMs = Date.now();
    this.waitMs = Math.max(Math.min(longestMs, this.waitMs * 2), this.tookMs / publishingShare);
    this.publishing = this.publishing.then(() => this.publish(current));
    this.publishing.catch(this.options.failed);
    return this.publishing;
  }

  private async begin(): Promise<Batch> {
    return { begun: await this.options.project.begin(), writers: 0, closed: undefined, results: [] };
  }

  private async publish(current: Promise<Batch> | undefined): Promise<void> {
    const batch = await current;
    if (!batch) return;
    if (batch.writers > 0) await new Promise<void>((done) => (batch.closed = done));
    const begun = Date.now();
    await this.options.project.update(
      this.options.what,
      async (change) => {
        await this.options.also(change);
        for (const { key, result } of batch.results) {
          change.set({ key: resultKey(key), value: encodeOutcome(result.outcome), refs: [result.tree] });
        }
      },
      batch.begun,
    );
    this.tookMs = Date.now() - begun;
  }
}
