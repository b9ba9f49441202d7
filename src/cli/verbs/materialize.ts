/**
 * materialize: files that were put by reference get their bytes into the store.
 */
import { openProject } from '../../app/open.ts';
import { materializeJson } from '../../shown/stored.ts';
import { materialize } from '../../versions/writing/materialize.ts';
import { branchOf } from '../addresses.ts';
import { fileArgument, messageOption } from '../parameters.ts';
import { FilesProgress } from '../progress.ts';
import { countText, sizeText } from '../text.ts';
import { verb } from '../verb.ts';

export const materializeVerb = verb({
  name: 'materialize',
  summary: 'Store the bytes of files that were put by reference, as one commit',
  examples: [
    ['materialize lake@master', 'All of a branch'],
    ['materialize lake@master:/raw/2026', 'All below a folder'],
  ],
  json: materializeJson,
  arguments: { files: { ...fileArgument, describe: 'repo@branch[:/path]' } },
  options: { message: messageOption },
  async run({ files: text, message }, { settings, output, signal }) {
    const { repo, branch, path, settings: where } = branchOf(text, settings);
    await using opened = await openProject(where);
    const progress = new FilesProgress(output);
    const request = { repo, branch, path: path === '' ? '/' : path, message, progress: progress.add, signal };
    const result = await materialize(opened.project, request);
    const { commit, files, bytes } = result;
    if (files > 0) {
      output.note(
        `${text}: files that had no stored bytes have other hashes now, so pipelines that read them will run again`,
      );
    }
    const { isUnchanged: _, ...info } = result;
    await output.document(info, () => {
      if (!output.isForPeople) return commit;
      if (files === 0) return `no file is a reference: commit ${output.id(commit)}`;
      return `${countText(files, 'file')}, ${sizeText(bytes)} stored: commit ${output.id(commit)}`;
    });
  },
});
