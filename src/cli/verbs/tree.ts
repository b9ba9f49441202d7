/**
 * tree: a folder of a version with what lies below it, drawn.
 */
import { openProject } from '../../app/open.ts';
import { fileInfo, fileJson, type FileInfo } from '../../shown/files.ts';
import type { File, Files } from '../../versions/reading/files.ts';
import { addressOf, filesAt } from '../addresses.ts';
import { fileArgument } from '../parameters.ts';
import { countText, sizeText } from '../text.ts';
import { verb } from '../verb.ts';

interface Row extends FileInfo {
  /** Of each folder on the way from the root that is drawn, and of the row itself: nothing follows in its folder. */
  readonly lasts: readonly boolean[];
}

export const treeVerb = verb({
  name: 'tree',
  reads: true,
  summary: 'Draw a folder of a version with everything below it',
  examples: [
    ['tree images@master:/', 'All folders and files of a version'],
    ['tree images@master:/a --depth 1', 'Only what lies in /a itself'],
  ],
  json: fileJson,
  arguments: { file: fileArgument },
  options: { depth: { type: 'count', least: 1, describe: 'Show only so many levels below the folder' } },
  async run({ file: text, depth = Infinity }, { settings, output, signal }) {
    const { address, settings: where } = addressOf(text, settings);
    await using opened = await openProject(where);
    const files = await filesAt(opened.project, await opened.project.snapshot(), address, text);
    const root = await files.find(address.path ?? '/');
    const rows = rowsBelow(files, root, { depth, signal });
    if (output.format !== 'table') {
      async function* infos(): AsyncGenerator<FileInfo> {
        for await (const { lasts: _, ...info } of rows) yield info;
      }
      return await output.rows(infos(), []);
    }
    const counts = { folders: 0, files: 0, bytes: 0 };
    await output.lines([output.name(root.path)]);
    for await (const { path, kind, bytes, target, lasts } of rows) {
      if (kind === 'dir') counts.folders += 1;
      else {
        counts.files += 1;
        counts.bytes += bytes;
      }
      const before = lasts.map((isLast, at) => (at < lasts.length - 1 ? (isLast ? '    ' : '│   ') : branchOf(isLast)));
      const name = output.name(path.slice(path.lastIndexOf('/') + 1));
      const shown = target === undefined ? name : `${name} -> ${output.name(target)}`;
      await output.lines([before.join('') + shown]);
    }
    const { folders, files: count, bytes } = counts;
    await output.lines(['', `${countText(folders, 'folder')}, ${countText(count, 'file')}, ${sizeText(bytes)}`]);
  },
});

function branchOf(isLast: boolean): string {
  return isLast ? '└── ' : '├── ';
}

/** Everything below a folder, as it comes; a file has nothing below it. */
async function* rowsBelow(
  files: Files,
  { path, entry }: File,
  { depth, signal, above = [] }: { readonly depth: number; readonly signal: AbortSignal; readonly above?: boolean[] },
): AsyncGenerator<Row> {
  if (entry.kind !== 'directory' || above.length >= depth) return;
  const items = files.list(path, false);
  for (let next = await items.next(); !next.done;) {
    signal.throwIfAborted();
    const file = next.value;
    next = await items.next();
    const lasts = [...above, next.done === true];
    yield { ...(await fileInfo(files, file)), lasts };
    yield* rowsBelow(files, file, { depth, signal, above: lasts });
  }
}
