/**
 * A version of the files to the next one: what a git commit changes, with the bytes of objects. A file
 * whose bytes can't be had is left out, told, and never stays as it was before.
 */
import { isPachError } from '../base/errors.ts';
import { fileTime, type FileTime } from '../base/file-time.ts';
import type { EntrySource, SourceEntry } from '../sources/source.ts';
import { Directories, type Directory } from '../versions/directories.ts';
import type { Project } from '../versions/project.ts';
import type { Upload } from '../versions/upload.ts';
import type { IngestOptions } from '../versions/writing/ingest.ts';
import { putEntries } from '../versions/writing/put-entries.ts';
import type { GitCommit } from './git-commit.ts';
import { shownPath, type GitHistory, type Path } from './git.ts';
import { LostError, type Objects } from './objects.ts';
import type { DataDifference, Wanted } from './reader.ts';
import { withoutPaths } from './remove.ts';

/** A file whose bytes could not be had. */
export interface MissingFile {
  readonly path: string;
  readonly hash: string;
  readonly why: string;
  /** The first git commit that has it. */
  readonly git: string;
}

export interface EditingOptions {
  readonly project: Project;
  readonly upload: Upload;
  readonly git: GitHistory;
  readonly objects: Objects;
  /** Paths that the first version lacks. */
  readonly absent: ReadonlySet<Path>;
  readonly watch: Pick<IngestOptions, 'progress' | 'signal'>;
}

/** Objects that are read at a time. */
const ahead = 32;

export class Editing {
  private readonly options: EditingOptions;
  private readonly directories: Directories;
  /** Paths that the newest version lacks; that of a folder whose files are not known ends in a slash. */
  readonly absent: Set<Path>;
  readonly missing: MissingFile[] = [];
  /** All bytes read. */
  bytes = 0;

  constructor(options: EditingOptions) {
    this.options = options;
    this.directories = new Directories(options.project.reader, options.upload.nodes);
    this.absent = new Set(options.absent);
  }

  /** The files of the next version, and how much of them was read for it. */
  async edit(
    root: Directory | undefined,
    commit: GitCommit,
    { removed, added, lost }: DataDifference,
  ): Promise<{ readonly tree: Directory; readonly files: number; readonly bytes: number }> {
    const { upload, watch } = this.options;
    const missing: MissingFile[] = lost.map((each) => missingFolder(each, commit));
    let bytes = 0;
    this.forget(removed);
    for (const { path } of lost) this.absent.add(`${path}/`);
    const failed = new Set<Path>();
    const base = root ?? (await this.directories.apply(undefined, []));
    const kept = await withoutPaths(this.directories, base, removed);
    const options = {
      sink: { data: upload.data, nodes: upload.nodes },
      directories: this.directories,
      progress: (moreBytes: number, moreFiles: number): void => {
        bytes += moreBytes;
        watch.progress(moreBytes, moreFiles);
      },
      skipped: () => undefined,
      signal: watch.signal,
      finish: () => upload.finish(),
      folderTime: commit.committed,
      failed: (entry: SourceEntry, error: unknown): 'again' | 'leave out' | undefined => {
        const why = lostBecause(error);
        if (why === undefined) return undefined;
        watch.progress(0, -1); // it was counted as read
        if (error instanceof LostError && error.isElsewhere) return 'again';
        const path = Buffer.concat(entry.path.flatMap((name, at) => (at === 0 ? [name] : [slash, name])));
        failed.add(path.toString('latin1'));
        const wanted = added.get(path.toString('latin1')) as Wanted;
        const hash = wanted.kind === 'object' ? wanted.object.hash : wanted.id;
        missing.push({ path: entry.shown, hash, why, git: commit.id });
        return 'leave out';
      },
    };
    const put = (await putEntries(options, kept, [], this.source(added, commit.committed))) ?? kept;
    const tree = failed.size > 0 ? await withoutPaths(this.directories, put, [...failed]) : put;
    for (const path of added.keys()) this.absent.delete(path);
    for (const path of failed) this.absent.add(path);
    this.bytes += bytes;
    this.missing.push(...missing.sort(byPath));
    return { tree, files: added.size - failed.size, bytes };
  }

  private forget(removed: readonly Path[]): void {
    if (this.absent.size === 0) return;
    for (const path of removed) {
      const below = `${path}/`;
      for (const each of this.absent) if (each === path || each.startsWith(below)) this.absent.delete(each);
    }
  }

  private source(added: ReadonlyMap<Path, Wanted>, time: number): EntrySource {
    const { git, objects } = this.options;
    async function* entries(signal: AbortSignal): AsyncGenerator<SourceEntry> {
      for (const key of [...added.keys()].sort()) {
        const wanted = added.get(key) as Wanted;
        const named = { path: namesOf(key), shown: shownPath(key) };
        if (wanted.kind === 'symlink') {
          const target = (await git.small(wanted.id, targetBytesMax)) ?? Buffer.alloc(0);
          yield { ...named, kind: 'symlink', target, ...fileTime(time) };
          continue;
        }
        const { executable } = wanted;
        const size = wanted.kind === 'object' ? wanted.size : undefined;
        const open = async (): Promise<{ bytes: AsyncIterable<Uint8Array>; executable: boolean } & FileTime> => {
          const bytes = wanted.kind === 'object' ? objects.open(wanted.object, signal) : git.blob(wanted.id);
          return { executable, ...fileTime(time), bytes };
        };
        yield { ...named, kind: 'file', size, open };
      }
    }
    return { kind: 'entries', ahead, entries };
  }
}

const slash = Buffer.from('/');
/** Linux takes no longer one. */
const targetBytesMax = 4096;

/** The order in which files are told of. */
export function byPath(a: MissingFile, b: MissingFile): number {
  return a.path < b.path ? -1 : 1;
}

/** A folder whose list of files can't be had. */
export function missingFolder(
  { path, hash, why }: DataDifference['lost'][number],
  { id }: Pick<GitCommit, 'id'>,
): MissingFile {
  return { path: `${shownPath(path)}/`, hash, why: `the list of its files: ${why}`, git: id };
}

/** The names on a path. */
export function namesOf(path: Path): Buffer[] {
  return path.split('/').map((name) => Buffer.from(name, 'latin1'));
}

/** Why a file's bytes can't be had; undefined for an error that is about something else. */
function lostBecause(error: unknown): string | undefined {
  if (error instanceof LostError) return error.message;
  return isPachError(error, 'damaged') ? error.why : undefined;
}
