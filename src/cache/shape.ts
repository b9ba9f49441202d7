/**
 * What a cache folder holds, by names: only what has a name that we give is counted, checked or
 * removed, and no link is followed. `CACHEDIR.TAG` at its top says to us, and to programs that make
 * backups, what it is (https://bford.info/cachedir/).
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isPachError } from '../base/errors.ts';
import { removeOne } from '../base/remove.ts';
import { errnoOf, inSystemWords } from '../base/system-errors.ts';
import { checkFolder, claimFolder, isTagName, makeBelow, type FolderKind } from '../local/own-folder.ts';

const tagStart = `Signature: 8a477f597d28d172789f06886806bc55
# This is a disk cache of pachmount.`;

export const cacheKind: FolderKind = {
  name: 'the disk cache',
  tag: 'CACHEDIR.TAG',
  tagStart,
  tagText: `${tagStart} What is removed here is fetched again.\n# https://bford.info/cachedir/\n`,
  option: '--cache ',
  async isOurs(folder, name) {
    if (!storeName.test(name)) return false;
    const names = await readdir(join(folder, name)).catch(() => undefined);
    return names?.every((each) => each === 'notes' || each === 'projects') === true;
  },
};

interface Shape {
  /** What its files are called. */
  readonly files?: RegExp;
  readonly folders?: readonly (readonly [RegExp, Shape])[];
}

/** Errors of a path at which no folder can be. */
const impossible = /^(?:ENOENT|ENOTDIR|ELOOP|ENAMETOOLONG)$/;

const storeName = /^[0-9a-f]{32}$/;
export const extentName = /^(\d+)-(\d+)$/;
export const fileName = /^[0-9a-f]{64}$/;
const anyName = /^[\w.-]+$/;
/** Files that are being written end so. */
const extentShape: Shape = { files: /^(?:\d+-\d+|\.[0-9a-f]{16})$/ };
const packShape: Shape = {
  folders: [[/^[0-9a-f]{2}$/, { folders: [[/^[0-9a-f]{32}(?:\.tail)?$/, extentShape]] }]],
};
const projectShape: Shape = {
  folders: [
    [/^(?:data|meta|segments|condemned)$/, packShape],
    [/^files$/, { files: /^[0-9a-f]{64}(?:\.sums|\.packs)?$/ }],
    [/^first$/, { files: /^[\w.-]+\.reads(?:\.[0-9a-f]{16})?$/ }],
  ],
};
/** Of the part of a cache that belongs to one store. */
const storeShape: Shape = {
  folders: [
    [/^notes$/, { files: anyName }],
    [/^projects$/, { folders: [[anyName, projectShape]] }],
  ],
};
const cacheShape: Shape = { folders: [[storeName, storeShape]] };

/** A folder of a cache, by its path in there. */
export interface CacheFolder {
  readonly path: string;
  /** Its files that are ours. */
  readonly files: readonly string[];
  /** Names of what is not ours. */
  readonly others: readonly string[];
}

/** The folder of a store's part of a cache; made, and the cache claimed. Throws `usage` when the cache isn't ours. */
export async function openCache(cacheDir: string, storeId: string): Promise<string> {
  await claimFolder(cacheDir, cacheKind).catch(unlessUnwritable);
  try {
    return makeBelow(cacheDir, storeId);
  } catch (error) {
    unlessUnwritable(error);
    return join(cacheDir, storeId);
  }
}

/** False when there is no cache. Throws `usage` when what is there isn't ours. */
export function hasCache(cacheDir: string): Promise<boolean> {
  return checkFolder(cacheDir, cacheKind);
}

/** All folders of a cache. */
export function cacheFolders(cacheDir: string): AsyncGenerator<CacheFolder> {
  return walk(cacheDir, '', cacheShape);
}

/** The folders at and below a path of a store's part of a cache. */
export async function* storeFolders(dir: string, path = ''): AsyncGenerator<CacheFolder> {
  let shape: Shape | undefined = storeShape;
  for (const name of path.split('/').filter(Boolean)) shape = shape && below(shape, name);
  if (shape) yield* walk(dir, path, shape);
}

/** Removes what is ours of a folder, and the folder if nothing else is left. */
export async function removeFolder(dir: string, { path, files }: CacheFolder): Promise<void> {
  for (const name of files) await removeOne(dir, join(path, name));
  if (path !== '') await removeOne(dir, path);
}

async function* walk(root: string, path: string, shape: Shape): AsyncGenerator<CacheFolder> {
  const files: string[] = [];
  const others: string[] = [];
  const folders: [string, Shape][] = [];
  for (const entry of await readdir(join(root, path), { withFileTypes: true }).catch(() => [])) {
    const { name } = entry;
    const folder = entry.isDirectory() ? below(shape, name) : undefined;
    if (folder) folders.push([name, folder]);
    else if (entry.isFile() && shape.files?.test(name)) files.push(name);
    else if (path !== '' || !isTagName(name, cacheKind)) others.push(name);
  }
  yield { path, files, others };
  for (const [name, folder] of folders) yield* walk(root, join(path, name), folder);
}

function below({ folders }: Shape, name: string): Shape | undefined {
  return folders?.find(([names]) => names.test(name))?.[1];
}

/** A cache that can't be written is done without. */
function unlessUnwritable(error: unknown): void {
  const errno = errnoOf(error);
  if (isPachError(error) || errno === undefined || impossible.test(errno)) throw inSystemWords(error);
}
