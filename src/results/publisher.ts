/**
 * Results of datums, stored under their keys and shared by all jobs of a pipeline. They are
 * published in batches: what a batch's datums wrote lies in its packs, and one move of the head
 * makes all of it known.
 */
import { encodeOutcome } from '../model/records/pipelines.ts';
import type { Hash } from '../model/refs.ts';
import type { Result } from '../pipelines/jobs/results.ts';
import { ChangeGroup, type GroupOptions, type Part } from '../versions/group.ts';
import { resultKey } from '../versions/ref-keys.ts';
import type { StoredParts, Upload } from '../versions/upload.ts';

/** What became of a datum, and whether it is kept under its key. */
export interface Written {
  readonly datum: string;
  readonly key: Hash;
  readonly result: Result;
  readonly keep: boolean;
  /** Why it failed, as events tell it: plain data. */
  readonly failure?: object | undefined;
}

/** Who keeps what the datums of this process write. */
export interface ResultWriter {
  /** Runs `work`, which stores what a datum wrote; resolves to its result. */
  write(work: (upload: Upload) => Promise<Written>): Promise<Result>;
}

export interface PublisherOptions extends GroupOptions {
  /** Whose engine publishes them: results are known to be of that place. */
  readonly place?: string | undefined;
}

export class Publisher implements ResultWriter, AsyncDisposable {
  private readonly group: ChangeGroup;
  private readonly place: string | undefined;

  /** `also` may refuse a publication: the lease is renewed so. */
  constructor({ place, ...options }: PublisherOptions) {
    this.group = new ChangeGroup(options);
    this.place = place;
  }

  /**
   * Runs `work`, which stores what a datum wrote; the result is kept under its key when it says
   * so. What was stored is published with the batch, sooner or later.
   */
  write(work: (upload: Upload) => Promise<Written>): Promise<Result> {
    return this.group.write(async (upload, add) => {
      const written = await work(upload);
      this.keep(add, written);
      return written.result;
    });
  }

  /**
   * The same for results that another process has stored, with their packs. They are published with
   * the next `flush`. Throws `damaged` or `not-found` when the packs are gone.
   */
  adopt(parts: StoredParts, results: readonly Written[]): Promise<void> {
    return this.group.write(async (upload, add) => {
      await upload.adopt(parts);
      for (const written of results) this.keep(add, written);
    }, 'by the caller');
  }

  /** Publishes what is there by now. */
  flush(): Promise<void> {
    return this.group.flush();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.group[Symbol.asyncDispose]();
  }

  private keep(add: (part: Part) => void, { key, result: { outcome, tree }, keep: isKept }: Written): void {
    if (!isKept) return;
    const value = encodeOutcome({ ...outcome, place: this.place });
    add((change) => change.set({ key: resultKey(key), value, refs: [tree] }));
  }
}
