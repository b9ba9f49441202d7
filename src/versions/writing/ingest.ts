/**
 * A folder of this machine to a directory of a version. Walks in the order of names, so that
 * neighbours lie side by side in packs, and builds each directory once, bottom up.
 */
import { mapOrdered } from '../../base/async.ts';
import { PachError } from '../../base/errors.ts';
import { listFolder, type FileStat, type Listing } from '../../base/listing.ts';
import { native, type SmallFile } from '../../base/native.ts';
import { fullPath, OpenFile, placeBelow, type Place } from '../../base/place.ts';
import { inlineBytesMax, nameBytesMax, type Hash } from '../../model/refs.ts';
import { directoryOf, type FileContent, type TreeEntry } from '../../model/tree.ts';
import {
  type ContentSink,
  groupBytesMax,
  groupFilesMax,
  type ReadFile,
  smallBytesMax,
  storeFile,
  storeSmall,
  storeStream,
} from '../content.ts';
import { sameContent, type Directories, type Directory, type DirectoryEdit, type OldEntries } from '../directories.ts';
import type { OwnFolders } from './own-folders.ts';
import { Unread, type Seen } from './unread.ts';
import { leaveOut, shownPath, unreadable, type Unreadable } from './unreadable.ts';

/** Which names of a folder are left out. */
type LeftOut = (name: Buffer, isFolder: boolean) => boolean;

export interface IngestOptions {
  readonly sink: ContentSink;
  readonly directories: Directories;
  /** Told of bytes and files as they are read. */
  progress(bytes: number, files: number): void;
  /** Told of what is left out: what can't be stored (sockets, devices, FIFOs), and `own`. */
  skipped(path: string, why: string): void;
  /** Collects what can't be read. Without it the first error is thrown. */
  readonly unreadable?: Unreadable | undefined;
  readonly signal?: AbortSignal | undefined;
  /** What this machine remembers of the folder from the last time. */
  readonly seen?: Seen | undefined;
  /** What lies in the version and not in the folder, or is left out of it, is deleted. */
  readonly deleteOthers?: boolean;
  /** Folders that are left out wherever they lie, and reported by `skipped`. */
  readonly own?: OwnFolders | undefined;
  /** Asked once for each folder: which of its names are left out without a word. With `base` only beside `deleteOthers`. */
  leaveOut?(folder: Place): Promise<LeftOut>;
  /** What to store for a symlink at `path` (below the source's root) instead of the link, or the link's other target; undefined for the link. */
  resolveLink?(path: Buffer, target: Buffer): Promise<Omit<TreeEntry, 'name'> | Buffer | undefined>;
  /** Told of each folder below the source's root in which nothing lies. */
  emptyFolder?(): void;
}

/**
 * Stores what lies in `folder` over `base`. An entry with equal content keeps its time. Names that only
 * `base` has stay, unless `deleteOthers`; so do those that can't be read in `folder`. Throws `failed` or
 * `denied` naming the folder when it can't be read, or anything in it, without `unreadable`.
 */
export async function ingestFolder(
  options: IngestOptions,
  folder: Place,
  base: Directory | undefined,
): Promise<Directory> {
  return ingestListed(options, folder, base, await listed(options, folder));
}

const nothing: LeftOut = () => false;

function listed(options: IngestOptions, folder: Place): Promise<Listing> {
  options.signal?.throwIfAborted();
  return listFolder(folder, options.seen?.settledMs).catch((error: unknown) => {
    throw unreadable(shownPath(folder), error);
  });
}

async function ingestListed(
  options: IngestOptions,
  folder: Place,
  base: Directory | undefined,
  listing: Listing,
): Promise<Directory> {
  if (listing.count === 0 && folder.path.length > 0) options.emptyFolder?.();
  const unread = await Unread.of(options, fullPath(folder), { listing, base });
  if (base && unread.all && !options.deleteOthers) {
    options.progress(listing.bytes, listing.count);
    await unread.keep(base);
    return base;
  }
  const old = options.directories.merge(base);
  const ahead = options.directories.merge(base);
  const isLeftOut = (await options.leaveOut?.(folder)) ?? nothing;
  const of: Folder = { options, folder, listing, isLeftOut, unread, old, ahead };
  const entries = changed(old, stored(of));
  const deletes = options.deleteOthers && !options.unreadable?.counts;
  const edits = deletes && base ? withDeletions(of, base, entries) : entries;
  const directory = await options.directories.apply(base, edits);
  await unread.keep(directory);
  return directory;
}

/** Drops entries that are the same in `old`, so that an unchanged folder keeps its node. */
async function* changed(old: OldEntries, entries: AsyncIterable<TreeEntry>): AsyncGenerator<TreeEntry> {
  for await (const entry of entries) {
    const before = await old(entry.name);
    if (!before || !sameContent(before, entry)) yield entry;
  }
}

/** Adds, in order, the removal of all names of `base` that the folder does not have, or that are left out of it. */
async function* withDeletions(
  { options, listing, isLeftOut }: Folder,
  base: Directory,
  entries: AsyncIterable<TreeEntry>,
): AsyncGenerator<DirectoryEdit> {
  const sets = entries[Symbol.asyncIterator]();
  let set = await sets.next();
  let n = 0;
  const before = (a: Buffer, b: Buffer): boolean => a.compare(b) < 0;
  for await (const { name } of options.directories.reader(base).items()) {
    for (; !set.done && before(set.value.name, name); set = await sets.next()) yield set.value;
    while (n < listing.count && before(listing.at(n).name, name)) n += 1;
    const there = n < listing.count ? listing.at(n) : undefined;
    if (!there?.name.equals(name) || isLeftOut(name, there.kind === 'directory')) yield { name };
  }
  for (; !set.done; set = await sets.next()) yield set.value;
}

interface Folder {
  readonly options: IngestOptions;
  readonly folder: Place;
  readonly listing: Listing;
  readonly isLeftOut: LeftOut;
  readonly unread: Unread;
  readonly old: OldEntries;
  /** A second pass over the old entries, which runs ahead: it decides what must be read. */
  readonly ahead: OldEntries;
}

/** The entries of a folder that may have changed, in the order of its names. */
async function* stored(of: Folder): AsyncGenerator<TreeEntry> {
  const { options, folder, unread } = of;
  const read = (group: readonly Candidate[]) => readGroup(options, folder, group);
  for await (const { group, files } of mapOrdered(groups(candidates(of)), 2, read)) {
    options.signal?.throwIfAborted();
    const entries: (TreeEntry | undefined)[] = files
      ? await storeGroup(options, folder, group, files)
      : [await storeOne(of, group[0] as Candidate).catch((error: unknown) => leaveOut(options, error))];
    for (const [index, entry] of entries.entries()) {
      const { file } = group[index] as Candidate;
      unread.read(file, entry);
      if (entry) yield entry;
    }
  }
}

/** A name that must be looked at; `file` is its number among the folder's regular files. */
interface Candidate extends FileStat {
  readonly file: number | undefined;
}

/** What lies in a folder, without the files that need not be read. */
async function* candidates({ options, listing, isLeftOut, unread, ahead }: Folder): AsyncGenerator<Candidate> {
  let files = 0;
  for (let n = 0; n < listing.count; n += 1) {
    const stat = listing.at(n);
    const isFile = stat.kind === 'file' && !stat.error;
    const file = isFile ? files : undefined;
    if (isFile) files += 1;
    if (isLeftOut(stat.name, stat.kind === 'directory')) {
      unread.read(file, undefined);
      continue;
    }
    if (file !== undefined && unread.mayBeSame(file)) {
      if (unread.isSame(file, unread.whole ? undefined : await ahead(stat.name))) {
        options.progress(stat.size, 1);
        continue;
      }
    }
    yield { ...stat, file };
  }
}

/** Groups neighbours that are small files; everything else is a group of its own. */
async function* groups(stats: AsyncIterable<Candidate>): AsyncGenerator<Candidate[]> {
  let group: Candidate[] = [];
  let bytes = 0;
  for await (const stat of stats) {
    const small = stat.kind === 'file' && stat.size <= smallBytesMax && !stat.error;
    if (group.length > 0 && (!small || group.length >= groupFilesMax || bytes + stat.size > groupBytesMax)) {
      yield group;
      group = [];
      bytes = 0;
    }
    if (small) {
      group.push(stat);
      bytes += stat.size;
    } else yield [stat];
  }
  if (group.length > 0) yield group;
}

/** When files are only counted, their content is not read: all that are not empty come back as `EFBIG`. */
async function readGroup(
  options: IngestOptions,
  folder: Place,
  group: readonly Candidate[],
): Promise<{ group: readonly Candidate[]; files: SmallFile[] | undefined }> {
  const first = group[0] as Candidate;
  if (first.kind !== 'file' || first.size > smallBytesMax || first.error) return { group, files: undefined };
  const names = group.map((stat) => stat.name);
  const files = await native()
    .readSmallFiles(folder.root, folder.path, names, options.unreadable?.counts ? 0 : smallBytesMax)
    .catch((error: unknown) => {
      throw unreadable(shownPath(folder), error);
    });
  return { group, files };
}

async function storeGroup(
  options: IngestOptions,
  folder: Place,
  group: readonly FileStat[],
  files: readonly SmallFile[],
): Promise<(TreeEntry | undefined)[]> {
  const whole = files.flatMap(({ bytes, hash }) => (bytes && hash ? [{ bytes, hash: hash as Hash }] : []));
  const lengths = files.map(({ bytes }) => bytes?.length ?? 0);
  const contents = await storeSmall(options.sink, whole);
  native().release(...whole.map(({ bytes }) => bytes));
  const entries: (TreeEntry | undefined)[] = [];
  let next = 0;
  for (const [index, stat] of group.entries()) {
    const file = files[index] as SmallFile;
    const path = placeBelow(folder, stat.name);
    checkName(stat.name, path);
    if (file.error === 'EFBIG') {
      const read = await maybeFile(options, path);
      entries.push(read && { name: stat.name, kind: 'file', ...read });
      continue;
    }
    if (file.error) {
      leaveOut(options, unreadable(shownPath(path), file.error));
      entries.push(undefined);
      continue;
    }
    const content = contents[next] as FileContent;
    next += 1;
    options.progress(lengths[index] as number, 1);
    const { executable, mtimeSeconds, mtimeNanoseconds } = file;
    entries.push({ name: stat.name, kind: 'file', executable, mtimeSeconds, mtimeNanoseconds, content });
  }
  return entries;
}

async function storeOne({ options, folder, old }: Folder, stat: FileStat): Promise<TreeEntry | undefined> {
  const path = placeBelow(folder, stat.name);
  checkName(stat.name, path);
  const { name, mtimeSeconds, mtimeNanoseconds } = stat;
  if (stat.error) throw unreadable(shownPath(path), stat.error);
  switch (stat.kind) {
    case 'other':
      options.skipped(shownPath(path), 'sockets, devices and FIFOs are not stored');
      return undefined;
    case 'symlink': {
      options.progress(0, 1);
      const target = await native()
        .readLink(folder.root, folder.path, name)
        .catch((error: unknown) => {
          throw unreadable(shownPath(path), error);
        });
      const instead = await options.resolveLink?.(path.path, target);
      if (instead && !Buffer.isBuffer(instead)) return { ...instead, name };
      const content = await storeLink(options, instead ?? target);
      return { name, kind: 'symlink', executable: false, mtimeSeconds, mtimeNanoseconds, content };
    }
    case 'directory': {
      const before = await old(name);
      const base = directoryOf(before);
      const listing = await listed(options, path);
      const own = await options.own?.what(fullPath(path), listing);
      if (own !== undefined) {
        options.skipped(shownPath(path), `it is ${own}`);
        return undefined;
      }
      const content = await ingestListed(options, path, base, listing);
      return { name, kind: 'directory', executable: false, mtimeSeconds, mtimeNanoseconds, content };
    }
    case 'file': {
      const read = await maybeFile(options, path);
      return read && { name, kind: 'file', ...read };
    }
  }
}

async function storeLink(options: IngestOptions, target: Buffer): Promise<FileContent> {
  if (target.length <= inlineBytesMax) return { form: 'inline', bytes: target };
  const stream = async function* (): AsyncGenerator<Buffer> {
    yield target;
  };
  return storeStream(options.sink, stream());
}

/** Stores one file, unless it can't be read and the options take that, or all is only counted. */
export async function maybeFile(options: IngestOptions, path: Place): Promise<ReadFile | undefined> {
  try {
    if (!options.unreadable?.counts) return await ingestFile(options, path);
    await using _ = await OpenFile.at(path);
  } catch (error) {
    leaveOut(options, unreadable(shownPath(path), error));
  }
  return undefined;
}

/** Stores one file of any size. Throws `failed`, `denied` or `not-found` naming it when it can't be read. */
export async function ingestFile(options: IngestOptions, path: Place): Promise<ReadFile> {
  const shown = shownPath(path);
  const file = await storeFile(options.sink, path, shown, (bytes) => {
    options.signal?.throwIfAborted();
    options.progress(bytes, 0);
  }).catch((error: unknown) => {
    throw unreadable(shown, error);
  });
  options.progress(0, 1);
  return file;
}

function checkName(name: Buffer, path: Place): void {
  if (name.length > nameBytesMax) {
    throw new PachError('failed', { what: shownPath(path), why: `its name is longer than ${nameBytesMax} bytes` });
  }
}
