/**
 * A failed datum on the live screen: where it failed and why, what it read, the end of its log.
 */
import { quotedName } from '../../base/shell.ts';
import { shortId } from '../../model/ids.ts';
import { countText } from '../text.ts';
import { flowed, harmless, headline, shownPath, type Row, type View } from './rows.ts';
import { failedShown, type FailedDatum, type LiveState } from './state.ts';

const filesShown = 2;
const othersShown = 3;
const howRowsMax = 3;

/** Where and why; the datum; the lines that it printed, of which the last ones matter. */
export function failureRows(failed: FailedDatum, view: View): [where: Row[], datum: Row[], log: Row[]] {
  const { datum, pipeline, reason, log } = failed;
  const files = datum.files.slice(0, filesShown).map(({ repo, commit, path }) => `${repo}@${shortId(commit)}:${path}`);
  const more = datum.fileCount - files.length;
  const name = quotedName(pipeline, true);
  const how = failed.failure.message === '' ? [name] : `${name}: ${harmless(reason)}`.split(' ');
  const rows: Row[] = [
    ...flowed(how, ' ', { ...view, columns: view.columns - 2 }, 2)
      .slice(0, howRowsMax)
      .map((text): Row => ({ text: `  ${text}` })),
    ...files.map((file) => ({ text: `  reads ${quotedName(file, true)}` })),
    ...(more > 0 ? [{ text: `  and ${countText(more, 'more file')}` }] : []),
    { text: `  datum ${datum.id.slice(0, 16)}`, style: 'quiet' },
  ];
  const lines = log.replace(/\s+$/, '').split('\n');
  return [
    headline(placeOf(failed, view), messageOf(failed), view),
    rows,
    lines[0] === '' && lines.length === 1 ? [] : lines.map((text): Row => ({ text: `  │ ${text}`, style: 'quiet' })),
  ];
}

/** The failed datums that are not looked at, those that failed at one line with one message together. */
export function otherFailures(state: LiveState, view: View): Row[] {
  const shown = failedShown(state);
  const { failed = [], jobs = [] } = state.save ?? {};
  if (!shown || failed.length < 2) return [];
  const groups = new Map<string, FailedDatum[]>();
  for (const each of failed) {
    if (each === shown) continue;
    const key = `${placeOf(each, view)}\n${messageOf(each)}`;
    groups.set(key, [...(groups.get(key) ?? []), each]);
  }
  const same = `${placeOf(shown, view)}\n${messageOf(shown)}`;
  const rows: Row[] = [];
  for (const [key, [first, ...rest]] of groups) {
    if (!first) continue;
    const count = rest.length + 1;
    if (key === same) rows.unshift({ text: `  ${countText(count, 'other datum')} failed in the same way` });
    else {
      const at = placeOf(first, view);
      const times = count > 1 ? ` (${countText(count, 'datum')})` : '';
      rows.push({ text: `✗ ${at === '' ? '' : `${at}: `}${messageOf(first)}${times}`, style: 'bad' });
    }
  }
  const hidden = jobs.reduce((sum, { counts }) => sum + counts.failed, 0) - failed.length;
  const left = rows.slice(othersShown).length;
  const more = left + Math.max(0, hidden);
  return [...rows.slice(0, othersShown), ...(more > 0 ? [{ text: '  and more that failed' }] : [])];
}

function placeOf({ failure: { at } }: FailedDatum, { cwd }: View): string {
  return at ? `${shownPath(at.path, cwd)}:${at.line}` : '';
}

/** A command that printed nothing has only how it ended. */
function messageOf({ failure, reason }: FailedDatum): string {
  return failure.message === '' ? reason : failure.message;
}
