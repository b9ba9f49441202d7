/**
 * The files of an output commit: the union of what its datums wrote, made from the last job's by
 * what differs. No file comes from two datums. Folders merge: one is there as long as a datum has it,
 * with something in it or empty.
 */
import { PachError } from '../base/errors.ts';
import { fileTime } from '../base/file-time.ts';
import type { BlobReader } from '../cache/blobs.ts';
import { mapFormat, type MapItem } from '../model/map.ts';
import { diffOrdered } from '../model/ordered-diff.ts';
import { nameOfText, textOfName } from '../model/paths.ts';
import type { Hash, Ref } from '../model/refs.ts';
import { type DirectoryContent, directoryOf, type TreeEntry } from '../model/tree.ts';
import { Directories, sameContent, type Directory, type DirectoryEdit } from '../versions/directories.ts';
import type { Upload } from '../versions/upload.ts';
import { datumMap, jobDatumOf, readResult, rowsOf, type JobDatum } from '../pipelines/jobs/jobs.ts';
import { ownRef } from '../pipelines/jobs/results.ts';

/** Of a datum, in errors. */
const idDigitsShown = 16;
const pathsShown = 3;

/** What changes at a path and below it. */
class Edits {
  private paths: Map<string, Edits> | undefined;
  /** What a datum has written there before, and no more. */
  removed = false;
  /** A datum had a folder there before, without anything in it. */
  emptied = false;
  added: { readonly entry: TreeEntry; readonly datum: string } | undefined;
  /** A folder without anything in it: a datum that makes it. */
  empty: string | undefined;

  /** By name as latin1. There are very many files, which have none below. */
  get below(): ReadonlyMap<string, Edits> {
    return this.paths ?? none;
  }

  at(name: Buffer): Edits {
    const key = name.toString('latin1');
    this.paths ??= new Map();
    let next = this.paths.get(key);
    if (!next) this.paths.set(key, (next = new Edits()));
    return next;
  }
}

const noName = Buffer.alloc(0);
const none: ReadonlyMap<string, Edits> = new Map();

export interface UnionOptions {
  readonly reader: BlobReader;
  readonly upload: Upload;
  /** The datums of the job before, its output, and how many of them made empty folders; none for the first. */
  readonly before: (Omit<UnionResult, 'root'> & { readonly datums: Ref; readonly root: Directory }) | undefined;
  readonly datums: Ref;
  /** Time of directories, in milliseconds since 1970. */
  readonly now: number;
  readonly signal: AbortSignal;
  /** Told each datum that is another than before, or new, or gone; waited for. */
  readonly changed: (old: JobDatum | undefined, now: JobDatum | undefined) => Promise<void>;
}

export interface UnionResult {
  readonly root: Directory;
  /** How many datums have empty folders. */
  readonly withEmptyFolders: number;
  /** True when the files may have references. */
  readonly references: boolean;
}

/** Throws `conflict` naming the path and both datums where two have written the same, or one a file and the other a folder. */
export async function unionOf(options: UnionOptions): Promise<UnionResult> {
  const { reader, upload, datums } = options;
  const union = new Union(options, new Directories(reader, upload.nodes));
  for await (const { old, new: now } of diffOrdered<MapItem, { entries: number }>(
    reader,
    mapFormat,
    options.before?.datums,
    datums,
  )) {
    const [before, after] = [old && jobDatumOf(old), now && jobDatumOf(now)];
    await union.change(before, after);
    await options.changed(before, after);
  }
  const root = await union.apply(options.before?.root);
  return { root, withEmptyFolders: union.withEmptyFolders, references: union.references };
}

class Union {
  private readonly options: UnionOptions;
  private readonly directories: Directories;
  private readonly edits = new Edits();
  withEmptyFolders: number;
  references: boolean;

  constructor(options: UnionOptions, directories: Directories) {
    this.options = options;
    this.directories = directories;
    this.withEmptyFolders = options.before?.withEmptyFolders ?? 0;
    this.references = options.before?.references ?? false;
  }

  /** Takes in that a datum is another than before, or new, or gone. */
  async change(old: JobDatum | undefined, now: JobDatum | undefined): Promise<void> {
    this.options.signal.throwIfAborted();
    if (now?.outcome.references) this.references = true;
    const [before, after] = await Promise.all([this.outOf(old), this.outOf(now)]);
    if (before && after && before.contentHash.equals(after.contentHash)) return;
    if (before && (await this.remove(this.edits, before))) this.withEmptyFolders -= 1;
    if (now && after && (await this.add(this.edits, after, now.id, ''))) this.withEmptyFolders += 1;
  }

  async apply(base: Directory | undefined): Promise<Directory> {
    if (this.withEmptyFolders > 0 && mayVanish(this.edits)) await this.findEmptyFolders();
    const root = await this.applyTo(this.edits, base, '');
    return root ?? (await this.directories.apply(undefined, []));
  }

  private async outOf(datum: JobDatum | undefined): Promise<DirectoryContent | undefined> {
    if (datum?.outcome.state !== 'success') return undefined;
    return (await readResult(this.options.reader, datum.result)).out;
  }

  /** True when there are empty folders in it. */
  private async remove(edits: Edits, directory: Directory): Promise<boolean> {
    let hasEmpty = false;
    for await (const { name, content } of this.directories.reader(directory).items()) {
      const at = edits.at(name);
      if (content.form !== 'directory') at.removed = true;
      else if (await this.isEmpty(content)) hasEmpty = at.emptied = true;
      else if (await this.remove(at, content)) hasEmpty = true;
    }
    return hasEmpty;
  }

  /** The same. */
  private async add(edits: Edits, directory: Directory, datum: string, path: string): Promise<boolean> {
    let hasEmpty = false;
    for await (const entry of this.directories.reader(directory).items()) {
      const at = edits.at(entry.name);
      const shown = `${path}/${textOfName(entry.name)}`;
      if (entry.content.form !== 'directory') {
        if (at.added) throw await this.collision(shown, datum, at.added.datum);
        at.added = { entry: ownEntry(entry), datum };
      } else if (await this.isEmpty(entry.content)) {
        at.empty = datum;
        hasEmpty = true;
      } else if (await this.add(at, entry.content, datum, shown)) hasEmpty = true;
    }
    return hasEmpty;
  }

  private async isEmpty(directory: Directory): Promise<boolean> {
    return directory.files === 0 && (await this.directories.reader(directory).count()) === 0;
  }

  /** Marks where datums that stay as they were make empty folders, at paths that may vanish. */
  private async findEmptyFolders(): Promise<void> {
    const { reader, datums, signal } = this.options;
    for await (const item of datumMap(reader, datums).items()) {
      signal.throwIfAborted();
      const datum = jobDatumOf(item);
      const out = datum.outcome.mayHaveEmptyFolders ? await this.outOf(datum) : undefined;
      if (out) await this.findIn(this.edits, out, datum.id);
    }
  }

  private async findIn(edits: Edits, directory: Directory, datum: string): Promise<void> {
    for (const [key, at] of edits.below) {
      const found = await this.directories.reader(directory).find(Buffer.from(key, 'latin1'));
      if (found?.content.form !== 'directory') continue;
      if (await this.isEmpty(found.content)) at.empty ??= datum;
      else await this.findIn(at, found.content, datum);
    }
  }

  /** The directory with these edits; undefined when nothing is left in it. */
  private async applyTo(edits: Edits, base: Directory | undefined, path: string): Promise<Directory | undefined> {
    const old = this.directories.merge(base);
    const { directories } = this;
    const changes: DirectoryEdit[] = [];
    for (const key of [...edits.below.keys()].sort()) {
      const name = Buffer.from(key, 'latin1');
      const edit = await this.edited(
        edits.below.get(key) as Edits,
        name,
        await old(name),
        `${path}/${textOfName(name)}`,
      );
      if (edit) changes.push(edit);
    }
    const directory = await directories.apply(base, changes);
    return (await directories.reader(directory).count()) > 0 ? directory : undefined;
  }

  private async edited(
    edits: Edits,
    name: Buffer,
    before: TreeEntry | undefined,
    path: string,
  ): Promise<DirectoryEdit | undefined> {
    const { added, removed, below } = edits;
    const folder = directoryOf(before);
    if (before && !folder && !removed && adds(edits)) throw await this.taken(path, edits);
    // An empty folder from which nothing was taken is an unchanged datum's.
    const stays = edits.empty !== undefined || (folder !== undefined && !removes(edits));
    const left =
      (folder || below.size > 0 ? await this.applyTo(edits, folder, path) : undefined) ??
      (stays
        ? await this.directories.apply(folder && (await this.isEmpty(folder)) ? folder : undefined, [])
        : undefined);
    if (added && left) throw await this.taken(path, edits);
    if (added) return before && sameContent(before, added.entry) ? undefined : { ...added.entry, name };
    if (left) {
      const time = folder && before ? before : fileTime(this.options.now);
      const { mtimeSeconds, mtimeNanoseconds } = time;
      return { name, kind: 'directory', executable: false, mtimeSeconds, mtimeNanoseconds, content: left };
    }
    // A folder that nobody makes any more does not take a file away.
    return before && (folder || removed) ? { name } : undefined;
  }

  /** That a path is another datum's: found by looking through all, since it is wanted for an error only. */
  private async taken(path: string, edits: Edits): Promise<PachError> {
    const names = path.split('/').slice(1);
    const mine = writerOf(edits);
    for await (const item of datumMap(this.options.reader, this.options.datums).items()) {
      const datum = jobDatumOf(item);
      const out = datum.id === mine ? undefined : await this.outOf(datum);
      if (out && (await this.writes(out, names))) return this.collision(path, mine, datum.id);
    }
    return this.collision(path, mine, undefined);
  }

  /** True when a directory has something at a path, or a file on the way to it. */
  private async writes(out: Directory, names: readonly string[]): Promise<boolean> {
    let at: Directory = out;
    for (const name of names) {
      const entry = await this.directories.reader(at).find(nameOfText(name));
      if (!entry) return false;
      if (entry.content.form !== 'directory') return true;
      at = entry.content;
    }
    return true;
  }

  private async collision(path: string, a: string | undefined, b: string | undefined): Promise<PachError> {
    const names = [a && (await this.nameOf(a)), b && (await this.nameOf(b))];
    return new PachError('conflict', {
      what: `/pfs/out${path}`,
      why: `${names[0] ?? 'one datum'} and ${names[1] ?? 'another'} have both written it, or one wrote a file and the other a folder`,
      next: 'let each datum write files with different names',
    });
  }

  private async nameOf(id: string): Promise<string> {
    const { reader, datums } = this.options;
    const item = await datumMap(reader, datums).find(Buffer.from(id, 'hex'));
    const paths = item ? (await rowsOf(reader, jobDatumOf(item))).map((row) => row.path) : [];
    const more = paths.length > pathsShown ? ' …' : '';
    return `datum ${id.slice(0, idDigitsShown)} (${paths.slice(0, pathsShown).join(' ')}${more})`;
  }
}

/** A datum that writes at a path or below it. */
function writerOf({ added, empty, below }: Edits): string | undefined {
  const own = added?.datum ?? empty;
  if (own !== undefined) return own;
  for (const edits of below.values()) {
    const found = writerOf(edits);
    if (found !== undefined) return found;
  }
  return undefined;
}

function adds(edits: Edits): boolean {
  return writerOf(edits) !== undefined;
}

/** True when something was taken away at a path or below it. */
function removes({ removed, emptied, below }: Edits): boolean {
  return removed || emptied || [...below.values()].some(removes);
}

/** True when a folder may be left with nothing in it. */
function mayVanish({ below }: Edits): boolean {
  return [...below.values()].some((edits) => {
    const isFolder = edits.emptied || edits.below.size > 0;
    const isRefilled = edits.empty !== undefined || [...edits.below.values()].some(adds);
    return (isFolder && !isRefilled && removes(edits)) || mayVanish(edits);
  });
}

/** An entry that keeps nothing in memory of the node that it was read from. Its name is known by where it lies. */
function ownEntry(entry: TreeEntry): TreeEntry {
  const { content } = entry;
  const own =
    content.form === 'inline'
      ? { ...content, bytes: Buffer.from(content.bytes) }
      : content.form === 'reference'
        ? { ...content, hash: Buffer.from(content.hash) as Hash }
        : { ...content, ref: ownRef(content.ref) };
  return { ...entry, name: noName, content: own };
}
