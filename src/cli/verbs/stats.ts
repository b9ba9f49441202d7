/**
 * stats: what a project holds and what it takes.
 */
import { openProject } from '../../app/open.ts';
import { statsJson } from '../../shown/upkeep.ts';
import { projectStats, type ProjectStats } from '../../versions/upkeep/stats.ts';
import { countText, sizeText } from '../text.ts';
import { verb } from '../verb.ts';

/** A collection is worth a hint when it would give back so much of the store, or so many packs are small. */
const reclaimableShareMin = 0.2;
const smallPacksMin = 200;

export const statsVerb = verb({
  name: 'stats',
  summary: 'Show the size of a project, the space that it takes, and how much gc would free',
  examples: [
    ['stats', 'Show the numbers of the project'],
    ['stats -o json', 'Print JSON for programs'],
  ],
  json: statsJson,
  async run(_, { settings, output, signal }) {
    await using opened = await openProject(settings);
    output.progress('reading metadata');
    const stats = await projectStats(opened.project, signal);
    await output.document(stats, () => describe(stats));
  },
});

function describe(stats: ProjectStats): string[] {
  const {
    files,
    logicalBytes,
    historyBytes,
    storedBytes,
    dedupRatio,
    reclaimableBytes,
    condemnedBytes,
    leftoverBytes,
    references,
  } = stats;
  const commits = stats.repos.reduce((sum, repo) => sum + repo.commits, 0);
  const lines = [
    `Newest commits: ${sizeText(logicalBytes)} in ${countText(files, 'file')}`,
    `All commits:    ${sizeText(historyBytes)} in ${countText(commits, 'commit')}`,
    ...(references
      ? [`Elsewhere:      ${sizeText(references.bytes)} in ${countText(references.files, 'file')} of other buckets`]
      : []),
    `Stored:         ${sizeText(storedBytes)} in ${countText(stats.objects, 'object')} (${countText(stats.packs, 'pack')}, ${countText(stats.chunks, 'chunk')})`,
    `Ratio:          ${dedupRatio.toFixed(2)} bytes of all commits for each byte that is needed`,
    `Reclaimable:    ${sizeText(reclaimableBytes)}, of which condemned ${sizeText(condemnedBytes)}${leftoverBytes > 0 ? `, left by killed writers ${sizeText(leftoverBytes)}` : ''}`,
    '',
    ...stats.repos.map(
      ({ repo, branches, commits: count, logicalBytes: bytes }) =>
        `${repo}: ${sizeText(bytes)}, ${countText(count, 'commit')}, ${branches} ${branches === 1 ? 'branch' : 'branches'}`,
    ),
  ];
  if (reclaimableBytes > storedBytes * reclaimableShareMin || stats.smallPacks > smallPacksMin) {
    lines.push('', `pach gc would free about ${sizeText(reclaimableBytes)}`);
  }
  return lines;
}
