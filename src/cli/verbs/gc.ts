/**
 * gc: gives back the space of what no version needs any more.
 */
import { openProject } from '../../app/open.ts';
import { gcInfo, gcJson } from '../../shown/upkeep.ts';
import { collectGarbage } from '../../versions/upkeep/gc.ts';
import { countText, durationOf, sizeText } from '../text.ts';
import { dryRunOption } from '../parameters.ts';
import { verb } from '../verb.ts';

export const gcVerb = verb({
  name: 'gc',
  summary: 'Delete data that nothing refers to any more, and merge small packs',
  examples: [
    ['gc --dry-run', 'Show what would be deleted'],
    ['gc', 'Mark data that is not needed; delete data that was marked a day ago'],
    ['gc --grace 0', 'Delete at once; use it only while nobody else uses the store'],
  ],
  json: gcJson,
  options: {
    grace: {
      type: 'text',
      default: '24h',
      describe: 'How long to keep marked data, which mounts and writers may still use: 30m, 24h, 7d',
    },
    'dry-run': dryRunOption,
  },
  async run({ grace, 'dry-run': dryRun }, { settings, output, signal }) {
    const milliseconds = durationOf('--grace', grace);
    await using opened = await openProject(settings);
    // First: who writes to the store removes the oldest of them by the way.
    const left = (await opened.store.leftovers?.(milliseconds, !dryRun)) ?? { files: 0, bytes: 0 };
    const result = await collectGarbage(opened.project, {
      grace: milliseconds,
      dryRun,
      signal,
      progress: (what) => output.progress(what),
    });
    const leftovers = `${countText(left.files, 'file')} of killed writers, ${sizeText(left.bytes)}.`;
    await output.document(gcInfo(result, left), () => [
      `${dryRun ? 'Would delete' : 'Deleted'} ${countText(result.deletedObjects, 'object')}, ${sizeText(result.deletedBytes)}.`,
      ...(left.files > 0 ? [`${dryRun ? 'Would delete' : 'Deleted'} ${leftovers}`] : []),
      `Condemned and kept for ${grace}: ${countText(result.condemnedObjects, 'object')}, ${sizeText(result.condemnedBytes)}.`,
      `${dryRun ? 'There would be' : 'There are'} ${countText(result.objectsAfter, 'object')}, ${sizeText(result.bytesAfter)} (before: ${countText(result.objectsBefore, 'object')}, ${sizeText(result.bytesBefore)}).`,
    ]);
  },
});
