/**
 * Files of a version as people ask for them: one, a listing, a pattern, what differs.
 */
import { PachError } from '../../base/errors.ts';
import { shellWord } from '../../base/shell.ts';
import type { BlobReader } from '../../cache/blobs.ts';
import { compileGlob } from '../../model/glob.ts';
import { nameOfText, parsePath, pathOf, textOfName } from '../../model/paths.ts';
import { nameBytesMax } from '../../model/refs.ts';
import { directoryOf, entryHash, entrySize, fileContentOf, type TreeEntry } from '../../model/tree.ts';
import { Directories, sameContent, type Directory } from '../directories.ts';
import { matchFiles } from './match.ts';
import { packBytesMin, wantedPacks } from './packs.ts';
import { readParts, type FilePart } from './read.ts';

/** A file, directory or symlink of a version. */
export interface File {
  /** Absolute, as text. */
  readonly path: string;
  readonly entry: TreeEntry;
}

export interface FileChange {
  readonly path: string;
  readonly change: 'added' | 'removed' | 'changed';
  readonly old?: TreeEntry | undefined;
  readonly new?: TreeEntry | undefined;
}

/** The bytes of entries, whatever version they are of. */
export class FileBytes {
  protected readonly reader: BlobReader;

  constructor(reader: BlobReader) {
    this.reader = reader;
  }

  /** The parts of a file or a symlink's target, holes apart. */
  parts(entry: TreeEntry): AsyncGenerator<FilePart> {
    return readParts(this.reader, fileContentOf(entry));
  }

  /** The bytes of a file or a symlink's target. */
  async *read(entry: TreeEntry): AsyncGenerator<Buffer> {
    for await (const part of this.parts(entry)) {
      if (part.bytes) yield part.bytes;
      else yield* zeros(part.zeros);
    }
  }
}

/** A version's files. `shown` names it in errors: `images@master`. */
export class Files extends FileBytes {
  private readonly root: Directory;
  private readonly shown: string;
  private readonly directories: Directories;

  constructor(reader: BlobReader, root: Directory, shown: string) {
    super(reader);
    this.root = root;
    this.shown = shown;
    this.directories = new Directories(reader);
  }

  /** The content hash of what lies at a path, or undefined when nothing does. */
  async hashAt(path: string): Promise<string | undefined> {
    const entry = await this.directories.find(this.root, parsePath(path));
    return entry && `${entry.kind} ${entry.executable} ${entryHash(entry).toString('hex')}`;
  }

  /** Throws `not-found` when there is nothing at that path. */
  async find(path: string): Promise<File> {
    const names = parsePath(path);
    const entry = await this.directories.find(this.root, names);
    if (entry) return { path: pathOf(names), entry };
    throw new PachError('not-found', {
      what: `${this.shown}:${path}`,
      why: 'there is no such file',
      next: `pach list file ${shellWord(this.shown)}`,
    });
  }

  /** What lies in a directory, and with `recursive` all below it; a file is its own listing. */
  async *list(path: string, recursive: boolean): AsyncGenerator<File> {
    const file = await this.find(path);
    if (file.entry.content.form === 'directory') yield* this.walk(file.path, file.entry.content, recursive);
    else yield file;
  }

  /**
   * All below a directory, or a file, for who reads all of it in this order: packs of which most lies there are
   * being brought to the disk cache, a request each, if there is one with room for them.
   */
  async *listToRead({ path, entry }: File, signal: AbortSignal | undefined): AsyncGenerator<File> {
    const bytesMax = this.reader.packsBytesMax;
    const size = entrySize(entry);
    if (size >= packBytesMin && size <= bytesMax) {
      const wanted = await wantedPacks(this.reader, this.list(path, true), { bytesMax }, signal);
      // What fails is met, or read in another way, when it is wanted.
      for (const { pack, end } of wanted) void this.reader.fetchPack(pack, end);
    }
    yield* this.list(path, true);
  }

  /**
   * What lies in a directory under names that begin so, in order: the first `most` of them and the last.
   * Nothing where there is no such folder.
   */
  async *beginning(path: string, name: string, most: number): AsyncGenerator<File> {
    const names = parsePath(path);
    const folder = await this.directories.find(this.root, names);
    if (folder?.content.form !== 'directory') return;
    const reader = this.directories.reader(folder.content);
    const fileOf = (entry: TreeEntry): File => ({ path: pathOf([...names, entry.name]), entry });
    const prefix = nameOfText(name);
    let count = 0;
    for await (const entry of reader.prefix(prefix)) {
      yield fileOf(entry);
      count += 1;
      if (count === most) break;
    }
    if (count < most) return;
    // No name is as long.
    const end = await reader.rank(Buffer.concat([prefix, Buffer.alloc(nameBytesMax + 1, 0xff)]));
    const last = await reader.at(end - 1);
    if (last) yield fileOf(last);
  }

  /** Everything a pattern matches, in order of paths. */
  async *glob(pattern: string): AsyncGenerator<File> {
    const options = { glob: compileGlob(pattern), before: undefined, after: this.root, which: 'all' as const };
    for await (const { path, after } of matchFiles(this.directories, options)) if (after) yield { path, entry: after };
  }

  /**
   * What differs from another version of the same store, below a path (undefined: from nothing);
   * directories only by what is in them.
   */
  async *diff(other: Files | undefined, path: string): AsyncGenerator<FileChange> {
    const names = parsePath(path);
    const [before, after] = await Promise.all([
      other?.directories.find(other.root, names),
      this.directories.find(this.root, names),
    ]);
    if (!before && !after) await this.find(path);
    yield* changesOf(this.directories, pathOf(names), before, after);
  }

  private async *walk(path: string, directory: Directory, recursive: boolean): AsyncGenerator<File> {
    for await (const entry of this.directories.reader(directory).items()) {
      const below = `${path === '/' ? '' : path}/${textOfName(entry.name)}`;
      yield { path: below, entry };
      if (entry.content.form === 'directory' && recursive) yield* this.walk(below, entry.content, recursive);
    }
  }
}

/** What differs between two entries at a path; directories only by what is in them. */
export async function* changesOf(
  directories: Directories,
  path: string,
  before: TreeEntry | undefined,
  after: TreeEntry | undefined,
): AsyncGenerator<FileChange> {
  if (before && after && sameContent(before, after)) return;
  const old = directoryOf(before);
  const now = directoryOf(after);
  if (before && !old && after && !now) yield { path, change: 'changed', old: before, new: after };
  else if (before && !old) yield { path, change: 'removed', old: before };
  if (old || now) {
    for await (const { key, old: a, new: b } of directories.diff(old, now)) {
      yield* changesOf(directories, `${path === '/' ? '' : path}/${textOfName(key)}`, a, b);
    }
  }
  if (after && !now && !(before && !old)) yield { path, change: 'added', new: after };
}

/** RFC 3339 with as many digits as the time has. */
function* zeros(length: number): Generator<Buffer> {
  const block = Buffer.alloc(Math.min(length, 1024 * 1024));
  for (let left = length; left > 0; left -= block.length) yield block.subarray(0, Math.min(left, block.length));
}
