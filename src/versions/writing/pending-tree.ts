/**
 * Entries that come in any order, gathered until they are applied to a version, so that each directory
 * is written once. No entry lies below a file or symlink.
 */
import { PachError } from '../../base/errors.ts';
import { fileTime, type FileTime } from '../../base/file-time.ts';
import { pathOf } from '../../model/paths.ts';
import { directoryOf, type TreeEntry } from '../../model/tree.ts';
import { sameContent, type Directories, type Directory } from '../directories.ts';

class Folder {
  /** Undefined for a folder that no entry names, which was made for what lies in it. */
  time: FileTime | undefined;
  /** Keyed by the names' bytes as latin1, which sorts as the bytes do. */
  readonly below = new Map<string, Folder | TreeEntry>();
}

type Path = readonly Buffer[];

export class PendingTree {
  private readonly root = new Folder();
  /** Entries set, and folders made for them. */
  count = 0;

  /**
   * Sets a file or symlink; a later one replaces an earlier one. Throws `conflict`, naming `shown`,
   * where a directory lies, or where the way leads through what is none.
   */
  set(path: Path, entry: TreeEntry, shown: string): void {
    const folder = this.folder(path.slice(0, -1), shown);
    const key = (path.at(-1) as Buffer).toString('latin1');
    const before = folder.below.get(key);
    if (before instanceof Folder) throw conflict(shown, `there is already a folder at ${pathOf(path)}`);
    if (!before) this.count += 1;
    folder.below.set(key, entry);
  }

  /** Sets a directory, or its time. Throws as `set` does. */
  setDirectory(path: Path, time: FileTime, shown: string): void {
    this.folder(path, shown).time = time;
  }

  /** The file or symlink at a path, if there is one here. */
  get(path: Path): TreeEntry | undefined {
    let at: Folder | TreeEntry | undefined = this.root;
    for (const name of path) at = at instanceof Folder ? at.below.get(name.toString('latin1')) : undefined;
    return at instanceof Folder ? undefined : at;
  }

  /**
   * The version `base` with these entries: what is not named here stays, and so does the time of
   * what has the same content. `now` (milliseconds) is the time of directories that have none.
   * Throws `conflict` where one of both is a directory and the other is not.
   */
  apply(directories: Directories, base: Directory | undefined, now: number): Promise<Directory> {
    return applyFolder({ directories, now }, this.root, base, []);
  }

  private folder(path: Path, shown: string): Folder {
    let folder = this.root;
    for (const [depth, name] of path.entries()) {
      const key = name.toString('latin1');
      let next = folder.below.get(key);
      if (next && !(next instanceof Folder)) throw blocked(shown, path.slice(0, depth + 1), next.kind);
      if (!next) {
        next = new Folder();
        this.count += 1;
        folder.below.set(key, next);
      }
      folder = next;
    }
    return folder;
  }
}

interface Applying {
  readonly directories: Directories;
  readonly now: number;
}

async function applyFolder(
  options: Applying,
  folder: Folder,
  base: Directory | undefined,
  path: Path,
): Promise<Directory> {
  const old = options.directories.merge(base);
  async function* edits(): AsyncGenerator<TreeEntry> {
    for (const key of [...folder.below.keys()].sort()) {
      const item = folder.below.get(key) as Folder | TreeEntry;
      const name = Buffer.from(key, 'latin1');
      const before = await old(name);
      const entry = item instanceof Folder ? await applyDirectory(options, item, before, [...path, name]) : item;
      if (before && before.kind === 'directory' && entry.kind !== 'directory') {
        const why = `there is a folder at this path, and the new entry is a ${entry.kind}`;
        throw conflict(pathOf([...path, name]), why);
      }
      if (!before || !sameContent(before, entry)) yield entry;
    }
  }
  return options.directories.apply(base, edits());
}

async function applyDirectory(
  options: Applying,
  folder: Folder,
  before: TreeEntry | undefined,
  path: Path,
): Promise<TreeEntry> {
  if (before && before.content.form !== 'directory') throw blocked(pathOf(path), path, before.kind);
  const base = directoryOf(before);
  const content = await applyFolder(options, folder, base, path);
  const { mtimeSeconds, mtimeNanoseconds } = folder.time ?? before ?? fileTime(options.now);
  const name = path.at(-1) as Buffer;
  return { name, kind: 'directory', executable: false, mtimeSeconds, mtimeNanoseconds, content };
}

function blocked(shown: string, at: Path, kind: string): PachError {
  const why =
    kind === 'symlink' ? 'there is a symlink, and pach does not write through symlinks' : `there is a ${kind}`;
  return conflict(shown, `${pathOf(at)} must be a folder, but ${why}`);
}

function conflict(what: string, why: string): PachError {
  return new PachError('conflict', { what, why, next: 'put it at another path, or delete the entry that is there' });
}
