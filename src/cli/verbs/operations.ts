/**
 * op log, undo, redo.
 */
import { openProject } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import { mayUndo } from '../../pipelines/editing/may-undo.ts';
import { movedPipelines, type MovedPipeline } from '../../pipelines/editing/places.ts';
import { wordsOf } from '../../versions/operations.ts';
import { operationInfos, operationJson, undoneInfo, undoneJson, type OperationInfo } from '../../shown/operations.ts';
import { undo, type RefChange, type UndoRequest } from '../../versions/undo/undo.ts';
import { first } from '../first.ts';
import type { Columns, Output } from '../output.ts';
import { dryRunOption } from '../parameters.ts';
import { countText, timeText } from '../text.ts';
import { verb, type VerbContext } from '../verb.ts';

const columns: Columns<OperationInfo> = [
  ['OPERATION', (row, { id }) => id(row.operation)],
  ['TIME', (row) => timeText(row.time)],
  ['WHO', (row) => row.who],
  ['WHAT', (row) => `${row.what}${row.undone ? ' (taken back)' : ''}`],
];

export const opLogVerb = verb({
  name: 'op log',
  summary: 'List the changes of the project, newest first',
  examples: [
    ['op log -n 10', 'The last ten changes that people made'],
    ['op log --all', 'Also what the engine did: the beginnings and ends of jobs'],
  ],
  json: operationJson,
  options: {
    number: { type: 'count', alias: 'n', least: 1, describe: 'Show at most this many' },
    all: { type: 'flag', describe: 'Show what engines did, too' },
  },
  async run({ number, all }, { settings, output }) {
    await using opened = await openProject(settings);
    const { project } = opened;
    const { head, known } = await project.load();
    const rows = operationInfos({ head, known, reader: project.reader }, all);
    await output.rows(first(rows, number ?? Number.MAX_SAFE_INTEGER), columns);
  },
});

export const undoVerb = verb({
  name: 'undo',
  summary: 'Take back the last change that you made, or another one',
  examples: [
    ['undo', 'Take back your last change; again: the one before it'],
    ['undo --dry-run', 'Show what would come back'],
    ['undo 4a7be2c019d3', 'Take back a change of the list that pach op log prints'],
  ],
  json: undoneJson,
  arguments: {
    operation: { type: 'text', names: ['operation'], describe: 'Id of an operation, or its beginning' },
  },
  options: { 'dry-run': dryRunOption },
  async run({ operation, 'dry-run': dryRun }, context) {
    if (operation !== undefined && !/^[0-9a-f]{4,32}$/.test(operation)) {
      const why = 'the id of an operation is 32 hex digits, of which at least the first 4 are needed';
      throw new PachError('usage', { what: operation, why, next: 'pach op log' });
    }
    await takeBack({ verb: 'undo', operation }, dryRun, context);
  },
});

export const redoVerb = verb({
  name: 'redo',
  summary: 'Make again what you undid last',
  examples: [
    ['redo', 'Take the last undo back; again: the one before it'],
    ['redo --dry-run', 'Show what would change'],
  ],
  json: undoneJson,
  options: { 'dry-run': dryRunOption },
  run: ({ 'dry-run': dryRun }, context) => takeBack({ verb: 'redo' }, dryRun, context),
});

async function takeBack(
  wanted: UndoRequest['wanted'],
  dryRun: boolean,
  { settings, output }: VerbContext,
): Promise<void> {
  await using opened = await openProject(settings);
  let places: readonly MovedPipeline[] = [];
  const look: UndoRequest['mayUndo'] = async (change, later) => {
    await mayUndo(change, later);
    places = await movedPipelines(change);
  };
  const undone = undoneInfo(await undo(opened.project, { wanted, dryRun, mayUndo: look }), dryRun, places);
  await output.document(undone, () => {
    const { operation: op, kept } = undone;
    const again = op.undoes !== null;
    const done = dryRun ? (again ? 'Would make again' : 'Would take back') : again ? 'Made again' : 'Took back';
    return [
      `${done}: ${wordsOf(op)}, by ${op.who} at ${timeText(op.time)} (${output.id(op.operation)})`,
      ...undone.changes.map((change) => `  ${changeText(change, output)}`),
      ...kept.map((repo) => `  repo ${repo} stays, with what was computed in it`),
      ...places.map((moved) => `  ${placeText(moved)}`),
    ];
  });
}

/** What becomes of what a place runs: nothing is asked of its cluster. */
function placeText({ pipeline: name, branch, from, to, version }: MovedPipeline): string {
  const pipeline = branch === null ? name : `${name} of branch ${branch}`;
  if (to === null) {
    const demote = `pach demote${branch === null ? '' : ` --branch ${branch}`}`;
    return `pipeline ${pipeline} does not run at ${from} any more; its controller stays, and ${demote} removes one that has no pipelines`;
  }
  if (from === to) return `pipeline ${pipeline}: ${to} runs version ${version} of it`;
  return `pipeline ${pipeline} runs at ${to} again, if its controller is still there; pach promote makes sure of that`;
}

function changeText({ kind, name, change, count, old, new: now }: RefChange, { id }: Output): string {
  const what =
    count === undefined ? `${kind} ${name}` : `${countText(count, kind.slice(0, -1))}${name && ` of ${name}`}`;
  const many = count !== undefined && count > 1;
  if (change === 'added') return `${what} ${many ? 'come' : 'comes'} back${now === undefined ? '' : `, at ${id(now)}`}`;
  if (change === 'removed') return `${what} ${many ? 'go' : 'goes'}`;
  if (old === now || now === undefined)
    return `${what} ${many ? 'are as they were' : 'is as it was'}${kind === 'branch' && old !== now ? ': without commits' : ''}`;
  return `${what} goes back to ${id(now)}`;
}
