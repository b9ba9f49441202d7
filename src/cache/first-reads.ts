/**
 * What a mount of a repo read first, for the next mount of it: a small file beside the disk cache,
 * of paths and ranges, since those hold for later commits too. Only a hint: what is damaged, too
 * large or of another format is as good as none, and is replaced.
 */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { projectPrefix } from '../model/keys.ts';
import { parsePath } from '../model/paths.ts';
import { writeWhole, type Notes } from './notes.ts';
import { removeFolder, storeFolders } from './shape.ts';

const kinds = ['name', 'list', 'file'] as const;

/** Something that a reader asked for: a name that was looked up, or a part of a directory or file. */
export interface FirstRead {
  readonly kind: (typeof kinds)[number];
  /** From the root of the repo, as text. */
  readonly path: string;
  /** Bytes of a file, or ordinals of a directory's entries, from `from` up to `to`. */
  readonly from: number;
  readonly to: number;
}

/**
 * Until it works, a program reads some hundred pieces and some ten MiB (measured for containers).
 * Fetching more would compete with what it reads then.
 */
export const readsMax = 512;
export const readBytesMax = 64 * 1024 * 1024;
/** A file of `readsMax` usual paths is a tenth of that. */
const fileBytesMax = 1024 * 1024;
/** What an entry of a directory takes in the store. */
const entryBytes = 100;
const title = 'pachmount first reads 1';

/** What it costs to fetch, in bytes. */
export function weightOf({ kind, from, to }: Pick<FirstRead, 'kind' | 'from' | 'to'>): number {
  return kind === 'file' ? to - from : kind === 'list' ? (to - from) * entryBytes : 0;
}

/** The read, or as much of its beginning as weighs no more than `bytes`. */
export function clipped<T extends Pick<FirstRead, 'kind' | 'from' | 'to'>>(read: T, bytes: number): T {
  if (weightOf(read) <= bytes) return read;
  return { ...read, to: read.from + Math.floor(bytes / (read.kind === 'file' ? 1 : entryBytes)) };
}

export class FirstReads {
  private readonly dir: string;
  private readonly notes: Notes;

  /** In a cache folder; `notes` knows the epoch to which that has come (ExtentCache.enter). */
  constructor(dir: string, notes: Notes) {
    this.dir = dir;
    this.notes = notes;
  }

  /** In the order of their requests; none where nothing is known. */
  async load(project: string, repo: string): Promise<readonly FirstRead[]> {
    const path = join(this.dir, this.path(project, repo));
    try {
      return (await stat(path)).size > fileBytesMax ? [] : decode(await readFile(path, 'utf8'));
    } catch {
      return [];
    }
  }

  /**
   * Replaces what is known; the last writer wins. Does nothing for a head of another epoch than the
   * cache's: what was purged since would be named here again, and stay.
   */
  async save(project: string, repo: string, epoch: number, reads: readonly FirstRead[]): Promise<void> {
    const text = encode(reads);
    const isNow = async (): Promise<boolean> => (await this.notes.get(project)) === epoch;
    if (text.length > fileBytesMax || !(await isNow())) return;
    await writeWhole(this.dir, this.path(project, repo), text);
    // A process that enters another epoch notes that before it forgets for the last time: one of us sees the other.
    if (!(await isNow())) await this.forget(project);
  }

  /** Forgets all of a project. */
  async forget(project: string): Promise<void> {
    for await (const folder of storeFolders(this.dir, folderOf(project))) {
      await removeFolder(this.dir, folder).catch(() => undefined);
    }
  }

  /** In the cache folder. No repo's name makes it look like an extent or a file of the cache, by its ending. */
  private path(project: string, repo: string): string {
    return join(folderOf(project), `${repo}.reads`);
  }
}

function folderOf(project: string): string {
  return join(projectPrefix(project), 'first');
}

function encode(reads: readonly FirstRead[]): string {
  // JSON escapes the bytes of a name that are no UTF-8 (model/paths).
  const lines = reads.map(({ kind, path, from, to }) => JSON.stringify([kind, path, from, to]));
  return `${[title, ...lines].join('\n')}\n`;
}

/** Throws when a line is not what `encode` writes of reads within the limits. */
function decode(text: string): FirstRead[] {
  const [first, ...lines] = text.split('\n');
  if (first !== title || lines.pop() !== '' || lines.length > readsMax) throw new Error('not what we write');
  const reads = lines.map((line) => readOf(JSON.parse(line)));
  if (reads.reduce((sum, read) => sum + weightOf(read), 0) > readBytesMax) throw new Error('more than we write');
  return reads;
}

function readOf(line: unknown): FirstRead {
  const [kind, path, from, to] = line as [FirstRead['kind'], string, number, number];
  const isRange = Number.isSafeInteger(from) && Number.isSafeInteger(to) && from >= 0 && from <= to;
  if (!kinds.includes(kind) || !isRange) throw new Error('not a range');
  parsePath(path);
  return { kind, path, from, to };
}
