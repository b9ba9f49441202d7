/**
 * What differs between two versions, as people read it in `diff file` and `sync --dry-run`.
 */
import type { ChangeInfo } from '../shown/files.ts';
import type { Columns } from './output.ts';

export const changeMarks: Record<ChangeInfo['change'], string> = { added: '+', removed: '-', changed: '~' };

export const changeColumns: Columns<ChangeInfo> = [
  ['', (row) => changeMarks[row.change]],
  ['NAME', (row, { name }) => name(row.path)],
];
