/**
 * cache: what of the store lies on this machine.
 */
import { join, resolve } from 'node:path';
import type { Argv } from 'yargs';
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
import { verb } from '../verb.ts';

interface CacheArgs {
  readonly cache: string | undefined;
}

/** Exit code when something was damaged, as of fsck. */
const damagedCode = 6;

function cacheOption(yargs: Argv): Argv<CacheArgs> {
  return yargs.option('cache', { type: 'string', describe: 'Folder of the disk cache (the same as for mount)' });
}

async function dirOf({ cache }: CacheArgs, { home }: Settings): Promise<string> {
  if (cache !== undefined) return resolve(utf8Path(cache));
  await home.has(home.cache);
  return home.cache;
}

export const cacheStatsVerb = verb<CacheArgs>({
  command: 'cache stats',
  summary: 'Show what the disk cache of this machine holds',
  examples: [['cache stats', 'The cache holds data of all stores']],
  json: cacheStatsJson,
  options: cacheOption,
  async run(args, { settings, output }) {
    const dir = await dirOf(args, settings);
    const stats = { dir, ...(await cacheStats(dir)) };
    await output.document(
      stats,
      () =>
        `${dir}: ${sizeText(stats.bytes)}, ${countText(stats.files, 'large file')}, ${countText(stats.extents, 'extent')}`,
    );
  },
});

export const cacheClearVerb = verb<CacheArgs>({
  command: 'cache clear',
  summary: 'Empty the disk cache; mounts keep working',
  examples: [['cache clear', 'The cache holds data of all stores']],
  json: cacheClearedJson,
  options: cacheOption,
  async run(args, { settings, output, signal }) {
    const dir = await dirOf(args, settings);
    const { bytes, files, left } = await clearCache(dir, signal);
    for (const path of left) output.note(`not removed, because pach did not make it: ${join(dir, path)}`);
    await output.document(
      { dir, bytes, files, left },
      () => `${dir}: ${countText(files, 'file')}, ${sizeText(bytes)} removed`,
    );
  },
});

export const cacheVerifyVerb = verb<CacheArgs>({
  command: 'cache verify',
  reads: true,
  summary: 'Check every byte of the disk cache and remove damaged data; the next read fetches it again',
  examples: [['cache verify', 'Exit code 6 if something was damaged']],
  json: cacheVerifiedJson,
  options: cacheOption,
  async run(args, { settings, output, signal }) {
    const dir = await dirOf(args, settings);
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

export const cacheWarmVerb = verb<CacheArgs & { file: string; 'cache-size': string | undefined }>({
  command: 'cache warm <file>',
  reads: true,
  summary: 'Fetch a file or folder into the disk cache before a program reads it',
  examples: [['cache warm images@master:/a', 'Everything in the folder /a']],
  json: '{files, bytes, fetchedBytes, requests}; fetchedBytes and requests: of large files',
  options: (yargs) =>
    cacheOption(yargs)
      .positional('file', { type: 'string', demandOption: true, describe: 'repo[@ref][:/path]' })
      .option('cache-size', { type: 'string', describe: 'Largest size of the disk cache' }),
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
