/**
 * What came out differently, on the live screen: counts below a save, and the files when they are asked for.
 */
import { quotedName } from '../../base/shell.ts';
import type { ChangeCounts } from '../../engine/output-changes.ts';
import type { Difference } from '../../shown/difference.ts';
import { sizeText } from '../text.ts';
import { flowed, harmless, type Row, type View } from './rows.ts';
import type { LiveState } from './state.ts';

/** Two lines a pipeline at most: from the last save, and from production. */
export function changeRows({ save, selection }: LiveState, view: View): Row[] {
  return (save?.jobs ?? []).flatMap(({ pipeline, ended, differences }) => {
    if (!ended?.output) return [];
    const production = differences?.production;
    const name = harmless(pipeline);
    const rows = [`${name} from the last save: ${changesText(ended.output)}`];
    if (production) rows.push(`${name} from production: ${fromProduction(production, selection.kind === 'all')}`);
    if (production === null) rows.push(`${name}: production has no output yet`);
    return rows.flatMap((row) => flowed(row.split(' '), ' ', view, 2).map((text): Row => ({ text })));
  });
}

const marks = { added: '+', removed: '-', changed: '~' };

/** The files that differ, a line each. */
export function diffRows({ save, selection }: LiveState): Row[] {
  const isWhole = selection.kind === 'all';
  const lines = (save?.jobs ?? []).flatMap(({ pipeline, differences }) => {
    if (!differences) return [];
    const { before, production } = differences;
    return [
      ...section(`${pipeline} from the last save:`, before, true),
      ...(production ? section(`${pipeline} from production:`, production, isWhole) : []),
    ];
  });
  return (lines.length > 0 ? lines : ['no job has stored its output yet']).map((text) => ({ text }));
}

function section(title: string, difference: Difference | null, isWhole: boolean): string[] {
  const { files = [], added, changed, removed } = difference ?? { added: 0, changed: 0, removed: 0 };
  // What a datum that was left out would have made is not missing.
  const shown = files.filter(({ change }) => isWhole || change !== 'removed');
  if (shown.length === 0) return [`${title} nothing`];
  const more = added + changed + (isWhole ? removed : 0) - shown.length;
  const lines = shown.map(
    ({ path, change, bytes }) => `${marks[change]} ${quotedName(path, true)}  ${moreBytes(bytes)}`,
  );
  return [title, ...lines, ...(more > 0 ? [`… ${more} more`] : [])];
}

function fromProduction(counts: ChangeCounts, isWhole: boolean): string {
  if (isWhole) return changesText(counts);
  const { added, changed } = counts;
  const told = added + changed === 0 ? 'nothing' : `${added} added, ${changed} changed`;
  return `${told}; a sample can't tell what was removed`;
}

function changesText({ added, changed, removed, bytes }: ChangeCounts): string {
  if (added + changed + removed === 0) return 'nothing';
  return `${added} added, ${changed} changed, ${removed} removed; ${moreBytes(bytes)}`;
}

function moreBytes(bytes: number): string {
  return `${bytes < 0 ? '-' : '+'}${sizeText(Math.abs(bytes))}`;
}
