/**
 * What differs in the content of a file: rows of tables, lines of text.
 */
import { isPachError } from '../base/errors.ts';
import type { FileBytes, FileChange } from '../versions/reading/files.ts';
import { isTable } from './csv.ts';
import { rowDiff, rowsListedMax, rowsMax, type RowDiff } from './row-diff.ts';
import { textDiff, type NotShown, type TextDiff } from './text-diff.ts';

export type ContentDiff = TextDiff | RowDiff | NotShown;

export const contentJson = `{kind: "text", added, removed, hunks: [{oldStart, oldLines, newStart, newLines, lines}]}, {kind: "rows", key, columns: {added, removed}, added, removed, changed, rows: [{change, old, new}]} (of at most ${rowsMax} rows; rows: the first ${rowsListedMax}, by column) or {kind: "none", why}`;

/** With a key, the rows of tables are compared by it; what is no table is compared as text. */
export async function contentDiff(files: FileBytes, change: FileChange, key: string | undefined): Promise<ContentDiff> {
  const { path, old, new: now } = change;
  const isRows = isTable(path) && (old ?? now)?.kind === 'file' && (now ?? old)?.kind === 'file';
  if (!isRows) return textDiff(files, old, now);
  try {
    return await rowDiff(files, { path, old, new: now }, key);
  } catch (error) {
    if (!isPachError(error, 'failed')) throw error;
    return { kind: 'none', why: error.why };
  }
}
