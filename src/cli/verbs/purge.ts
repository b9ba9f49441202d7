/**
 * purge: personal data must be removable.
 */
import { openProject } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import type { CommitId } from '../../model/records/commit.ts';
import { purgeJson } from '../../shown/upkeep.ts';
import { purge, type PurgeResult } from '../../versions/upkeep/purge.ts';
import { resolveCommit } from '../../versions/resolve.ts';
import { addressOf } from '../addresses.ts';
import type { Output } from '../output.ts';
import { countText } from '../text.ts';
import { dryRunOption, fileArgument } from '../parameters.ts';
import { verb } from '../verb.ts';

const shownMax = 20;

export const purgeVerb = verb({
  name: 'purge',
  summary: 'Remove a path, or all files of one commit, from history for ever',
  examples: [
    ['purge images:/people/ann', 'Remove a file or folder from every version of the repo'],
    ['purge images@4a7be2', 'Remove all files of one commit; its id stays'],
    ['purge images:/people/ann --dry-run', 'Show what would be removed, and which commits were computed from it'],
  ],
  json: purgeJson,
  arguments: { what: { ...fileArgument, describe: 'repo:/path, or repo@commit' } },
  options: { 'dry-run': dryRunOption },
  async run({ what, 'dry-run': dryRun }, { settings, output, signal }) {
    const { address, settings: where } = addressOf(what, settings);
    const { repo, ref, path } = address;
    if ((ref === undefined) === (path === undefined) || path === '/' || (ref && !/^[0-9a-f]{6,32}$/.test(ref))) {
      throw new PachError('usage', {
        what,
        why: 'give a path without a version, or one commit by its id',
        next: `pach purge ${repo}:/PATH`,
        or: `pach purge ${repo}@COMMIT`,
      });
    }
    await using opened = await openProject(where);
    let target: { path: string } | { commit: CommitId };
    if (path === undefined) {
      const { id } = await resolveCommit(await opened.project.snapshot(), address);
      if (!id.startsWith(ref ?? ''))
        throw new PachError('usage', {
          what,
          why: `it is the name of a branch; the id of its commit is ${id}`,
          next: `pach purge ${repo}@${id}`,
        });
      target = { commit: id };
    } else target = { path };
    const result = await purge(opened.project, { repo, what: target, dryRun, signal });
    await output.document(result, () => describe(result, what, dryRun, output));
  },
});

function describe(
  { commits, computed, sameBytes, references = [] }: PurgeResult,
  what: string,
  dryRun: boolean,
  { id, name }: Pick<Output, 'id' | 'name'>,
): string[] {
  const lines = [`${dryRun ? 'Would take' : 'Took'} ${what} out of ${countText(commits.length, 'commit')}.`];
  if (computed.length > 0) lines.push('', 'Commits that were computed from them, and stay unchanged:');
  for (const { repo, commit } of computed.slice(0, shownMax)) lines.push(`  ${repo}@${id(commit)}`);
  if (computed.length > shownMax) lines.push(`  and ${computed.length - shownMax} more`);
  if (sameBytes.length > 0) lines.push('', 'Other files that have the same bytes and keep them in the store:');
  for (const { repo, commit, path, whole } of sameBytes.slice(0, shownMax)) {
    lines.push(`  ${repo}@${id(commit)}:${path}${whole ? '' : ' (in part)'}`);
  }
  if (sameBytes.length > shownMax) lines.push(`  and ${sameBytes.length - shownMax} more`);
  if (references.length > 0) lines.push('', 'Objects that files of it referred to, and that stay where they are:');
  for (const url of references.slice(0, shownMax)) lines.push(`  ${name(url)}`);
  if (references.length > shownMax) lines.push(`  and ${references.length - shownMax} more`);
  if (!dryRun) lines.push('', 'To delete the bytes from the store: pach gc --grace 0');
  return lines;
}
