/**
 * Rows that differ between two tables: by the values of a column, or as sets in which a row may be
 * several times. Rows are compared by the columns that both tables have, in whatever order these stand.
 * Files are read twice: memory holds hashes of rows, and the rows that differ.
 */
import { createHash } from 'node:crypto';
import { PachError } from '../base/errors.ts';
import type { TreeEntry } from '../model/tree.ts';
import type { FileBytes } from '../versions/reading/files.ts';
import { rowsOf } from './csv.ts';

/** Cells by column. */
export type Cells = Readonly<Record<string, string>>;

export interface RowChange {
  readonly change: 'added' | 'removed' | 'changed';
  readonly old: Cells | null;
  readonly new: Cells | null;
}

export interface RowDiff {
  readonly kind: 'rows';
  readonly key: string | null;
  /** Columns that only one of the two has. */
  readonly columns: { readonly added: readonly string[]; readonly removed: readonly string[] };
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  /** The first ones; the counts are of all. */
  readonly rows: readonly RowChange[];
}

/** Of each table. */
export const rowsMax = 1_000_000;
/** Rows that are listed of a file. */
export const rowsListedMax = 10_000;

interface Compared {
  readonly path: string;
  readonly old: TreeEntry | undefined;
  readonly new: TreeEntry | undefined;
}

/** Throws `failed` for what is no table, has too many rows, or has not the key, or has it twice. */
export async function rowDiff(files: FileBytes, { path, ...of }: Compared, key: string | undefined): Promise<RowDiff> {
  const old = of.old && (await Table.open(files, path, of.old));
  const now = of.new && (await Table.open(files, path, of.new));
  const columns = { added: only(now, old), removed: only(old, now) };
  const shared = (old ?? now)?.header.filter((name) => !old || !now || now.header.includes(name)) ?? [];
  for (const table of [old, now]) if (key !== undefined) table?.checkKey(key);
  const list = new Listed(shared);
  if (key === undefined) await asSets(old, now, list);
  else await byKey(old, now, { list, key });
  return { kind: 'rows', key: key ?? null, columns: old && now ? columns : none, ...list.counts, rows: list.rows };
}

const none = { added: [], removed: [] };

function only(table: Table | undefined, other: Table | undefined): string[] {
  return table?.header.filter((name) => !other?.header.includes(name)) ?? [];
}

async function asSets(old: Table | undefined, now: Table | undefined, list: Listed): Promise<void> {
  const counts = new Map<string, number>();
  const count = (row: string, more: number): void => {
    const sum = (counts.get(row) ?? 0) + more;
    if (sum === 0) counts.delete(row);
    else counts.set(row, sum);
  };
  await old?.each(list.columns, (cells) => count(hashOf(cells), 1));
  await now?.each(list.columns, (cells) => count(hashOf(cells), -1));
  if (counts.size === 0) return;
  const takeIf = (cells: readonly string[], sign: number): boolean => {
    const row = hashOf(cells);
    const isOver = (counts.get(row) ?? 0) * sign > 0;
    if (isOver) count(row, -sign);
    return isOver;
  };
  await old?.each(list.columns, (cells) => takeIf(cells, 1) && list.add('removed', cells, undefined));
  await now?.each(list.columns, (cells) => takeIf(cells, -1) && list.add('added', undefined, cells));
}

async function byKey(
  old: Table | undefined,
  now: Table | undefined,
  { list, key }: { readonly list: Listed; readonly key: string },
): Promise<void> {
  const at = list.columns.indexOf(key);
  const hashes = async (table: Table | undefined): Promise<Map<string, string>> => {
    const found = new Map<string, string>();
    await table?.each(list.columns, (cells) => {
      const value = cells[at] as string;
      if (found.has(value))
        throw table.failed(`${JSON.stringify(value)} is twice in its column ${JSON.stringify(key)}`);
      found.set(value, hashOf(cells));
    });
    return found;
  };
  const [before, after] = [await hashes(old), await hashes(now)];
  const changed = new Map<string, readonly string[]>();
  await old?.each(list.columns, (cells) => {
    const value = cells[at] as string;
    const other = after.get(value);
    if (other === undefined) list.add('removed', cells, undefined);
    else if (other !== before.get(value)) changed.set(value, cells);
  });
  await now?.each(list.columns, (cells) => {
    const value = cells[at] as string;
    const other = changed.get(value);
    if (other) list.add('changed', other, cells);
    else if (!before.has(value)) list.add('added', undefined, cells);
  });
}

function hashOf(cells: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(cells)).digest().toString('latin1', 0, 16);
}

/** What differs, as it is found. */
class Listed {
  readonly columns: readonly string[];
  readonly counts = { added: 0, removed: 0, changed: 0 };
  readonly rows: RowChange[] = [];

  constructor(columns: readonly string[]) {
    this.columns = columns;
  }

  add(change: RowChange['change'], old: readonly string[] | undefined, now: readonly string[] | undefined): void {
    this.counts[change] += 1;
    if (this.rows.length < rowsListedMax) this.rows.push({ change, old: this.cells(old), new: this.cells(now) });
  }

  private cells(row: readonly string[] | undefined): Cells | null {
    return row ? Object.fromEntries(row.map((cell, at) => [this.columns[at] as string, cell])) : null;
  }
}

class Table {
  readonly header: readonly string[];
  private readonly files: FileBytes;
  private readonly path: string;
  private readonly entry: TreeEntry;

  private constructor(files: FileBytes, path: string, entry: TreeEntry, header: readonly string[]) {
    this.files = files;
    this.path = path;
    this.entry = entry;
    this.header = header;
  }

  static async open(files: FileBytes, path: string, entry: TreeEntry): Promise<Table> {
    let header: readonly string[] = [];
    for await (const [first] of rowsOf(files, { path, entry })) {
      if (!first) continue;
      // A mark of the byte order is no part of the first name.
      header = first.map((name, at) => (at === 0 ? name.replace(/^\ufeff/, '') : name));
      break;
    }
    const table = new Table(files, path, entry, header);
    if (new Set(header).size < header.length) throw table.failed('it has two columns of one name');
    return table;
  }

  /** Calls with the cells of these columns of each row. */
  async each(columns: readonly string[], take: (cells: readonly string[]) => unknown): Promise<void> {
    const places = columns.map((name) => this.header.indexOf(name));
    let count = -1;
    for await (const rows of rowsOf(this.files, { path: this.path, entry: this.entry })) {
      for (const row of rows) {
        count += 1;
        if (count > rowsMax) throw this.failed(`it has more than ${rowsMax} rows`);
        if (count > 0) take(places.map((place) => row[place] ?? ''));
      }
    }
  }

  checkKey(key: string): void {
    if (this.header.includes(key)) return;
    throw this.failed(
      `it has no column ${JSON.stringify(key)}; it has ${this.header.map((name) => JSON.stringify(name)).join(', ')}`,
    );
  }

  failed(why: string): PachError {
    return new PachError('failed', { what: this.path, why });
  }
}
