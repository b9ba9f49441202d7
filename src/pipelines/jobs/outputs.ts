/**
 * The files of an output commit: the union of what its datums wrote, made from the last job's by
 * what differs. No path comes from two datums.
 */
import { PachError } from '../../base/errors.ts';
import type { BlobReader } from '../../cache/blobs.ts';
import { mapFormat, type MapItem } from '../../model/map.ts';
import { diffOrdered } from '../../model/ordered-diff.ts';
import { nameOfText, textOfName } from '../../model/paths.ts';
import type { Ref } from '../../model/refs.ts';
import type { DirectoryContent, TreeEntry } from '../../model/tree.ts';
import { fileTime } from '../../sources/source.ts';
import { Directories, sameContent, type Directory, type DirectoryEdit } from '../../versions/directories.ts';
import type { Upload } from '../../versions/upload.ts';
import { datumMap, jobDatumOf, readResult, rowsOf, type JobDatum } from './jobs.ts';
import { ownRef } from './results.ts';

/** Of a datum, in errors. */
const idDigitsShown = 16;
const pathsShown = 3;

/** What changes at a path and below it. */
class Edits {
  private paths: Map<string, Edits> | undefined;
  /** What a datum has written there before, and no more. */
  removed = false;
  added: { readonly entry: TreeEntry; readonly datum: string } | undefined;

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
  /** The datums of the job before and its output; none for the first. */
  readonly before: { readonly datums: Ref; readonly root: Directory } | undefined;
  readonly datums: Ref;
  /** Time of directories, in milliseconds since 1970. */
  readonly now: number;
  readonly signal: AbortSignal;
}

/** Throws `conflict` naming the path and both datums where two have written the same, or one a file and the other a folder. */
export async function unionOf(options: UnionOptions): Promise<Directory> {
  const { reader, upload, before, datums } = options;
  const union = new Union(options, new Directories(reader, upload.nodes));
  for await (const { old, new: now } of diffOrdered<MapItem, { entries: number }>(
    reader,
    mapFormat,
    before?.datums,
    datums,
  )) {
    await union.change(old && jobDatumOf(old), now && jobDatumOf(now));
  }
  return union.apply(before?.root);
}

class Union {
  private readonly options: UnionOptions;
  private readonly directories: Directories;
  private readonly edits = new Edits();

  constructor(options: UnionOptions, directories: Directories) {
    this.options = options;
    this.directories = directories;
  }

  /** Takes in that a datum is another than before, or new, or gone. */
  async change(old: JobDatum | undefined, now: JobDatum | undefined): Promise<void> {
    this.options.signal.throwIfAborted();
    const [before, after] = await Promise.all([this.outOf(old), this.outOf(now)]);
    if (before && after && before.contentHash.equals(after.contentHash)) return;
    if (before) await this.remove(this.edits, before);
    if (now && after) await this.add(this.edits, after, now.id, '');
  }

  async apply(base: Directory | undefined): Promise<Directory> {
    const root = await this.applyTo(this.edits, base, '');
    return root ?? (await this.directories.apply(undefined, []));
  }

  private async outOf(datum: JobDatum | undefined): Promise<DirectoryContent | undefined> {
    if (datum?.outcome.state !== 'success') return undefined;
    return (await readResult(this.options.reader, datum.result)).out;
  }

  private async remove(edits: Edits, directory: Directory): Promise<void> {
    for await (const { name, content } of this.directories.reader(directory).items()) {
      if (content.form === 'directory') await this.remove(edits.at(name), content);
      else edits.at(name).removed = true;
    }
  }

  private async add(edits: Edits, directory: Directory, datum: string, path: string): Promise<void> {
    for await (const entry of this.directories.reader(directory).items()) {
      const at = edits.at(entry.name);
      const shown = `${path}/${textOfName(entry.name)}`;
      if (entry.content.form === 'directory') await this.add(at, entry.content, datum, shown);
      else if (at.added) throw await this.collision(shown, datum, at.added.datum);
      else at.added = { entry: ownEntry(entry), datum };
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
    const folder = before?.content.form === 'directory' ? before.content : undefined;
    if (before && !folder && !removed && (added || this.adds(edits))) throw await this.taken(path, edits);
    const left = folder || below.size > 0 ? await this.applyTo(edits, folder, path) : undefined;
    if (added && left) throw await this.taken(path, edits);
    if (added) return before && sameContent(before, added.entry) ? undefined : { ...added.entry, name };
    if (left) {
      const time = folder && before ? before : fileTime(this.options.now);
      const { mtimeSeconds, mtimeNanoseconds } = time;
      return { name, kind: 'directory', executable: false, mtimeSeconds, mtimeNanoseconds, content: left };
    }
    // A folder with nothing in it is none: it does not take a file away.
    return before && (folder || removed) ? { name } : undefined;
  }

  private adds({ below }: Edits): boolean {
    return [...below.values()].some((edits) => edits.added !== undefined || this.adds(edits));
  }

  /** That a path is another datum's: found by looking through all, since it is wanted for an error only. */
  private async taken(path: string, edits: Edits): Promise<PachError> {
    const names = path.split('/').slice(1);
    const mine = edits.added?.datum;
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
      why: `${names[0] ?? 'one datum'} and ${names[1] ?? 'another'} have both written it, or one a file and the other a folder`,
      next: 'let each datum write under names of its own',
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

/** An entry that keeps nothing in memory of the node that it was read from. Its name is known by where it lies. */
function ownEntry(entry: TreeEntry): TreeEntry {
  const { content } = entry;
  const own =
    content.form === 'inline'
      ? { ...content, bytes: Buffer.from(content.bytes) }
      : { ...content, ref: ownRef(content.ref) };
  return { ...entry, name: noName, content: own };
}
