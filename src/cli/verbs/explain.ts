/**
 * explain: one file, for a person who has to justify it.
 */
import { exportFile } from '../../app/export-file.ts';
import { openProject } from '../../app/open.ts';
import { shellWord } from '../../base/shell.ts';
import { explained, explainedJson, findFile, type Explained, type ExplainedInput } from '../../shown/explain.ts';
import { codeText } from '../../shown/lineage.ts';
import { addressOf } from '../addresses.ts';
import type { Output } from '../output.ts';
import { fileArgument } from '../parameters.ts';
import { countText, sizeText, timeText } from '../text.ts';
import { verb } from '../verb.ts';

/** One screen: the rest of many inputs is counted. */
const inputsShown = 10;

export const explainVerb = verb({
  name: 'explain',
  reads: true,
  summary: 'Explain one file: its inputs, command, image and code, and who computed it when',
  examples: [
    ['explain edges@master:/a.png', 'What it was computed from, by what, when and by whom'],
    ['explain edges@master:/a.png --export ./again', 'Write what is needed to compute it again; then ./again/run.sh'],
  ],
  json: explainedJson,
  arguments: { file: { ...fileArgument, describe: 'repo[@ref]:/path' } },
  options: {
    export: { type: 'text', names: ['local'], describe: 'New folder for inputs, code, spec and a script' },
  },
  async run({ file: text, export: folder }, { settings, output, signal }) {
    const { address, settings: where } = addressOf(text, settings);
    await using opened = await openProject(where);
    const { project } = opened;
    const snapshot = await project.snapshot();
    const found = await findFile(snapshot, address);
    const note = (line: string): void => output.note(line);
    const info = await explained(snapshot, found, { note, signal });
    if (folder !== undefined) await exportFile(project, snapshot, found, { folder, signal });
    await output.document(info, () => linesOf(info, output));
    if (folder !== undefined) output.note(`to compute it again: ${shellWord(`${folder}/run.sh`)}`);
  },
});

function linesOf({ file, put, computed, declared }: Explained, { id, name }: Pick<Output, 'id' | 'name'>): string[] {
  const { repo, commit, path } = file;
  const line = (what: string, text: string): string => `${`${what}:`.padEnd(10)}${text}`;
  const place = (of: { readonly repo: string; readonly commit: string; readonly path: string }): string => {
    return `${of.repo}@${id(of.commit)}${of.path === '/' ? '' : `:${name(of.path)}`}`;
  };
  const lines = [line('File', `${place({ repo, commit, path })}, ${sizeText(file.bytes)}`), line('Hash', file.hash)];
  if (!computed) {
    lines.push(line('Put', `in ${repo}@${id(put.commit)} by ${put.author}, ${timeText(put.finished)}`));
    if (put.message !== '') lines.push(line('Message', put.message));
  } else {
    const { pipeline, version, image, code, cmd, executor, author, started, seconds, commandSeconds } = computed;
    const job = `job ${id(computed.job)}, datum ${id(computed.datum ?? '')}`;
    lines.push(line('Pipeline', `${pipeline}${version === undefined ? '' : ` version ${version}`}, ${job}`));
    if (cmd) lines.push(line('Command', cmd.map(shellWord).join(' ')));
    if (computed.stdin) lines.push(line('Input', computed.stdin.join('\n')));
    lines.push(line('Image', executor === 'process' ? `none: it ran on a machine (${image ?? '-'})` : (image ?? '-')));
    lines.push(line('Code', code ? `${codeText(code)}, hash ${code.hash}` : 'none but the command'));
    lines.push(line('When', `${timeText(started)}, ${seconds} s, of which the command ${commandSeconds} s`));
    lines.push(line('By', author ?? 'somebody whose commit was deleted'));
    lines.push('', `Computed from ${countText(computed.inputs.length, 'input')}:`);
    for (const input of computed.inputs.slice(0, inputsShown)) lines.push(...inputLines(input, place(input)));
    const more = computed.inputs.length - inputsShown;
    if (more > 0) lines.push(`  and ${more} more (-o json shows all)`);
  }
  for (const { madeOf, who, time, spec } of declared) {
    lines.push('', `Declared by ${who}, ${timeText(time)}:`);
    for (const { path: of, from } of madeOf) lines.push(`  ${name(of)} was made of ${place(from)}`);
    for (const each of spec?.trimEnd().split('\n') ?? []) lines.push(`  ${each}`);
  }
  return lines;
}

function inputLines({ hash, state, author, finished }: ExplainedInput, place: string): string[] {
  const put = author === null ? '' : `, committed by ${author}, ${timeText(finished ?? '')}`;
  return [`  ${place}${state === 'there' ? '' : ` (${state} since)`}`, `    hash ${hash}${put}`];
}
