/**
 * The shards of a job, as its engine knows them: which datums lie in which, and which of these have
 * no result yet. A shard is named by its first datum, so those of one job have different names.
 */
import { isPachError } from '../../base/errors.ts';
import type { PlannedRecord } from '../../model/records/work.ts';
import type { Shard } from '../../model/records/work-objects.ts';
import { entrySize } from '../../model/tree.ts';
import { recordOfPlanned, type PlannedDatum } from '../../pipelines/jobs/planned.ts';
import type { Listed, WorkObjects } from './work-objects.ts';

type Claimed = { readonly claims: ReadonlyMap<string, unknown> };

interface Written {
  /** Its datums without a result. */
  readonly left: Map<string, PlannedDatum>;
  /** A listing that began later shows it. */
  isStored: boolean;
}

/** A shard that an engine before this one has written. */
interface Left {
  readonly name: string;
  readonly record: PlannedRecord;
}

export class Shards {
  private readonly objects: WorkObjects;
  private readonly isCheck: boolean;
  private readonly shards = new Map<string, Written>();
  /** The shard of each datum without a result. */
  private readonly shardOf = new Map<string, string>();
  private readonly before = new Map<string, Left>();
  private bytesMax = 0;
  /** Shards whose datums all have results, and whose objects are still there. */
  private ended: string[] = [];

  constructor(objects: WorkObjects, isCheck: boolean) {
    this.objects = objects;
    this.isCheck = isCheck;
  }

  /** Bytes of the inputs of the largest datum. */
  get datumBytesMax(): number {
    return this.bytesMax;
  }

  /** Datums without a result. */
  get open(): number {
    return this.shardOf.size;
  }

  /** Shards of them. */
  get count(): number {
    return this.shards.size;
  }

  get(datum: string): PlannedDatum | undefined {
    return this.shards.get(this.shardOf.get(datum) ?? '')?.left.get(datum);
  }

  /** Tells of a shard that is there. */
  found(name: string, { planned, isCheck }: Shard): void {
    if (isCheck !== this.isCheck) return;
    for (const record of planned) this.before.set(record.datum, { name, record });
  }

  /** True for a datum that a shard from before has: it is in that one then. */
  take(planned: PlannedDatum): boolean {
    const { datum, key, isRecheck = false, rows } = planned;
    const found = this.before.get(datum.id);
    if (!found || !found.record.key.equals(key) || found.record.isRecheck !== isRecheck) return false;
    // The key of a check does not say what it looks at.
    const same = recordOfPlanned(planned).files;
    if (this.isCheck && !isSameOutput(found.record, same)) return false;
    if (rows.length !== found.record.files.length) return false;
    const shard = this.shards.get(found.name) ?? { left: new Map<string, PlannedDatum>(), isStored: true };
    this.shards.set(found.name, shard);
    shard.left.set(datum.id, planned);
    this.measure(planned);
    this.shardOf.set(datum.id, found.name);
    return true;
  }

  /** Writes datums as a shard. */
  async add(planned: readonly PlannedDatum[]): Promise<void> {
    const name = planned[0]?.datum.id;
    if (name === undefined) return;
    for (const { datum } of planned) this.shardOf.set(datum.id, name);
    for (const each of planned) this.measure(each);
    const shard = { left: new Map(planned.map((each) => [each.datum.id, each])), isStored: false };
    this.shards.set(name, shard);
    try {
      if (await this.write(name, planned)) return;
      // One of an engine before, with other datums.
      await this.delete(name);
      await this.write(name, planned);
    } catch (error) {
      // A later look finds that it is missing.
      if (!isPachError(error, 'unreachable')) throw error;
    } finally {
      shard.isStored = true;
    }
  }

  /** A datum has a result. */
  done(datum: string): void {
    const name = this.shardOf.get(datum);
    const shard = name === undefined ? undefined : this.shards.get(name);
    if (name === undefined || !shard) return;
    this.shardOf.delete(datum);
    shard.left.delete(datum);
    if (shard.left.size > 0) return;
    this.shards.delete(name);
    this.ended.push(name);
  }

  /** Takes a shard away from whoever has it: what is left of it is another one. */
  async takeBack(name: string): Promise<void> {
    const left = [...(this.shards.get(name)?.left.values() ?? [])];
    await this.delete(name);
    this.shards.delete(name);
    await this.add(left);
  }

  /** Tells that a datum has a result which no worker knows of: what is left of its shard is another one. */
  async doneHere(datum: string): Promise<void> {
    const name = this.shardOf.get(datum);
    this.done(datum);
    if (name !== undefined && this.shards.has(name)) await this.takeBack(name);
  }

  /** Takes away the shards of some datums. */
  async freeAll(datums: readonly string[]): Promise<void> {
    for (const name of new Set(datums.map((datum) => this.shardOf.get(datum)))) if (name) await this.takeBack(name);
  }

  /** Names of what must be in a listing that begins now. */
  stored(): string[] {
    return [...this.shards].flatMap(([name, { isStored }]) => (isStored ? [name] : []));
  }

  /** What of `stored` has datums without a result and is not there any more. */
  missing(stored: readonly string[], { shards }: Listed): string[] {
    return stored.filter((name) => !shards.has(name) && this.shards.has(name));
  }

  /** Writes it anew. */
  async mend(missing: readonly string[]): Promise<void> {
    for (const name of missing) {
      const left = [...(this.shards.get(name)?.left.values() ?? [])];
      if (left.length > 0) await this.write(name, left);
    }
  }

  /** Those that nobody has taken. */
  unclaimed({ claims }: Claimed): string[] {
    return [...this.shards.keys()].filter((name) => !claims.has(name));
  }

  /** Those of them that workers find in the store. */
  free(listed: Claimed): string[] {
    return this.unclaimed(listed).filter((name) => this.shards.get(name)?.isStored);
  }

  /** Deletes shards of which nothing is left. */
  async sweep(): Promise<void> {
    const { ended } = this;
    this.ended = [];
    await Promise.all(ended.map((name) => this.delete(name)));
  }

  /** Deletes what an engine before has planned and this one has not. */
  async sweepBefore(): Promise<void> {
    const names = new Set([...this.before.values()].map(({ name }) => name));
    this.before.clear();
    for (const name of names) if (!this.shards.has(name) && !this.ended.includes(name)) await this.delete(name);
  }

  private measure({ datum }: PlannedDatum): void {
    const bytes = datum.files.reduce((sum, { entry }) => sum + entrySize(entry), 0);
    this.bytesMax = Math.max(this.bytesMax, bytes);
  }

  private write(name: string, planned: readonly PlannedDatum[]): Promise<boolean> {
    return this.objects.writeShard(name, { planned: planned.map(recordOfPlanned), isCheck: this.isCheck });
  }

  /** The shard before its claim: without a claim it would be there to be taken. */
  private async delete(name: string): Promise<void> {
    await this.objects.deleteShard(name);
    await this.objects.deleteClaim(name);
  }
}

function isSameOutput({ files }: PlannedRecord, same: PlannedRecord['files']): boolean {
  return files.every(({ entry }, index) => {
    const other = same[index]?.entry.content;
    const { content } = entry;
    return content.form === 'directory' && other?.form === 'directory' && content.ref.hash.equals(other.ref.hash);
  });
}
