/**
 * Datums that have results and are run again, to find commands that give something else each time.
 */
import type { BlobReader } from '../../cache/blobs.ts';
import { readResult } from './jobs.ts';
import type { Result } from './results.ts';
import type { PlannedDatum } from '../workers/run-datum.ts';

export class Recheck {
  readonly different: string[] = [];
  private readonly reader: BlobReader;
  private left: number;
  private readonly known = new Map<string, Result>();
  private readonly pairs: { readonly id: string; readonly before: Result; readonly after: Result }[] = [];

  /** `count`: how many datums to run again, at most. */
  constructor(reader: BlobReader, count: number) {
    this.reader = reader;
    this.left = count;
  }

  /** True when this one is to be run though it has a result. */
  wants(planned: PlannedDatum, result: Result): boolean {
    if (this.left === 0) return false;
    this.left -= 1;
    this.known.set(planned.datum.id, result);
    return true;
  }

  /** The result that a datum had which was run again. */
  take(planned: PlannedDatum): Result | undefined {
    const result = this.known.get(planned.datum.id);
    this.known.delete(planned.datum.id);
    return result;
  }

  compare({ datum }: PlannedDatum, before: Result, after: Result): void {
    this.pairs.push({ id: datum.id, before, after });
  }

  /** Compares all, once it is published. */
  async end(): Promise<void> {
    for (const { id, before, after } of this.pairs) {
      const [old, now] = await Promise.all([before, after].map(({ tree }) => readResult(this.reader, tree)));
      const same = old?.out && now?.out && old.out.contentHash.equals(now.out.contentHash);
      if (!same) this.different.push(id);
    }
  }
}
