/**
 * update commit: what a version was made of, declared by a person or by another system.
 */
import { isUtf8 } from 'node:buffer';
import { openProject } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import { shellWord } from '../../base/shell.ts';
import { commitDetails, commitDetailsJson } from '../../shown/commits.ts';
import { localBytes } from '../../sources/open.ts';
import { declareOf } from '../../versions/provenance.ts';
import { addressOf, sourcesOf } from '../addresses.ts';
import { fileArgument, provenanceOption } from '../parameters.ts';
import { standardInput } from '../stdin.ts';
import { verb } from '../verb.ts';

const specKiBMax = 16;

export const updateCommitVerb = verb({
  name: 'update commit',
  summary: 'Declare what a version was made of, when no pipeline of this project made it',
  examples: [
    ['update commit edges@master --provenance images@master', 'All of it was made of that version'],
    ['update commit edges@3f2a:/a.png --provenance images@master:/a.png', 'One file of one file'],
    ['update commit edges@3f2a --provenance images@master --spec spec.json', 'Also say how'],
  ],
  json: commitDetailsJson,
  arguments: { commit: { ...fileArgument, describe: 'repo@ref[:/path]' } },
  options: {
    provenance: provenanceOption,
    spec: {
      type: 'text',
      names: ['local'],
      describe: `File that says how it was made, or -; at most ${specKiBMax} KiB`,
    },
  },
  async run({ commit: text, provenance, spec: file }, { settings, output, signal }) {
    const { address, settings: where } = addressOf(text, settings);
    if (provenance.length === 0 && file === undefined) {
      const next = `pach update commit ${shellWord(text)} --provenance REPO@REF`;
      throw new PachError('usage', { what: 'update commit', why: 'nothing is declared', next });
    }
    const spec = file === undefined ? undefined : await textOf(file, signal);
    await using opened = await openProject(where);
    const { project } = opened;
    const sources = await sourcesOf(project, provenance, where);
    const commit = await declareOf(project, address, { sources, spec });
    const details = await commitDetails(await project.snapshot(), commit);
    await output.document(details, () => output.id(commit.id));
  },
});

/** The text of a small file, or of standard input. */
async function textOf(file: string, signal: AbortSignal): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of file === '-' ? standardInput(signal) : localBytes(file, { signal })) {
    parts.push(part);
    bytes += part.length;
    if (bytes > specKiBMax * 1024) {
      throw new PachError('usage', { what: file, why: `it has more than ${specKiBMax} KiB` });
    }
  }
  const text = Buffer.concat(parts);
  if (!isUtf8(text)) throw new PachError('usage', { what: file, why: 'it is not UTF-8 text' });
  return text.toString();
}
