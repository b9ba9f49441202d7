/**
 * The names in the root directory of a mount and what they show: a repo's version, or a folder of one.
 * The sources of the mount are listed. Any other `<repo>@<ref>` is found when it is looked up.
 */
import { createHash } from 'node:crypto';
import { isPachError, PachError } from '../base/errors.ts';
import { fileTime } from '../base/file-time.ts';
import { shellWord } from '../base/shell.ts';
import { parseAddress, type Address } from '../model/address.ts';
import { nameOfText, parsePath, textOfName } from '../model/paths.ts';
import type { Ref } from '../model/refs.ts';
import type { Directories } from '../versions/directories.ts';
import { resolveVersion } from '../versions/resolve.ts';
import { rootOf, type Commit, type Snapshot } from '../versions/snapshot.ts';
import { rootIno, validForEver, type AbsentName, type ViewEntry, type ViewRoot } from './view.ts';

/** What the command line names: a version, or a part of one, shown as `/<repo>`. */
export interface MountSource {
  /** Undefined: an empty directory. */
  readonly address: Address | undefined;
  /** The name under the mountpoint. */
  readonly name: string;
}

/** A version, or a part of one, as a directory. */
export interface Shown {
  readonly repo: string;
  /** Where the directory lies in the repo. */
  readonly path: readonly Buffer[];
  /** Undefined where the repo has no version yet. */
  readonly tree: Ref | undefined;
}

/** A name and what it shows. */
export interface RootName {
  readonly entry: ViewEntry;
  readonly shown: Shown | undefined;
  readonly commit: Commit | undefined;
}

/** The names in the root directory. */
export interface Names {
  /** True where a name comes to show other versions. */
  readonly move: boolean;
  /** What all of it is looked up in. */
  readonly snapshot: Snapshot;
  /** What is listed for ever. */
  readonly listed: readonly RootName[];
  root(): ViewRoot;
  /** What the root directory lists now, as `View.list` does. */
  list(from: number): Promise<readonly ViewEntry[]>;
  find(name: string): Promise<RootName | AbsentName>;
  /** A name that was listed or found, by its ordinal. */
  at(ordinal: number): RootName | undefined;
  /** Where the symbolic link with this ordinal leads. */
  target(ordinal: number): Buffer;
}

const absent: AbsentName = { kind: 'absent', validMs: validForEver };

export class RootNames implements Names {
  readonly move = false;
  readonly snapshot: Snapshot;
  private readonly directories: Directories;
  /** By ordinal; the listed ones first. */
  private readonly names = new Map<number, RootName>();
  /** By name; undefined: there is no such name. */
  private readonly found = new Map<string, Promise<RootName | undefined>>();
  readonly listed: readonly RootName[];

  private constructor(snapshot: Snapshot, directories: Directories, listed: readonly RootName[]) {
    this.snapshot = snapshot;
    this.directories = directories;
    this.listed = listed;
    for (const each of listed) {
      this.add(each);
      this.found.set(textOfName(each.entry.name), Promise.resolve(each));
    }
  }

  /** Throws `not-found` when a source does not exist. */
  static async open(snapshot: Snapshot, directories: Directories, sources: readonly MountSource[]): Promise<RootNames> {
    const listed: RootName[] = [];
    for (const [ordinal, source] of sources.entries()) {
      listed.push(await resolveName(snapshot, directories, source, () => ordinal));
    }
    return new RootNames(snapshot, directories, listed);
  }

  /** The root directory itself. */
  root(): ViewRoot {
    const entry = directoryEntry(Buffer.alloc(0), 0, this.snapshot.head.operation.time, undefined);
    return { ...entry, ino: rootIno, parent: rootIno, top: 0 };
  }

  list(from: number): Promise<readonly ViewEntry[]> {
    return Promise.resolve(entriesFrom(this.listed, from));
  }

  at(ordinal: number): RootName | undefined {
    return this.names.get(ordinal);
  }

  target(): Buffer {
    throw new Error('none of these names is a symbolic link');
  }

  async find(name: string): Promise<RootName | AbsentName> {
    return (await this.resolved(name)) ?? absent;
  }

  private resolved(name: string): Promise<RootName | undefined> {
    let found = this.found.get(name);
    if (!found) {
      found = this.findUnlisted(name);
      this.found.set(name, found);
      // That a name is absent stays true, but a store that did not answer may do so later.
      found.catch(() => this.found.delete(name));
    }
    return found;
  }

  /** Of names that are not listed, only those of the form `<repo>@<ref>` can exist. */
  private async findUnlisted(name: string): Promise<RootName | undefined> {
    if (!name.includes('@')) return undefined;
    try {
      const address = parseAddress(name);
      if (address.path !== undefined || address.project !== undefined) return undefined;
      const source = { name, address };
      return this.add(await resolveName(this.snapshot, this.directories, source, () => ordinalOf(name)));
    } catch (error) {
      if (isPachError(error, 'not-found', 'usage')) return undefined;
      throw error;
    }
  }

  private add(name: RootName): RootName {
    this.names.set(name.entry.ordinal, name);
    return name;
  }
}

/** Entries of the names with ordinals from `from` on. */
export function entriesFrom(names: readonly RootName[], from: number): ViewEntry[] {
  return names.flatMap(({ entry }) => (entry.ordinal >= from ? [entry] : []));
}

/** What a name shows. Throws `not-found`. */
export async function resolveName(
  snapshot: Snapshot,
  directories: Directories,
  { name, address }: MountSource,
  ordinal: (commit: Commit | undefined) => number,
): Promise<RootName> {
  const commit = address && (await resolveVersion(snapshot, address)).commit;
  const time = commit?.finished ?? snapshot.head.operation.time;
  let tree = commit && rootOf(commit);
  const path = parsePath(address?.path ?? '/');
  if (address?.path !== undefined) {
    const entry = tree && (await directories.find(tree, path));
    if (entry?.content.form !== 'directory') {
      const why = entry ? 'it is not a folder' : 'there is no such folder';
      throw new PachError('not-found', {
        what: `${name}:${address.path}`,
        why,
        next: `pach list file ${shellWord(name)}`,
      });
    }
    tree = entry.content;
  }
  const shown = address && { repo: address.repo, path, tree: tree?.ref };
  return { entry: directoryEntry(nameOfText(name), ordinal(commit), time, tree?.ref), shown, commit };
}

/**
 * The ordinal of a name that has no place in a list, below 2^42. It follows from the name alone: a server that takes over
 * must not give an inode that the kernel knows to another name.
 */
export function ordinalOf(name: string): number {
  return 2 ** 40 + createHash('sha256').update(name).digest().readUIntBE(0, 5);
}

/** An entry of the root directory that is a directory, and stays it for ever. */
export function directoryEntry(name: Buffer, ordinal: number, time: number, ref: Ref | undefined): ViewEntry {
  const entry = { name, ordinal, executable: false, size: 0, ...fileTime(time), ref };
  return { ...entry, kind: 'directory', validMs: validForEver };
}
