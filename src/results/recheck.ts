/**
 * Datums that have results and are run again, to find commands that give something else each time.
 */
import type { BlobReader } from '../cache/blobs.ts';
import type { DatumFile } from '../pipelines/datums/datum.ts';
import { readResult } from '../pipelines/jobs/jobs.ts';
import type { Result } from '../pipelines/jobs/results.ts';
import type { PlannedDatum } from '../pipelines/jobs/planned.ts';

/** What came of a datum that was run again. */
export interface Rechecked {
  readonly id: string;
  readonly files: readonly DatumFile[];
  readonly now: 'same' | 'different' | 'failed';
  /** The result that it had, and that of now, which is in no commit. */
  readonly before: Result;
  readonly after: Result;
}

export class Recheck {
  readonly compared: Rechecked[] = [];
  private readonly reader: BlobReader;
  private left: number;
  private readonly known = new Map<string, Result>();
  private readonly pairs: { readonly planned: PlannedDatum; readonly before: Result; readonly after: Result }[] = [];

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

  compare(planned: PlannedDatum, before: Result, after: Result): void {
    this.pairs.push({ planned, before, after });
  }

  /** Compares all, once it is published. */
  async end(): Promise<void> {
    for (const { planned, before, after } of this.pairs) {
      const [old, now] = await Promise.all([before, after].map(({ tree }) => readResult(this.reader, tree)));
      const { id, files } = planned.datum;
      const isSame = old?.out && now?.out && old.out.contentHash.equals(now.out.contentHash);
      this.compared.push({ id, files, now: isSame ? 'same' : now?.out ? 'different' : 'failed', before, after });
    }
    this.compared.sort((a, b) => (a.id < b.id ? -1 : 1));
  }
}
