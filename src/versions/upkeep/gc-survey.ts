/**
 * The first phase of a collection: which objects a project has, and which blobs in them are needed.
 */
import { BlobTable } from '../../chunks/blob-table.ts';
import { packEntry } from '../../chunks/pack.ts';
import type { StoredPack } from '../../chunks/pack-writer.ts';
import type { PackKind } from '../../model/keys.ts';
import type { PackId, Ref } from '../../model/refs.ts';
import type { Base, Project } from '../project.ts';
import { Marks } from './marks.ts';
import { listObjects, type StoredObject } from './objects.ts';

export interface GcRequest {
  /** How long something stays condemned, and how far back operations count, in milliseconds. */
  readonly grace: number;
  readonly signal?: AbortSignal | undefined;
  progress(what: string): void;
}

/** What others have published since: packs, and rows that are needed now. */
export interface News {
  readonly packs: readonly StoredPack[];
  readonly rows: readonly number[];
}

export class Survey {
  readonly project: Project;
  readonly request: GcRequest;
  readonly now = Date.now();
  /** All blobs of the project. */
  readonly table = new BlobTable();
  readonly marks: Marks;
  /** All packs that an index lists or has listed. */
  readonly packs = new Map<PackId, PackKind>();
  private found: ReadonlyMap<string, StoredObject> = new Map();
  private newest: Base;

  private constructor(project: Project, base: Base, request: GcRequest) {
    this.project = project;
    this.newest = base;
    this.request = request;
    this.marks = new Marks(project.reader, this.table, { learn: (pack) => this.learn(pack), signal: request.signal });
  }

  /** Looks at what `base`, the newest head, refers to. */
  static async of(project: Project, base: Base, request: GcRequest): Promise<Survey> {
    const survey = new Survey(project, base, request);
    const { head, known } = base;
    await known.addFresh(survey.table);
    for (const segment of head.indexes.segments) await known.addSegment(segment, survey.table);
    for (const [id, kind] of await known.packs()) survey.packs.set(id, kind);
    // Listed after the head was read: an object that is in neither was not published then.
    survey.found = await listObjects(project.options.store, head.project, survey.packs, request);
    request.progress('marking what is needed');
    await survey.marks.markHead(head, survey.since);
    return survey;
  }

  /** The head that was looked at last. */
  get base(): Base {
    return this.newest;
  }

  /** All objects but the head, by key. */
  get objects(): ReadonlyMap<string, StoredObject> {
    return this.found;
  }

  /** What was condemned, or published, before that time is old enough. */
  get since(): number {
    return this.now - this.request.grace;
  }

  /** Goes on to a newer head: what it refers to may be what was taken for garbage. */
  async goOn(base: Base): Promise<News> {
    this.newest = base;
    const added: StoredPack[] = [];
    const roots: Ref[] = [];
    for (const [id, kind] of await base.known.packs()) {
      if (this.packs.has(id)) continue;
      this.packs.set(id, kind);
      const { pack, index } = await base.known.addPack({ kind, id }, this.table);
      added.push(pack);
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
    return { packs: added, rows: this.marks.rows.slice(marked) };
  }

  /** The same, where it does not matter what the head refers to: nothing is moved. */
  skipTo(base: Base): void {
    this.newest = base;
  }

  /** Adds what the index of one of the project's data packs knows to the table. */
  private async learn(pack: PackId): Promise<void> {
    if (this.packs.get(pack) === 'data') await this.base.known.addPack({ kind: 'data', id: pack }, this.table);
  }
}
