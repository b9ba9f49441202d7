/**
 * Garbage collection (FORMAT.md section 10): finds what no version refers to, gathers what is
 * left in few large packs, condemns the rest, and deletes what has been condemned long enough.
 * Others may write meanwhile: the head moves only if it is the one that was looked at, and what
 * came in between is looked at too.
 */
import { mapOrdered } from '../../base/async.ts';
import { isPachError, PachError } from '../../base/errors.ts';
import { BlobTable, RowBuffer } from '../../chunks/blob-table.ts';
import type { SegmentInfo } from '../../chunks/known.ts';
import { writeSegments } from '../../chunks/merge-indexes.ts';
import { packEntry } from '../../chunks/pack.ts';
import type { StoredPack } from '../../chunks/pack-writer.ts';
import { condemnedKey, objectKey, type PackKind } from '../../model/keys.ts';
import type { Condemned } from '../../model/records/condemned.ts';
import type { Head } from '../../model/records/head.ts';
import type { PackId, Ref } from '../../model/refs.ts';
import { readCondemned, writeCondemned } from '../condemned.ts';
import { BlobCopier } from './gc-copy.ts';
import { listObjects, planPacks, type PackPlan, type StoredObject } from './gc-plan.ts';
import { Marks } from './marks.ts';
import type { Base, Project } from '../project.ts';

export interface GcRequest {
  /** How long something stays condemned, and how far back operations count, in milliseconds. */
  readonly grace: number;
  /** Changes nothing and says what would be done. */
  readonly dryRun: boolean;
  readonly signal?: AbortSignal | undefined;
  progress(what: string): void;
}

export interface GcResult {
  /** Objects of the project before and after. */
  readonly objectsBefore: number;
  readonly objectsAfter: number;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** Bytes copied out of packs that are condemned now. */
  readonly copiedBytes: number;
  /** What is condemned and waits to be deleted. */
  readonly condemnedObjects: number;
  readonly condemnedBytes: number;
  readonly deletedObjects: number;
  readonly deletedBytes: number;
}

const attemptsMax = 50;
const deletesMax = 16;

/** Collects a project's garbage. Throws `damaged`, deleting nothing, when a version lacks something. */
export async function collectGarbage(project: Project, request: GcRequest): Promise<GcResult> {
  const collection = new Collection(project, request);
  try {
    await collection.look();
    if (await collection.isIdle()) return await collection.nothing();
    if (request.dryRun) return await collection.forecast();
    await collection.copy();
    return await collection.publish();
  } catch (error) {
    // What another collector has deleted is no damage.
    throw isPachError(error, 'damaged', 'not-found') && (await collection.isOvertaken())
      ? overtaken(project, error)
      : error;
  }
}

function overtaken(project: Project, cause?: unknown): PachError {
  return new PachError('conflict', {
    what: `project ${project.options.name}`,
    why: 'another garbage collection of this project is running',
    next: 'run the same command again, if it is still needed',
    cause,
  });
}

class Collection {
  private readonly project: Project;
  private readonly request: GcRequest;
  private readonly now = Date.now();
  private readonly table = new BlobTable();
  private readonly marks: Marks;
  private readonly copier: BlobCopier;
  private objects = new Map<string, StoredObject>();
  private plans: readonly PackPlan[] = [];
  /** Packs that are to go. */
  private going: ReadonlySet<PackId> = new Set();
  private base!: Base;
  private readonly packsSeen = new Map<PackId, PackKind>();
  private segments: readonly SegmentInfo[] = [];
  /** Our own packs that our segments cover. */
  private settled: ReadonlySet<PackId> = new Set();
  /** Packs that came from others after the first look, and for whose blobs our segments do not speak. */
  private later: StoredPack[] = [];

  constructor(project: Project, request: GcRequest) {
    const { store, name } = project.options;
    this.project = project;
    this.request = request;
    this.marks = new Marks(project.reader, this.table, { learn: (pack) => this.learn(pack), signal: request.signal });
    this.copier = new BlobCopier(store, name, this.table, project.reader);
  }

  /** Learns what there is, what of it is needed, and which packs are to go. */
  async look(): Promise<void> {
    const { project, request } = this;
    request.progress('listing objects');
    this.base = await project.load();
    const { head, known } = this.base;
    await known.addFresh(this.table);
    for (const segment of head.indexes.segments) await known.addSegment(segment, this.table);
    for (const [id, kind] of await known.packs()) this.packsSeen.set(id, kind);
    // Listed after the head was read: an object that is in neither was not published then.
    this.objects = await listObjects(project.options.store, head.project, this.packsSeen, request);
    request.progress('marking what is needed');
    await this.marks.markHead(head, this.since);
    this.plans = planPacks(this.table, this.marks, this.objects, head.project, head.scrub ?? false);
    this.going = new Set(this.plans.flatMap(({ pack, goes }) => (goes ? [pack.id] : [])));
  }

  /** True when another collector has moved the head since this one looked at it. */
  async isOvertaken(): Promise<boolean> {
    return this.base !== undefined && (await this.project.load()).head.epoch !== this.base.head.epoch;
  }

  /** What `publish` would do, as far as it can be known without doing it. */
  async forecast(): Promise<GcResult> {
    const copiedBytes = this.plans.reduce((sum, plan) => sum + (plan.goes ? plan.liveBytes : 0), 0);
    const condemned = await this.condemned(this.base, []);
    const result = this.result(condemned, []);
    return { ...result, copiedBytes, bytesAfter: result.bytesAfter + copiedBytes };
  }

  /** True when nothing is to be condemned, gathered or deleted. */
  async isIdle(): Promise<boolean> {
    const { head } = this.base;
    const listed = await this.listed(head);
    const known = new Set([...listed, ...head.indexes.segments].map(({ id }) => id));
    const strays = [...this.objects.values()].some(
      ({ id }) => !this.packsSeen.has(id) && !known.has(id) && id !== head.condemned?.id,
    );
    const due = listed.some(({ deleting, since }) => deleting || since <= this.since);
    return !strays && !due && this.plans.every(({ goes }) => !goes);
  }

  /** What is there, when nothing was done. */
  async nothing(): Promise<GcResult> {
    return this.result(await this.listed(this.base.head), []);
  }

  /** False when all packs stay, and with them the indexes. */
  private get gathers(): boolean {
    return this.going.size > 0;
  }

  /** Copies what is needed out of the packs that are to go, and makes new indexes. */
  async copy(): Promise<void> {
    if (!this.gathers) return;
    const { table, marks, request } = this;
    const { store, name } = this.project.options;
    request.progress('copying what is needed');
    await this.copier.copy(
      marks.rows.filter((row) => this.going.has(table.packs[table.packAt(row)]?.id as PackId)),
      request.signal,
    );
    this.settled = new Set((await this.copier.finish()).map(({ id }) => id));
    // Of data packs that stay, all chunks are known; of others, what is needed: see FORMAT.md.
    const rows = new RowBuffer(table.size);
    for (let row = 0; row < table.size; row += 1) {
      const pack = table.packs[table.packAt(row)];
      if (!pack || !(marks.has(row) || (pack.kind === 'data' && !this.going.has(pack.id)))) continue;
      const { offset, length } = table.placeAt(row);
      rows.add(table.hashAt(row), rows.pack(pack.kind, pack.id), offset, length, table.plainLengthAt(row));
    }
    this.segments = await writeSegments(store, name, rows);
  }

  /** Moves the head, taking in what others published meanwhile, and deletes what is due. */
  async publish(): Promise<GcResult> {
    const { store, name } = this.project.options;
    this.request.progress('publishing');
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      const { head, token } = this.base;
      const own = await this.copier.finish();
      const condemned = await this.condemned(this.base, own);
      const fresh = [...this.later, ...own.filter(({ id }) => !this.settled.has(id))];
      const next = {
        ...head,
        refs: this.placed(head.refs),
        operationRef: this.placed(head.operationRef),
        epoch: head.epoch + 1,
        indexes: this.gathers ? { segments: this.segments, fresh } : head.indexes,
        condemned: await writeCondemned(store, name, condemned),
        // Who purges meanwhile, or reads what is condemned, may leave dead bytes in new packs.
        scrub: head.scrub && (attempt > 0 || condemned.some(({ deleting }) => !deleting)),
      };
      if (await this.project.replace(token, next)) {
        await this.deleteLists();
        await this.deleteDue(condemned);
        return this.result(condemned, own);
      }
      if (next.condemned) await store.delete(condemnedKey(name, next.condemned.id));
      await this.adoptHead(await this.project.load());
    }
    throw new PachError('conflict', {
      what: `project ${name}`,
      why: `other writers were faster ${attemptsMax} times`,
      next: 'run the same command again',
    });
  }

  private get since(): number {
    return this.now - this.request.grace;
  }

  /** What others have published since: it may refer to what we took for garbage. */
  private async adoptHead(base: Base): Promise<void> {
    if (base.head.epoch !== this.base.head.epoch) throw overtaken(this.project);
    this.base = base;
    if (!this.gathers) return;
    const packs = await base.known.packs();
    const roots: Ref[] = [];
    for (const [id, kind] of packs) {
      if (this.packsSeen.has(id)) continue;
      this.packsSeen.set(id, kind);
      const { pack, index } = await base.known.addPack({ kind, id }, this.table);
      this.later.push(pack);
      if (kind === 'data') continue;
      // All nodes of it: whoever finds one in its index may rely on what it refers to.
      for (let n = 0; n < index.count; n += 1) {
        const { hash, offset, storedLength } = packEntry(index, n);
        roots.push({ type: 'node', hash, place: { pack: id, offset, length: storedLength } });
      }
    }
    const marked = this.marks.rows.length;
    await this.marks.mark(roots);
    await this.marks.markHead(base.head, this.since);
    // Of what was garbage, our segments say nothing: it is stored again.
    await this.copier.copy(
      this.marks.rows.slice(marked).filter((row) => !this.isKnown(row)),
      this.request.signal,
    );
  }

  /** True for what our segments, or the later packs' own indexes, say. */
  private isKnown(row: number): boolean {
    const pack = this.table.packs[this.table.packAt(row)];
    if (!pack) return false;
    if (this.later.some(({ id }) => id === pack.id)) return true;
    return pack.kind === 'data' && !this.going.has(pack.id);
  }

  /** A reference with the place that it has now. */
  private placed(ref: Ref): Ref {
    const row = this.table.find(ref.hash);
    return row < 0 ? ref : { ...ref, place: this.table.placeAt(row) };
  }

  /** What a head condemns. Without its list all is condemned anew, which is safe. */
  private async listed(head: Head): Promise<readonly Condemned[]> {
    return readCondemned(this.project.options.store, head).catch((error: unknown) => {
      if (isPachError(error, 'damaged')) return [];
      throw error;
    });
  }

  /** Adds what the index of one of the project's data packs knows to the table. */
  private async learn(pack: PackId): Promise<void> {
    if (this.packsSeen.get(pack) === 'data') await this.base.known.addPack({ kind: 'data', id: pack }, this.table);
  }

  /** The next list of condemned objects: those before that are still there, and the new ones. */
  private async condemned({ head, known: index }: Base, own: readonly StoredPack[]): Promise<Condemned[]> {
    const before = new Map((await this.listed(head)).map((each) => [each.id, each]));
    const stays = this.gathers
      ? new Set([
          ...[...this.segments, ...own, ...this.later].map(({ id }) => id),
          ...this.plans.flatMap(({ pack, goes }) => (goes ? [] : [pack.id])),
        ])
      : new Set([...(await index.packs()).keys(), ...head.indexes.segments.map(({ id }) => id)]);
    const list: Condemned[] = [];
    for (const { kind, id, bytes } of this.objects.values()) {
      if (kind === 'condemned' || stays.has(id)) continue;
      const known = before.get(id);
      before.delete(id);
      const isDue = (known?.since ?? this.now) <= this.since;
      // Its time runs from when others can see it: the collection may have taken long.
      const since = known?.since ?? Date.now();
      list.push({ kind, id, bytes, since, deleting: isDue || (known?.deleting ?? false) });
    }
    // A delete that broke off may still come, whether the listing shows the object or not.
    return [...list, ...[...before.values()].filter(({ id, deleting }) => deleting && !stays.has(id))];
  }

  /** Lists that were replaced, by this collection or by one that broke off. */
  private async deleteLists(): Promise<void> {
    const { store, name } = this.project.options;
    for (const { kind, id } of this.objects.values()) {
      if (kind === 'condemned') await store.delete(condemnedKey(name, id));
    }
  }

  private async deleteDue(condemned: readonly Condemned[]): Promise<void> {
    const due = condemned.filter(({ deleting }) => deleting);
    if (due.length === 0) return;
    const { store, name } = this.project.options;
    this.request.progress(`deleting ${due.length} objects`);
    const deletes = mapOrdered(due, deletesMax, ({ kind, id }) => store.delete(objectKey(name, kind, id)));
    for await (const _ of deletes) this.request.signal?.throwIfAborted();
    const gone = new Set(due.map(({ id }) => id));
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      const { head, token } = await this.project.load();
      const listed = await this.listed(head);
      const rest = await writeCondemned(
        store,
        name,
        listed.filter(({ id }) => !gone.has(id)),
      );
      if (await this.project.replace(token, { ...head, condemned: rest })) {
        if (head.condemned) await store.delete(condemnedKey(name, head.condemned.id));
        return;
      }
      if (rest) await store.delete(condemnedKey(name, rest.id));
    }
  }

  private result(condemned: readonly Condemned[], own: readonly StoredPack[]): GcResult {
    const due = condemned.filter(({ deleting }) => deleting);
    const waiting = condemned.filter(({ deleting }) => !deleting);
    const sum = (of: readonly { readonly bytes: number }[]): number =>
      of.reduce((total, { bytes }) => total + bytes, 0);
    const before = [...this.objects.values()].filter(({ kind }) => kind !== 'condemned');
    const listed = new Set(before.map(({ id }) => id));
    const made = [...own, ...this.segments, ...this.later].filter(({ id }) => !listed.has(id));
    return {
      objectsBefore: before.length,
      objectsAfter: before.length - due.length + made.length,
      bytesBefore: sum(before),
      bytesAfter: sum(before) - sum(due) + sum(made),
      copiedBytes: this.copier.copiedBytes,
      condemnedObjects: waiting.length,
      condemnedBytes: sum(waiting),
      deletedObjects: due.length,
      deletedBytes: sum(due),
    };
  }
}
