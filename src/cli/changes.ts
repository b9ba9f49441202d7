/**
 * What differs between two versions, as `diff file` and `sync --dry-run` print it.
 */
import type { FileBytes, FileChange, FileInfo } from '../versions/reading/files.ts';
import type { Columns } from './output.ts';

export interface ChangeInfo {
  readonly path: string;
  readonly change: FileChange['change'];
  readonly old: FileInfo | undefined;
  readonly new: FileInfo | undefined;
}

export const changeJson = '{path, change: "added"|"removed"|"changed", old, new} a line; old and new as in list file';

const marks: Record<FileChange['change'], string> = { added: '+', removed: '-', changed: '~' };

export const changeColumns: Columns<ChangeInfo> = [
  ['', (row) => marks[row.change]],
  ['NAME', (row, { name }) => name(row.path)],
];

export async function changeInfo(files: FileBytes, { path, change, old, new: now }: FileChange): Promise<ChangeInfo> {
  return {
    path,
    change,
    old: old && (await files.info({ path, entry: old })),
    new: now && (await files.info({ path, entry: now })),
  };
}
