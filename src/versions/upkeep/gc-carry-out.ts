/**
 * The last phase of a collection: copies what is needed out of packs that are to go, moves the head
 * to indexes that don't know these any more, and deletes what has been condemned long enough.
 */
import { mapOrdered } from '../../base/async.ts';
import { PachError } from '../../base/errors.ts';
import { RowBuffer } from '../../chunks/blob-table.ts';
import type { SegmentInfo } from '../../chunks/known.ts';
import { writeSegments } from '../../chunks/merge-indexes.ts';
import type { StoredPack } from '../../chunks/pack-writer.ts';
import { condemnedKey, objectKey } from '../../model/keys.ts';
import type { Condemned } from '../../model/records/condemned.ts';
import type { PackId, Ref } from '../../model/refs.ts';
import { writeCondemned } from '../condemned.ts';
import type { Base, Project } from '../project.ts';
import { BlobCopier } from './gc-copy.ts';
import { indexed, listedCondemned, nextCondemned, stayingPacks, type GcPlan } from './gc-plan.ts';
import { resultOf, type GcResult } from './gc-result.ts';
import type { Survey } from './gc-survey.ts';

const deletesMax = 16;

export function overtaken(project: Project, cause?: unknown): PachError {
  return new PachError('conflict', {
    what: `project ${project.options.name}`,
    why: 'another garbage collection of this project is running',
    next: 'run the same command again, if it is still needed',
    cause,
  });
}

/** Does what a plan says, and takes in what others publish meanwhile. */
export async function carryOut(survey: Survey, plan: GcPlan): Promise<GcResult> {
  const collection = new Collection(survey, plan);
  await collection.copy();
  const condemned = await collection.publish();
  await collection.deleteLists();
  await collection.deleteDue(condemned);
  return collection.result(condemned);
}

class Collection {
  private readonly survey: Survey;
  private readonly plan: GcPlan;
  private readonly copier: BlobCopier;
  private own: readonly StoredPack[] = [];
  private segments: readonly SegmentInfo[] = [];
  /** Our own packs that our segments cover. */
  private settled: ReadonlySet<PackId> = new Set();
  /** Packs that came from others after the first look, and for whose blobs our segments do not speak. */
  private readonly later: StoredPack[] = [];

  constructor(survey: Survey, plan: GcPlan) {
    const { store, name } = survey.project.options;
    this.survey = survey;
    this.plan = plan;
    this.copier = new BlobCopier(store, name, survey.table, survey.project.reader);
  }

  /** Copies what is needed out of the packs that are to go, and makes new indexes. */
  async copy(): Promise<void> {
    if (!this.gathers) return;
    const { table, marks, request, project } = this.survey;
    const { store, name } = project.options;
    request.progress('copying what is needed');
    await this.copier.copy(
      marks.rows.filter((row) => this.plan.going.has(table.packs[table.packAt(row)]?.id as PackId)),
      request.signal,
    );
    this.settled = new Set((await this.copier.finish()).map(({ id }) => id));
    // Of data packs that stay, all chunks are known; of others, what is needed: see FORMAT.md.
    const rows = new RowBuffer(table.size);
    for (let row = 0; row < table.size; row += 1) {
      const pack = table.packs[table.packAt(row)];
      if (!pack || !(marks.has(row) || (pack.kind === 'data' && !this.plan.going.has(pack.id)))) continue;
      const { offset, length } = table.placeAt(row);
      rows.add(table.hashAt(row), rows.pack(pack.kind, pack.id), offset, length, table.plainLengthAt(row));
    }
    this.segments = await writeSegments(store, name, rows);
  }

  /** Moves the head, taking in what others published meanwhile. Resolves to what it condemns. */
  async publish(): Promise<readonly Condemned[]> {
    const { survey } = this;
    const { store, name } = survey.project.options;
    survey.request.progress('publishing');
    let isFirst = true;
    return survey.project.retry(async () => {
      if (!isFirst) await this.takeIn(await survey.project.load());
      const { head, token } = survey.base;
      this.own = await this.copier.finish();
      const condemned = await this.condemned();
      const fresh = [...this.later, ...this.own.filter(({ id }) => !this.settled.has(id))];
      const next = {
        ...head,
        refs: this.placed(head.refs),
        operationRef: this.placed(head.operationRef),
        epoch: head.epoch + 1,
        indexes: this.gathers ? { segments: this.segments, fresh } : head.indexes,
        condemned: await writeCondemned(store, name, condemned),
        // Who purges meanwhile, or reads what is condemned, may leave dead bytes in new packs.
        scrub: head.scrub && (!isFirst || condemned.some(({ deleting }) => !deleting)),
      };
      isFirst = false;
      if (await survey.project.replace(token, next)) return { result: condemned };
      if (next.condemned) await store.delete(condemnedKey(name, next.condemned.id));
      return undefined;
    });
  }

  /** Lists that were replaced, by this collection or by one that broke off. */
  async deleteLists(): Promise<void> {
    const { store, name } = this.survey.project.options;
    for (const { kind, id } of this.plan.objects) {
      if (kind === 'condemned') await store.delete(condemnedKey(name, id));
    }
  }

  /** Deletes what is marked so, and takes it off the list. */
  async deleteDue(condemned: readonly Condemned[]): Promise<void> {
    const due = condemned.filter(({ deleting }) => deleting);
    if (due.length === 0) return;
    const { project, request } = this.survey;
    const { store, name } = project.options;
    request.progress(`deleting ${due.length} objects`);
    const deletes = mapOrdered(due, deletesMax, ({ kind, id }) => store.delete(objectKey(name, kind, id)));
    for await (const _ of deletes) request.signal?.throwIfAborted();
    const gone = new Set(due.map(({ id }) => id));
    await project.retry(async () => {
      const { head, token } = await project.load();
      const listed = await listedCondemned(store, head);
      const rest = await writeCondemned(
        store,
        name,
        listed.filter(({ id }) => !gone.has(id)),
      );
      const isDone = await project.replace(token, { ...head, condemned: rest });
      const unused = isDone ? head.condemned : rest;
      if (unused) await store.delete(condemnedKey(name, unused.id));
      return isDone ? { result: undefined } : undefined;
    });
  }

  result(condemned: readonly Condemned[]): GcResult {
    const made = [...this.own, ...this.segments, ...this.later];
    return resultOf({ objects: this.plan.objects, condemned, made, copiedBytes: this.copier.copiedBytes });
  }

  /** False when all packs stay, and with them the indexes. */
  private get gathers(): boolean {
    return this.plan.going.size > 0;
  }

  /** What others have published since: it may refer to what we took for garbage. */
  private async takeIn(base: Base): Promise<void> {
    const { survey } = this;
    if (base.head.epoch !== survey.base.head.epoch) throw overtaken(survey.project);
    if (!this.gathers) return survey.skipTo(base);
    const { packs, rows } = await survey.goOn(base);
    this.later.push(...packs);
    // Of what was garbage, our segments say nothing: it is stored again.
    await this.copier.copy(
      rows.filter((row) => !this.isKnown(row)),
      survey.request.signal,
    );
  }

  /** True for what our segments, or the later packs' own indexes, say. */
  private isKnown(row: number): boolean {
    const { table } = this.survey;
    const pack = table.packs[table.packAt(row)];
    if (!pack) return false;
    if (this.later.some(({ id }) => id === pack.id)) return true;
    return pack.kind === 'data' && !this.plan.going.has(pack.id);
  }

  /** A reference with the place that it has now. */
  private placed(ref: Ref): Ref {
    const { table } = this.survey;
    const row = table.find(ref.hash);
    return row < 0 ? ref : { ...ref, place: table.placeAt(row) };
  }

  /** What the next head condemns: the plan's, but for what others have published or saved since. */
  private async condemned(): Promise<readonly Condemned[]> {
    const { head, known } = this.survey.base;
    const stays = this.gathers
      ? new Set([
          ...[...this.segments, ...this.own, ...this.later].map(({ id }) => id),
          ...stayingPacks(this.plan.packs),
        ])
      : new Set(await indexed(head, known));
    const listed = await listedCondemned(this.survey.project.options.store, head);
    return nextCondemned(this.survey, listed, stays);
  }
}
