/**
 * The move of the head that makes a repair visible: new indexes for all that is known, instead of those
 * before. Packs and segments that are no longer listed are garbage, and stay for a collection's grace.
 */
import { BlobTable, RowBuffer, type PackName } from '../../chunks/blob-table.ts';
import { KnownBlobs } from '../../chunks/known.ts';
import { writeSegments } from '../../chunks/merge-indexes.ts';
import type { StoredPack } from '../../chunks/pack-writer.ts';
import type { Head } from '../../model/records/head.ts';
import type { PackId, Ref } from '../../model/refs.ts';
import { isPachError } from '../../base/errors.ts';
import type { Base, Project } from '../project.ts';
import { readCondemned } from '../condemned.ts';
import { overtaken } from './gc-carry-out.ts';

interface Repaired {
  /** The head that was checked. */
  readonly base: Base;
  /** All blobs, where they lie now. */
  readonly table: BlobTable;
  /** Rows that leave the indexes. */
  readonly dropped: ReadonlySet<number>;
  /** The last operation, where it had to be written anew. */
  readonly operation: Pick<Head, 'operation' | 'operationRef'> | undefined;
}

/** Throws `conflict` when a collection or another repair was there meanwhile. */
export async function publishRepair(project: Project, { base, table, dropped, operation }: Repaired): Promise<void> {
  const { store, name } = project.options;
  const rows = new RowBuffer(table.size);
  for (let row = 0; row < table.size; row += 1) {
    if (dropped.has(row)) continue;
    const { kind, id } = table.packs[table.packAt(row)] as PackName;
    const { offset, length } = table.placeAt(row);
    rows.add(table.hashAt(row), rows.pack(kind, id), offset, length, table.plainLengthAt(row));
  }
  const segments = await writeSegments(store, name, rows);
  const before = new Set<PackId>(
    [...table.packs, ...base.head.indexes.fresh, ...base.head.indexes.segments].map(({ id }) => id),
  );
  const placed = (ref: Ref): Ref => {
    const row = table.find(ref.hash);
    return row < 0 ? ref : { ...ref, place: table.placeAt(row) };
  };
  await project.retry(async () => {
    const { head, token } = await project.readHead();
    // What is not needed may be so since.
    if (head.epoch !== base.head.epoch || (dropped.size > 0 && token !== base.token)) throw overtaken(project);
    const next = {
      ...head,
      ...operation,
      refs: placed(head.refs),
      operationRef: placed((operation ?? head).operationRef),
      // A collection that is under way knows other places, and must not bring them back.
      epoch: head.epoch + 1,
      indexes: { segments, fresh: await packsSince(project, head, before) },
      condemned: await readableList(project, head),
    };
    return (await project.replace(token, next)) ? { result: undefined } : undefined;
  });
}

/** Packs that others have published since the check began, listed by themselves or merged into a segment. */
async function packsSince(project: Project, { indexes }: Head, before: ReadonlySet<PackId>): Promise<StoredPack[]> {
  const { store, name } = project.options;
  const segments = indexes.segments.filter(({ id }) => !before.has(id));
  const fresh = indexes.fresh.filter(({ id }) => !before.has(id));
  const known = new KnownBlobs(store, name, { segments, fresh }, project.indexes);
  const packs: StoredPack[] = [];
  for (const [id, kind] of await known.packs()) {
    if (before.has(id)) continue;
    packs.push((await known.addPack({ kind, id }, new BlobTable())).pack);
  }
  return packs;
}

/** The list of what is condemned, unless it is damaged: then all is condemned anew. */
async function readableList(project: Project, head: Head): Promise<Head['condemned']> {
  try {
    await readCondemned(project.options.store, head);
    return head.condemned;
  } catch (error) {
    if (!isPachError(error, 'damaged')) throw error;
    return undefined;
  }
}
