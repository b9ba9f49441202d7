/**
 * diff file: which files differ between two versions, by how much, and what is different in them.
 */
import { openProject } from '../../app/open.ts';
import { isPachError, PachError } from '../../base/errors.ts';
import { entrySize } from '../../model/tree.ts';
import { changeInfo, changeJson, type ChangeInfo } from '../../shown/files.ts';
import { contentDiff, contentJson, type ContentDiff } from '../../shown/content-diff.ts';
import { mayHoldMetrics, metricChanges, metricJson, type MetricChange } from '../../shown/metrics.ts';
import type { RowChange } from '../../shown/row-diff.ts';
import { textDiff } from '../../shown/text-diff.ts';
import type { Project } from '../../versions/project.ts';
import { Files, type FileChange } from '../../versions/reading/files.ts';
import { parentOf } from '../../versions/reading/history.ts';
import { resolveVersion } from '../../versions/resolve.ts';
import { rootOf } from '../../versions/snapshot.ts';
import { addressOf, filesAt } from '../addresses.ts';
import { changeColumns, changeMarks } from '../changes.ts';
import type { Output } from '../output.ts';
import { fileArgument } from '../parameters.ts';
import { countText, sizeText } from '../text.ts';
import { verb, type VerbContext } from '../verb.ts';

const shapes = ['name-only', 'stat', 'content', 'metrics'];
const onlyOne = 'give only one of --name-only, --stat, --content and --metrics';

export const diffFileVerb = verb({
  name: 'diff file',
  reads: true,
  summary: 'Show the differences between two versions (exit code 10 if there are any)',
  examples: [
    ['diff file images@master', 'Show what the last commit changed'],
    ['diff file images@master:/a images@dev:/a --name-only', 'Compare the folder /a of two branches'],
    ['diff file notes@master notes@master^ --stat', 'Count the lines and bytes that differ'],
    ['diff file notes@master:/today.txt --content', 'Show the lines that differ'],
    ['diff file labels@master:/labels.csv --key id', 'Show the rows that differ, by the values of a column'],
    ['diff file model@exp model@master --metrics', 'Compare the numbers in two versions of JSON, YAML and CSV files'],
  ],
  json: `${changeJson}; with --stat also lines: {added, removed} or null; with --content or --key also content: ${contentJson}; ${metricJson}`,
  arguments: {
    new: fileArgument,
    old: { type: 'text', names: fileArgument.names, describe: 'The version to compare with; the parent by default' },
  },
  options: {
    'name-only': { type: 'flag', describe: 'Print paths only' },
    stat: { type: 'flag', describe: 'Also count the lines and bytes that differ' },
    content: { type: 'flag', describe: 'Show the lines of text that differ, and the rows of .csv and .tsv files' },
    key: { type: 'text', describe: 'Show the rows of .csv and .tsv files that differ, by the values of this column' },
    metrics: { type: 'flag', describe: 'Compare the numbers in .json, .yaml, .csv and .tsv files that differ' },
  },
  conflicts: shapes.map((option) => ({ option, others: shapes.filter((other) => other !== option), why: onlyOne })),
  async run({ new: newText, old: oldText, ...asked }, context) {
    const { settings, output } = context;
    const { address, settings: where } = addressOf(newText, settings);
    if (asked.key !== undefined && (asked['name-only'] || asked.stat)) {
      throw new PachError('usage', { what: '--key', why: 'it goes with --content or --metrics' });
    }
    await using opened = await openProject(where);
    const { files, before } = await versionsOf(opened.project, newText, { old: oldText, settings });
    let differences = 0;
    async function* changes(): AsyncGenerator<FileChange> {
      for await (const change of files.diff(before, address.path ?? '/')) {
        context.signal.throwIfAborted();
        differences += 1;
        yield change;
      }
    }
    if (asked.metrics) return await printMetrics(context, files, { changes: changes(), key: asked.key });
    if (asked.stat) await printStat(output, files, changes());
    else if (asked.content || asked.key !== undefined) {
      await printContent(output, files, { changes: changes(), key: asked.key });
    } else if (asked['name-only'] && output.format === 'table') {
      for await (const { path } of changes()) await output.lines([output.name(path)]);
    } else
      await output.rows(
        mapped(changes(), (change) => changeInfo(files, change)),
        changeColumns,
      );
    return differences > 0 ? 10 : 0;
  },
});

/** The files of the newer version, and those of the older one, which may be none. */
async function versionsOf(
  project: Project,
  newText: string,
  { old: oldText, settings }: { readonly old: string | undefined; readonly settings: VerbContext['settings'] },
): Promise<{ files: Files; before: Files | undefined }> {
  const { address, settings: where } = addressOf(newText, settings);
  const snapshot = await project.snapshot();
  const files = await filesAt(project, snapshot, address, newText);
  if (oldText === undefined) {
    const { commit } = await resolveVersion(snapshot, address);
    const parent = commit && (await parentOf(snapshot, commit));
    return { files, before: parent && new Files(project.reader, rootOf(parent), `${newText}^`) };
  }
  const old = addressOf(oldText, settings);
  if (old.settings.project !== where.project) {
    throw new PachError('usage', { what: oldText, why: 'both versions must be in one project' });
  }
  if ((old.address.path ?? address.path) !== address.path) {
    throw new PachError('usage', { what: oldText, why: 'both versions must have the same path' });
  }
  return { files, before: await filesAt(project, snapshot, old.address, oldText) };
}

async function* mapped<T, R>(items: AsyncIterable<T>, map: (item: T) => Promise<R>): AsyncGenerator<R> {
  for await (const item of items) yield await map(item);
}

interface Stat extends ChangeInfo {
  readonly lines: { readonly added: number; readonly removed: number } | null;
}

async function printStat(output: Output, files: Files, changes: AsyncIterable<FileChange>): Promise<void> {
  const totals = { files: 0, added: 0, removed: 0 };
  const rows = mapped(changes, async (change): Promise<Stat> => {
    const diff = await textDiff(files, change.old, change.new);
    const lines = diff.kind === 'text' ? { added: diff.added, removed: diff.removed } : null;
    totals.files += 1;
    totals.added += lines?.added ?? 0;
    totals.removed += lines?.removed ?? 0;
    return { ...(await changeInfo(files, change)), lines };
  });
  await output.rows(rows, [
    ...changeColumns,
    ['LINES', ({ lines }) => (lines ? `+${lines.added} -${lines.removed}` : '-')],
    ['SIZE', ({ old, new: now }) => [old, now].flatMap((info) => (info ? [sizeText(info.bytes)] : [])).join(' -> ')],
  ]);
  if (output.format !== 'table' || totals.files === 0) return;
  const { files: count, added, removed } = totals;
  await output.lines(['', `${countText(count, 'file')}, ${countText(added, 'line')} added, ${removed} removed`]);
}

interface AskedContent {
  readonly changes: AsyncIterable<FileChange>;
  readonly key: string | undefined;
}

async function printContent(output: Output, files: Files, { changes, key }: AskedContent): Promise<void> {
  for await (const change of changes) {
    const content = await contentDiff(files, change, key);
    if (output.format === 'table') await printDiff(output, change, content);
    else await output.rows([{ ...(await changeInfo(files, change)), content }], []);
  }
}

async function printDiff(
  output: Output,
  { path, change, old, new: now }: FileChange,
  diff: ContentDiff,
): Promise<void> {
  const name = output.name(path);
  await output.diffLine(`--- ${old ? `a${name}` : '/dev/null'}`);
  await output.diffLine(`+++ ${now ? `b${name}` : '/dev/null'}`);
  if (diff.kind === 'text') {
    for (const { oldStart, oldLines, newStart, newLines, lines } of diff.hunks) {
      await output.diffLine(`@@ -${oldStart},${oldLines} +${newStart},${newLines} @@`);
      for (const line of lines) await output.diffLine(line);
    }
    if (diff.hunks.length === 0)
      await output.lines([old && now ? 'only its kind or its executable bit differs' : 'empty']);
  } else if (diff.kind === 'rows') {
    for (const column of diff.columns.removed) await output.lines([`- column ${output.name(column)}`]);
    for (const column of diff.columns.added) await output.lines([`+ column ${output.name(column)}`]);
    for (const row of diff.rows) await output.lines([rowText(row, diff.key)]);
    const { added, removed, changed } = diff;
    const more = added + removed + changed - diff.rows.length;
    if (more > 0) await output.lines([`… and ${countText(more, 'more row')}`]);
    await output.lines([`${countText(added, 'row')} added, ${removed} removed, ${changed} changed`]);
  } else {
    const sizes = [old, now].flatMap((entry) => (entry ? [sizeText(entrySize(entry))] : []));
    await output.lines([`${changeMarks[change]} ${sizes.join(' -> ')}; not compared: ${diff.why}`]);
  }
}

function rowText({ change, old, new: now }: RowChange, key: string | null): string {
  const cells = Object.entries((now ?? old) as Readonly<Record<string, string>>);
  if (change !== 'changed' || !old || !now) {
    return `${changeMarks[change]} ${cells.map(([column, cell]) => `${column}=${cell}`).join(' ')}`;
  }
  const differing = cells.filter(([column, cell]) => old[column] !== cell);
  const texts = differing.map(([column, cell]) => `${column} ${old[column]} -> ${cell}`);
  return `${changeMarks[change]} ${key}=${now[key as string]}: ${texts.join(', ')}`;
}

/** Files that can't be read as what their names say are named, and the others compared. Resolves to the exit code. */
async function printMetrics({ output }: VerbContext, files: Files, { changes, key }: AskedContent): Promise<number> {
  let differences = 0;
  async function* rows(): AsyncGenerator<MetricChange> {
    for await (const change of changes) {
      if (!mayHoldMetrics(change.path)) continue;
      const found = await metricChanges(files, change, key).catch((error: unknown) => {
        if (!isPachError(error, 'failed')) throw error;
        output.note(`${error.what}: left out: ${error.why}`);
        return [];
      });
      differences += found.length;
      yield* found;
    }
  }
  await output.rows(rows(), [
    ['FILE', (row, { name }) => name(row.path)],
    ['METRIC', (row) => row.metric],
    ['OLD', (row) => numberText(row.old)],
    ['NEW', (row) => numberText(row.new)],
    ['CHANGE', ({ change }) => (change !== null && change > 0 ? '+' : '') + numberText(change)],
  ]);
  return differences > 0 ? 10 : 0;
}

/** Seven digits: what a sum of binary fractions adds behind them says nothing. */
function numberText(value: number | null): string {
  return value === null ? '-' : String(Number.isInteger(value) ? value : Number(value.toPrecision(7)));
}
