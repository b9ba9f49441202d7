/**
 * The live screen as lines of a width and height. Pure. Whatever is shown of names, messages and
 * logs is made harmless in one place, `drawn` (rows.ts), where a line gets its width too.
 */
import type { Selection } from '../../engine/dev-events.ts';
import type { EndedJob } from '../../engine/events.ts';
import { widthOf } from '../quote.ts';
import { countText } from '../text.ts';
import { changeRows, diffRows } from './change-rows.ts';
import { failureRows, otherFailures } from './failure-rows.ts';
import { drawn, flowed, harmless, headline, shownPath, type Row, type View } from './rows.ts';
import { failedShown, type LiveState, type Save } from './state.ts';

type Watching = Pick<LiveState, 'branch' | 'pipelines'>;

const logRowsMax = 12;
const logRowsLeast = 3;

/** What is said once, when the pipelines are known. */
export function beginningLines({ pipelines, branch }: Watching, view: View): string[] {
  const names = pipelines.map(({ name }) => harmless(name)).join(', ');
  const words = `watching ${names}; results go to branch ${branch}`.split(' ');
  return flowed(words, ' ', view, 2).map((text) => drawn({ text, style: 'quiet' }, view));
}

/** What is drawn over: the save that is there now, and what can be done. */
export function liveLines(state: LiveState, view: View): string[] {
  const { save } = state;
  const keys = flowed(view.keys, '  ', view).map((text): Row => ({ text, style: 'quiet' }));
  const head = [...(save ? saveRows(state, save, view) : waitingRows(state, view)), ...selectionRows(state, view)];
  const failed = failedShown(state);
  const [where = [], datum = [], log = []] = failed ? failureRows(failed, view) : [];
  const first = [...where, ...datum];
  const others = otherFailures(state, view);
  const after = [...changeRows(state, view), ...noteRows(state, view)];
  const panel = panelRows(state, view);
  const fixed = head.length + first.length + others.length + after.length + keys.length + (keys.length > 0 ? 1 : 0);
  // The last row stays free, so that what is printed next does not push the first one away.
  const room = Math.max(0, view.rows - 1 - fixed);
  const logRoom = panel.length > 0 ? Math.min(room, logRowsLeast) : Math.min(room, logRowsMax);
  const shownLog = logRoom > 0 ? log.slice(-logRoom) : [];
  const above = [...head, ...first, ...shownLog, ...others, ...after, ...fitting(panel, room - shownLog.length)];
  const below = keys.length > 0 ? [{ text: '' }, ...keys] : [];
  const most = Math.max(0, view.rows - 1 - below.length);
  return [...above.slice(0, most), ...below].slice(0, view.rows - 1).map((row) => drawn(row, view));
}

/** What stays of a save when the next one comes. */
export function pastLines(state: LiveState, save: Save, view: View): string[] {
  const [first] = save.failed;
  const [head = []] = first ? failureRows(first, view) : [];
  const more = save.failed.length > 1 ? [{ text: `  and ${save.failed.length - 1} more failed` }] : [];
  const rows = [...saveRows({ ...state, specFault: null, fault: '' }, save, view), ...head, ...more];
  return [...rows, ...changeRows({ ...state, save }, view)].map((row) => drawn(row, view));
}

function panelRows(state: LiveState, view: View): Row[] {
  if (state.panel?.kind === 'diff') return diffRows(state);
  return state.panel ? flowed(harmless(state.panel.text).split(' '), ' ', view, 2).map((text): Row => ({ text })) : [];
}

function waitingRows(state: LiveState, view: View): Row[] {
  return [{ text: 'reading the pipelines', style: 'quiet' }, ...faultRows(state, view)];
}

function saveRows(state: LiveState, save: Save, view: View): Row[] {
  const { jobs, settled, time } = save;
  const sum = (field: 'total' | 'processed' | 'skipped' | 'failed' | 'recovered'): number =>
    jobs.reduce((total, { counts }) => total + counts[field], 0);
  const failed = Math.max(sum('failed'), save.failed.length);
  const ran = sum('processed') + sum('recovered') + failed;
  const rejected = jobs.filter(({ ended }) => ended?.state === 'rejected').length;
  const bad = [...(failed > 0 ? [`${failed} failed`] : []), ...(rejected > 0 ? ['rejected'] : [])];
  const counts = [`${ran} ran`, `${sum('skipped')} known`, ...bad].join(', ');
  const parts = [`${save.cause === undefined ? 'started' : 'saved'} ${clock(time)}`];
  if (settled === null) {
    const running = jobs.find(({ ended }) => !ended);
    parts.push(running ? `running ${harmless(running.pipeline)}` : 'running', counts);
    if (view.now - time >= 1000) parts.splice(1, 0, `${Math.floor((view.now - time) / 1000)} s`);
  } else parts.push(`${(Math.max(0, settled - time) / 1000).toFixed(2)} s`, counts);
  const more = save.fileCount > 1 ? ` and ${save.fileCount - 1} more` : '';
  const file = save.files[0] === undefined ? [] : [shownPath(save.files[0], view.cwd) + more];
  const lines = flowed(parts, ' · ', view);
  const withFile = [...parts, ...file].join(' · ');
  if (lines.length === 1 && widthOf(withFile) < view.columns) lines[0] = withFile;
  const style = failed + rejected > 0 ? 'bad' : settled === null ? 'strong' : 'good';
  return [...lines.map((text): Row => ({ text, style })), ...faultRows(state, view), ...endRows(save, view)];
}

function faultRows({ specFault, fault }: LiveState, view: View): Row[] {
  const rows: Row[] = [];
  if (specFault) {
    const { file, line, message, next } = specFault;
    const at = `${shownPath(file, view.cwd)}${line > 0 ? `:${line}` : ''}`;
    rows.push(...headline(at, message, view), ...(next === '' ? [] : [{ text: `  ${next}` }]));
  }
  if (fault !== '') rows.push(...headline('', fault, view));
  return rows;
}

/** True for one that did not succeed, for another reason than a datum of it. */
function isOfItsOwn({ state, counts }: EndedJob): boolean {
  return state === 'rejected' || (state !== 'success' && counts.failed === 0);
}

/** Jobs that did not succeed for another reason than a datum of theirs. */
function endRows({ jobs }: Save, view: View): Row[] {
  return jobs.flatMap(({ pipeline, ended }) =>
    ended && isOfItsOwn(ended) ? headline(pipeline, ended.reason, view) : [],
  );
}

function selectionRows({ selection }: LiveState, view: View): Row[] {
  const text = selectionText(selection);
  return text === ''
    ? []
    : flowed(harmless(text).split(' '), ' ', view).map((line) => ({ text: line, style: 'strong' }));
}

function selectionText(selection: Selection): string {
  switch (selection.kind) {
    case 'all':
      return '';
    case 'count':
      return `a sample of ${countText(selection.count, 'datum')}: the others are left out`;
    case 'glob':
      return `only ${selection.glob}: the other datums are left out`;
    case 'failed': {
      const count = Object.values(selection.datums).reduce((sum, ids) => sum + ids.length, 0);
      return `only ${countText(count, 'datum')} that failed: ${selection.leftOut} left out`;
    }
  }
}

function noteRows({ notes }: LiveState, view: View): Row[] {
  return notes.flatMap((note) =>
    flowed(harmless(note).split(' '), ' ', view, 2).map((text): Row => ({ text, style: 'quiet' })),
  );
}

function fitting(rows: readonly Row[], room: number): readonly Row[] {
  if (rows.length <= room) return rows;
  return room <= 0 ? [] : [...rows.slice(0, room - 1), { text: `… ${rows.length - room + 1} more`, style: 'quiet' }];
}

function clock(time: number): string {
  return new Date(time).toTimeString().slice(0, 8);
}
