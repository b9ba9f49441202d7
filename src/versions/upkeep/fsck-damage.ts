/**
 * What a check has found that can't be read, by its place in the table of blobs, and what may be
 * done about it before versions are looked at.
 */
import type { BlobTable } from '../../chunks/blob-table.ts';
import type { Condemned } from '../../model/records/condemned.ts';
import type { Node } from '../../model/node.ts';
import type { Ref } from '../../model/refs.ts';
import type { Draft, Findings } from './fsck-findings.ts';
import type { StoredObject } from './objects.ts';

export class Damage {
  /** What was found of packs that are lost as a whole, by their number in the table. */
  readonly packs = new Map<number, Draft>();
  /** What was found of single blobs, by row. */
  readonly blobs = new Map<number, Draft>();
  /** Packs whose own index can't be read, or leads to what is damaged: what lies in them may be good. */
  readonly flawed = new Set<number>();
  /** What was found of segments, of packs' own indexes, and of the list of what is condemned. */
  readonly indexes: Draft[] = [];
  private readonly table: BlobTable;

  constructor(table: BlobTable) {
    this.table = table;
  }

  /** What was found of the blob in a row; undefined where that can be read. */
  of(row: number): Draft | undefined {
    return this.packs.get(this.table.packAt(row)) ?? this.blobs.get(row);
  }

  /** All rows that can't be read. */
  rows(): number[] {
    if (this.packs.size === 0) return [...this.blobs.keys()];
    return this.rowsWhere((row) => this.of(row) !== undefined);
  }

  rowsWhere(isOne: (row: number) => boolean): number[] {
    const rows: number[] = [];
    for (let row = 0; row < this.table.size; row += 1) if (isOne(row)) rows.push(row);
    return rows;
  }
}

/** What a check knows once it has read indexes and packs. */
export interface Found {
  readonly table: BlobTable;
  readonly findings: Findings;
  readonly damage: Damage;
  /** All objects of the project but its head, by key. */
  readonly objects: ReadonlyMap<string, StoredObject>;
  readonly condemned: readonly Condemned[];
  /** The row of a blob that can be read, or what was found of it. */
  row(ref: Ref): Promise<number | Draft>;
}

/** Mends what was found. */
export interface Mender {
  /** Called when all indexes were read. `isShort`: something that they listed may be missing. */
  begin(found: Found, isShort: boolean): Promise<void>;
  /** Called when packs were read: gives what is lost another place, as far as it can. */
  mend(found: Found): Promise<void>;
  /** Brings a blob that no index knows, and adds it to the table. Resolves to its row. */
  bring(ref: Ref): Promise<number | undefined>;
  /** A node that was brought and is not stored yet. */
  unstored(ref: Ref): Node | undefined;
}
