/**
 * The map of a job's datums, as it differs from the map of the job before.
 */
import type { BlobReader } from '../cache/blobs.ts';
import { mapFormat, type MapItem } from '../model/map.ts';
import { applyEdits } from '../model/ordered-edit.ts';
import type { OutsideLinks } from '../model/records/pipelines.ts';
import type { Ref } from '../model/refs.ts';
import { datumItem } from '../pipelines/jobs/plan.ts';
import type { PlannedDatum } from '../pipelines/jobs/planned.ts';
import type { Result } from '../pipelines/jobs/results.ts';
import type { Upload } from '../versions/upload.ts';

/** More new nodes than these may not be in memory any more when they are read. */
const editsReadAtOnce = 5000;

export class DatumEdits {
  /** By key as latin1; undefined for what is gone. */
  private readonly items = new Map<string, MapItem | undefined>();
  /** Keys of datums that failed. */
  private readonly failed = new Set<string>();
  private links: OutsideLinks | undefined;

  /** Links that lead out of /pfs, in the outputs of all datums that were set. */
  get outside(): OutsideLinks | undefined {
    return this.links;
  }

  set(planned: PlannedDatum, result: Result): void {
    const item = datumItem(planned, result);
    const { outside } = result.outcome;
    if (outside) this.links = { ...outside, links: outside.links + (this.links?.links ?? 0) };
    const key = item.key.toString('latin1');
    this.items.set(key, item);
    if (result.outcome.state === 'failed') this.failed.add(key);
  }

  delete(id: string): void {
    this.items.set(Buffer.from(id, 'hex').toString('latin1'), undefined);
  }

  /** Stores the map that these edits make of another one. */
  store(before: Ref | undefined, reader: BlobReader, upload: Upload): Promise<{ ref: Ref; entries: number }> {
    return this.storeOf(this.items.keys(), before, { reader, upload });
  }

  /** Stores a map of those that failed: a job looks at all that did before, since they have no result. */
  async storeFailed(reader: BlobReader, upload: Upload): Promise<Ref> {
    return (await this.storeOf(this.failed, undefined, { reader, upload })).ref;
  }

  private async storeOf(
    keys: Iterable<string>,
    before: Ref | undefined,
    { reader, upload }: { readonly reader: BlobReader; readonly upload: Upload },
  ): Promise<{ ref: Ref; entries: number }> {
    const edits = [...keys].sort().map((key) => ({ key: Buffer.from(key, 'latin1'), item: this.items.get(key) }));
    const map = await applyEdits({ source: reader, sink: upload.nodes }, mapFormat, before, edits);
    if (edits.length > editsReadAtOnce) await upload.finish();
    return map;
  }
}
