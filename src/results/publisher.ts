/**
 * Results of datums, stored under their keys and shared by all jobs of a pipeline. They are
 * published in batches: what a batch's datums wrote lies in its packs, and one move of the head
 * makes all of it known.
 */
import { encodeOutcome } from '../model/records/pipelines.ts';
import type { Hash } from '../model/refs.ts';
import type { Result } from '../pipelines/jobs/results.ts';
import { ChangeGroup, type GroupOptions } from '../versions/group.ts';
import { resultKey } from '../versions/ref-keys.ts';
import type { Upload } from '../versions/upload.ts';

export class Publisher implements AsyncDisposable {
  private readonly group: ChangeGroup;

  /** `also` may refuse a publication: the lease is renewed so. */
  constructor(options: GroupOptions) {
    this.group = new ChangeGroup(options);
  }

  /**
   * Runs `work`, which stores what a datum wrote; the result is kept under its key when it says
   * so. What was stored is published with the batch, sooner or later.
   */
  write(
    work: (upload: Upload) => Promise<{ readonly key: Hash; readonly result: Result; readonly keep: boolean }>,
  ): Promise<Result> {
    return this.group.write(async (upload, add) => {
      const { key, result, keep } = await work(upload);
      const { outcome, tree } = result;
      if (keep) add((change) => change.set({ key: resultKey(key), value: encodeOutcome(outcome), refs: [tree] }));
      return result;
    });
  }

  /** Publishes what is there by now. */
  flush(): Promise<void> {
    return this.group.flush();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.group[Symbol.asyncDispose]();
  }
}
