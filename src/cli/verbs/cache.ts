/**
 * cache: what of the store lies on this machine.
 */
import { join, resolve } from 'node:path';
import { openProject } from '../../app/open.ts';
import type { Settings } from '../../app/settings.ts';
import { utf8Path } from '../../base/utf8-path.ts';
import { cacheStats, clearCache, verifyCache } from '../../cache/inventory.ts';
import { entrySize } from '../../model/tree.ts';
import { cacheClearedJson, cacheStatsJson, cacheVerifiedJson } from '../../shown/upkeep.ts';
import { warmFiles } from '../../versions/reading/warm.ts';
import { addressOf, filesAt } from '../addresses.ts';
import { FilesProgress } from '../progress.ts';
import { bytesOf, countText, sizeText } from '../text.ts';
import { cacheOption, cacheSizeOption, fileArgument } from '../parameters.ts';
import { verb } from '../verb.ts';

/** Exit code when something was damaged, as of fsck. */
const damagedCode = 6;

const options = {
  cache: { ...cacheOption, describe: 'Folder of the disk cache (the same as for mount)' },
} as const;

async function dirOf(cache: string | undefined, { home }: Settings): Promise<string> {
  if (cache !== undefined) return resolve(utf8Path(cache));
  await home.has(home.cache);
  return home.cache;
}

export const cacheStatsVerb = verb({
  name: 'cache stats',
  summary: 'Show what the disk cache of this machine holds',
  examples: [['cache stats', 'The cache holds data of all stores']],
  json: cacheStatsJson,
  options,
  async run({ cache }, { settings, output }) {
    const dir = await dirOf(cache, settings);
    const stats = { dir, ...(await cacheStats(dir)) };
    await output.document(
      stats,
      () =>
        `${dir}: ${sizeText(stats.bytes)}, ${countText(stats.files, 'large file')}, ${countText(stats.extents, 'extent')}`,
    );
  },
});

export const cacheClearVerb = verb({
  name: 'cache clear',
  summary: 'Empty the disk cache; mounts keep working',
  examples: [['cache clear', 'The cache holds data of all stores']],
  json: cacheClearedJson,
  options,
  async run({ cache }, { settings, output, signal }) {
    const dir = await dirOf(cache, settings);
    const { bytes, files, left } = await clearCache(dir, signal);
    for (const path of left) output.note(`not removed, because pach did not make it: ${join(dir, path)}`);
    await output.document(
      { dir, bytes, files, left },
      () => `${dir}: ${countText(files, 'file')}, ${sizeText(bytes)} removed`,
    );
  },
});

export const cacheVerifyVerb = verb({
  name: 'cache verify',
  reads: true,
  summary: 'Check every byte of the disk cache and remove damaged data; the next read fetches it again',
  examples: [['cache verify', 'Exit code 6 if something was damaged']],
  json: cacheVerifiedJson,
  options,
  async run({ cache }, { settings, output, signal }) {
    const dir = await dirOf(cache, settings);
    const progress = new FilesProgress(output);
    const watch = { signal, progress: (bytes: number): void => progress.add(bytes, 1) };
    const found = { dir, ...(await verifyCache(dir, watch)) };
    await output.document(
      found,
      () =>
        `${countText(found.items, 'item')}, ${sizeText(found.checkedBytes)} checked, ${sizeText(found.damagedBytes)} damaged in ${countText(found.damagedItems, 'item')}`,
    );
    return found.damagedItems > 0 ? damagedCode : 0;
  },
});

export const cacheWarmVerb = verb({
  name: 'cache warm',
  reads: true,
  summary: 'Fetch a file or folder into the disk cache before a program reads it',
  examples: [['cache warm images@master:/a', 'Everything in the folder /a']],
  json: '{files, bytes, fetchedBytes, requests}; fetchedBytes and requests: of large files',
  arguments: { file: fileArgument },
  options: { ...options, 'cache-size': cacheSizeOption },
  async run(args, { settings, output, signal }) {
    const { address, settings: where } = addressOf(args.file, settings);
    const cacheDir = args.cache === undefined ? undefined : resolve(args.cache);
    const size = args['cache-size'];
    await using opened = await openProject(where, {
      cacheDir,
      ...(size === undefined ? {} : { cacheBytesMax: bytesOf(size, '--cache-size') }),
    });
    const files = await filesAt(opened.project, await opened.project.snapshot(), address, args.file);
    const warmed = { files: 0, bytes: 0 };
    const path = address.path ?? '/';
    const progress = new FilesProgress(output, entrySize((await files.find(path)).entry));
    await warmFiles(opened.project, opened.files, files, path, {
      signal,
      progress: (bytes, count) => {
        warmed.bytes += bytes;
        warmed.files += count;
        progress.add(bytes, count);
      },
    });
    const { bytes: fetchedBytes, requests } = opened.files.filler.counters;
    await output.document(
      { ...warmed, fetchedBytes, requests },
      () => `${countText(warmed.files, 'file')}, ${sizeText(warmed.bytes)}`,
    );
  },
});
