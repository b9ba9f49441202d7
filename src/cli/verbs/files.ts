/**
 * list|glob|inspect file.
 */
import { openProject } from '../../app/open.ts';
import { fileInfo, fileJson, type FileInfo, type ReferenceInfo } from '../../shown/files.ts';
import { writerJson, writerOf } from '../../shown/writer.ts';
import type { File, Files } from '../../versions/reading/files.ts';
import { resolveCommit } from '../../versions/resolve.ts';
import { addressOf, filesAt } from '../addresses.ts';
import type { Output } from '../output.ts';
import { cut } from '../quote.ts';
import { sizeText, timeText } from '../text.ts';
import { fileArgument, recursiveOption } from '../parameters.ts';
import { verb, type VerbContext } from '../verb.ts';

/** What a link leads to is shown as far as this; JSON and `inspect file` give all of it. */
const targetColumnsMax = 60;

const fileColumns = [
  ['NAME', nameCell],
  ['TYPE', (row: FileInfo) => row.kind],
  ['SIZE', (row: FileInfo) => sizeText(row.bytes)],
  ['MODIFIED', (row: FileInfo) => timeText(row.modified)],
] as const;

function nameCell({ path, target }: FileInfo, { name }: Pick<Output, 'name'>): string {
  return target === undefined ? name(path) : `${name(path)} -> ${cut(name(target), targetColumnsMax)}`;
}

async function printFiles(
  text: string,
  { settings, output, signal }: VerbContext,
  find: (files: Files, path: string) => AsyncIterable<File>,
): Promise<void> {
  const { address, settings: where } = addressOf(text, settings);
  await using opened = await openProject(where);
  const files = await filesAt(opened.project, await opened.project.snapshot(), address, text);
  async function* rows(): AsyncGenerator<FileInfo> {
    for await (const file of find(files, address.path ?? '/')) {
      signal.throwIfAborted();
      yield fileInfo(files, file);
    }
  }
  await output.rows(rows(), fileColumns);
}

export const listFileVerb = verb({
  name: 'list file',
  summary: 'List a folder of a version',
  examples: [
    ['list file images@master:/a', 'Files and folders in /a'],
    ['list file images@master^ -r', 'All files of the commit before the last'],
  ],
  json: fileJson,
  arguments: { file: fileArgument },
  options: { recursive: recursiveOption },
  run: ({ file, recursive }, context) => printFiles(file, context, (files, path) => files.list(path, recursive)),
});

export const globFileVerb = verb({
  name: 'glob file',
  summary: 'List the files that match a pattern',
  examples: [
    ["glob file 'images@master:/**/*.png'", 'All PNG files'],
    ["glob file 'images@master:/*'", 'Files and folders at the top'],
  ],
  json: fileJson,
  arguments: { pattern: { ...fileArgument, describe: 'repo[@ref]:/pattern' } },
  run: ({ pattern }, context) => printFiles(pattern, context, (files, path) => files.glob(path)),
});

function referenceLines({ url, version, etag }: ReferenceInfo, { name }: Pick<Output, 'name'>): string[] {
  return [`Bytes at: ${name(url)}`, version === undefined ? `ETag:     ${etag}` : `Version:  ${name(version)}`];
}

export const inspectFileVerb = verb({
  name: 'inspect file',
  summary: 'Show one file',
  examples: [
    ['inspect file images@master:/a/b.png', 'Show its size, hash and time'],
    ['inspect file edges@master:/b.png --datum', 'Show which datum of the pipeline wrote it'],
  ],
  json: `${fileJson}; with --datum also ${writerJson}`,
  arguments: { file: { ...fileArgument, describe: 'repo[@ref]:/path' } },
  options: { datum: { type: 'flag', describe: 'Also show the datum that wrote it' } },
  async run({ file: text, datum }, { settings, output }) {
    const { address, settings: where } = addressOf(text, settings);
    await using opened = await openProject(where);
    const snapshot = await opened.project.snapshot();
    const files = await filesAt(opened.project, snapshot, address, text);
    const info = await fileInfo(files, await files.find(address.path ?? '/'));
    const { id } = await resolveCommit(snapshot, address);
    const writer = datum ? ((await writerOf(snapshot, id, info.path)) ?? null) : undefined;
    const read = writer?.files.map(({ repo, commit, path }) => `${repo}@${output.id(commit)}:${path}`) ?? [];
    await output.document({ ...info, ...(datum && { writer }) }, () => [
      `Path:     ${output.name(info.path)}`,
      `Type:     ${info.kind}${info.executable ? ', executable' : ''}`,
      ...(info.target === undefined ? [] : [`Target:   ${output.name(info.target)}`]),
      `Size:     ${sizeText(info.bytes)}`,
      `Modified: ${timeText(info.modified)}`,
      `Hash:     ${info.hash}`,
      ...(info.reference ? referenceLines(info.reference, output) : []),
      ...(writer
        ? [
            `Datum:    ${output.id(writer.datum)} of job ${output.id(writer.job)}`,
            ...read.map((from) => `From:     ${output.name(from)}`),
          ]
        : []),
    ]);
  },
});
